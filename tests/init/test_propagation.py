"""Measured moments, theory beside them, and the lab's grid."""

import itertools
import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from dldna import init
from dldna.records import LayerStats


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def test_moments_and_gradients_by_hand():
    net = nn.Sequential(
        nn.Linear(4, 3), nn.ReLU(inplace=True), nn.Linear(3, 2)
    ).double()
    x = torch.randn(5, 4, generator=source(), dtype=torch.float64)
    stats = init.propagate(net, x, seed=3)
    h = net[0](x)
    a = torch.relu(h)
    y = net[2](a)
    back = torch.randn(5, 2, generator=source(3)).double()
    grads = torch.autograd.grad(y, [h, a, y], back)
    assert stats.names == ["0", "1", "2"]
    assert stats.kinds == ["Linear", "ReLU", "Linear"]
    for i, (out, grad) in enumerate(zip([h, a, y], grads, strict=True)):
        out = out.detach()
        assert stats.mean[i] == pytest.approx(float(out.mean()))
        assert stats.variance[i] == pytest.approx(float(out.var(correction=0)))
        assert stats.second_moment[i] == pytest.approx(
            float(out.square().mean())
        )
        assert stats.grad_mean[i] == pytest.approx(float(grad.mean()))
        assert stats.grad_variance[i] == pytest.approx(
            float(grad.var(correction=0))
        )
        assert stats.grad_second_moment[i] == pytest.approx(
            float(grad.square().mean())
        )
    assert net[1].inplace


def test_loss_gradients_and_a_record(tmp_path):
    net = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    batch = torch.randn(6, 4, generator=source()), torch.tensor([0, 1] * 3)
    stats = init.propagate(net, batch, nn.CrossEntropyLoss())
    y = net(batch[0])
    (grad,) = torch.autograd.grad(nn.functional.cross_entropy(y, batch[1]), y)
    assert stats.grad_second_moment[-1] == pytest.approx(
        float(grad.square().mean()), rel=1e-5
    )
    again = LayerStats.load(stats.save(tmp_path / "stats"))
    assert again.names == stats.names
    np.testing.assert_array_equal(
        again.predicted["variance"], stats.predicted["variance"]
    )


def test_the_model_is_left_alone():
    net = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(inplace=True)
    )
    net[0].weight.requires_grad_(False)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    state = torch.random.get_rng_state()
    init.propagate(net, torch.randn(2, 1, 6, 6, generator=source()))
    for k, v in net.state_dict().items():
        assert torch.equal(v, before[k])
    assert net[2].inplace
    assert not net[0]._forward_hooks
    assert all(p.grad is None for p in net.parameters())
    assert torch.equal(state, torch.random.get_rng_state())


ACTIVATIONS = {
    "linear": nn.Identity, "relu": nn.ReLU, "tanh": nn.Tanh,
    "gelu": nn.GELU, "leaky": lambda: nn.LeakyReLU(0.2),
}  # fmt: skip


@pytest.mark.parametrize("act", ACTIVATIONS)
@pytest.mark.parametrize("scheme", ["kaiming_normal", "orthogonal"])
def test_theory_holds_in_a_wide_net(act, scheme):
    """Widths that differ, so that fan-in and fan-out tell."""
    widths, layers = [400, 600, 300, 500, 400], []
    for a, b in itertools.pairwise(widths):
        layers += [nn.Linear(a, b), ACTIVATIONS[act]()]
    net = nn.Sequential(*layers)
    gaps = []
    for seed in range(4):
        g = source(seed)
        init.initialize(net, scheme, generator=g)
        stats = init.propagate(
            net, torch.randn(100, 400, generator=g), generator=g
        )
        theory = stats.predicted
        gaps.append(
            [
                stats.second_moment / theory["second_moment"],
                stats.grad_second_moment / theory["grad_second_moment"],
            ]
        )
        # the variance of an activation, its mean taken off
        inner = np.array(stats.kinds) != "Linear"
        np.testing.assert_allclose(
            stats.variance[inner], theory["variance"][inner], rtol=0.25
        )
    # ln of a second moment spreads by about sqrt(5 depth / width)
    bound = 4 * math.sqrt(5 * 4 / 400 / len(gaps))
    assert np.abs(np.log(np.mean(gaps, axis=0))).max() < bound


def test_convolutions_follow_their_true_fans():
    net = nn.Sequential(
        nn.Conv2d(32, 64, 3, groups=4, bias=False, padding_mode="circular",
                  padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(64, 32, 2, stride=2, bias=False),
    )  # fmt: skip
    init.initialize(net, "kaiming_normal", seed=1)
    stats = init.propagate(
        net, torch.randn(16, 32, 12, 12, generator=source())
    )
    for key in ("second_moment", "grad_second_moment"):
        ratio = getattr(stats, key) / stats.predicted[key]
        assert np.abs(np.log(ratio)).max() < 0.15


def test_theory_stops_where_the_chain_does():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x):
            return self.b(x + self.a(x))

    stats = init.propagate(Residual(), torch.randn(4, 8, generator=source()))
    assert np.isfinite(stats.predicted["second_moment"]).tolist() == [
        True, False,
    ]  # fmt: skip
    assert np.isfinite(stats.predicted["grad_second_moment"]).tolist() == [
        False, True,
    ]  # fmt: skip
    assert np.isfinite(stats.grad_second_moment).all()


def test_a_layer_called_twice_and_refusals():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(3, 3)

        def forward(self, x):
            return self.a(self.a(x))

    stats = init.propagate(Twice(), torch.ones(2, 3))
    assert stats.names == ["a", "a (2)"]

    class Pair(Twice):
        def forward(self, x):
            return self.a(x), x

    with pytest.raises(ValueError, match="one tensor"):
        init.propagate(Pair(), torch.ones(2, 3))


# Dynamical isometry.


def test_orthogonal_linear_net_is_an_isometry():
    layers = [nn.Linear(50, 50, bias=False) for _ in range(30)]
    net = nn.Sequential(*layers).double()
    x = torch.randn(2, 50, generator=source(), dtype=torch.float64)
    init.initialize(net, "orthogonal", seed=1)
    s = init.jacobian_singular_values(net, x)
    np.testing.assert_allclose(s, 1.0, rtol=1e-10)
    assert np.linalg.norm(s[0]) == pytest.approx(7.0711, abs=1e-4)
    init.initialize(net, "lecun_normal", seed=1)
    s = init.jacobian_singular_values(net, x)[0]
    assert s[0] > 2
    assert s[-1] < 1e-10


def test_relu_cannot_reach_isometry_and_small_tanh_can():
    def net(act):
        layers = []
        for _ in range(10):
            layers += [nn.Linear(64, 64, bias=False), act()]
        model = nn.Sequential(*layers).double()
        init.initialize(model, "orthogonal", seed=0)
        return model

    x = 1e-3 * torch.randn(1, 64, generator=source(), dtype=torch.float64)
    tanh = init.jacobian_singular_values(net(nn.Tanh), x)
    relu = init.jacobian_singular_values(net(nn.ReLU), x)
    np.testing.assert_allclose(tanh, 1.0, atol=1e-3)
    assert relu[0, -1] < 1e-8 < relu[0, 0]


def test_jacobian_of_a_stateful_net():
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh())
    x = torch.randn(5, 3, generator=source())
    j = init.jacobian(net, x)
    assert j.shape == (5, 4, 3)
    net.eval()
    expected = torch.autograd.functional.jacobian(
        lambda s: net(s[None])[0], x[2]
    )
    torch.testing.assert_close(j[2], expected)
    with pytest.raises(ValueError, match="batch"):
        init.jacobian(net, x[0])


# The lab.


def test_signals_agree_with_a_real_network():
    weights = init.stack_weights("kaiming_normal", 4, 16, source())
    layers = []
    for w in weights:
        linear = nn.Linear(16, 16, bias=False, dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(w)
        layers += [linear, nn.GELU()]
    net = nn.Sequential(*layers)
    x = torch.randn(6, 16, generator=source(1), dtype=torch.float64)
    back = torch.randn(6, 16, generator=source(2)).double()
    forward, backward = init.signals(weights, "gelu", x, back, [4, 2])
    stats = init.propagate(net, x, seed=2)
    np.testing.assert_allclose(forward, stats.second_moment[::2])
    np.testing.assert_allclose(backward[4], stats.grad_second_moment[::2])
    stats = init.propagate(net[:4], x, seed=2)
    np.testing.assert_allclose(backward[2], stats.grad_second_moment[::2])


@pytest.mark.full
def test_theory_beside_measurement_for_twenty_layers():
    """5 activations, 6 schemes: within the spread of a finite width."""
    rows = init.theory_table(20, width=256, samples=32, seeds=4)
    assert len(rows) == 30
    # ln of a second moment: variance 5 L / n at most, mean half that
    sigma = math.sqrt(5 * 20 / 256) / math.log(10)
    lag = 5 * 20 / 256 / 2 / math.log(10)
    for row in rows:
        for way in ("forward", "backward"):
            off = row[f"{way}_deviation"]
            grown = max(1.0, row["sensitivity"])
            assert abs(off) < lag + 4 * grown * sigma / 2, row
            assert off == pytest.approx(
                row[f"{way}_measured"] - row[f"{way}_predicted"]
            )
    at = {(r["scheme"], r["activation"]): r for r in rows}
    kaiming = at["kaiming_normal", "relu"]
    assert kaiming["forward_predicted"] == pytest.approx(math.log10(2))
    lecun = at["lecun_normal", "relu"]
    assert lecun["forward_predicted"] == pytest.approx(-19 * math.log10(2))
    # orthogonal linear stacks keep lengths exactly, not on average
    exact = at["orthogonal", "linear"]
    assert exact["forward_spread"] < 0.02
    assert at["lecun_normal", "linear"]["forward_spread"] > 0.03
    # where errors do not grow, theory is close: within a factor of 2
    calm = [r for r in rows if r["sensitivity"] < 1.5]
    assert len(calm) > 20
    assert max(abs(r["forward_deviation"]) for r in calm) < 0.3
    assert max(abs(r["backward_deviation"]) for r in calm) < 0.3


def test_an_unstable_map_needs_width():
    """GELU after Kaiming: the deviation is one of finite width."""
    off = [
        init.theory_table(
            20, width=width, samples=32, seeds=4, activations=["gelu"],
            schemes=["kaiming_normal"],
        )[0]
        for width in (128, 640)
    ]  # fmt: skip
    assert off[0]["sensitivity"] > 3
    assert off[1]["forward_deviation"] < 0.6 * off[0]["forward_deviation"]


def test_grid_is_small_json():
    grid = init.lab_grid((3, 6), width=32, samples=8, seeds=2)
    text = json.dumps(grid, allow_nan=False)
    assert json.loads(text) == grid
    assert set(grid["cells"]) == {
        f"{s}/{a}" for s in grid["schemes"] for a in grid["activations"]
    }
    cell = grid["cells"]["constant_variance/linear"]
    assert len(cell["forward"]["measured"]) == 6
    assert len(cell["backward"]["3"]["predicted"]) == 3
    step = math.log10(32 * 0.81)
    assert cell["forward"]["predicted"] == pytest.approx(
        [step * (i + 1) for i in range(6)], abs=1e-3
    )
    with pytest.raises(ValueError, match="depths"):
        init.lab_grid([0])
    with pytest.raises(ValueError, match="did you mean"):
        init.theory_table(2, schemes=["kaiming_norml"])
