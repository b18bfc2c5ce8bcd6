"""ZerO, muP, the spectral condition and spectral normalization."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dldna import init


def source(seed=0):
    return torch.Generator().manual_seed(seed)


# ZerO


def test_hadamard():
    for m in range(5):
        h = init.hadamard(m)
        eye = 2**m * torch.eye(2**m, dtype=torch.float64)
        assert torch.equal(h @ h.T, eye)
        assert set(h.flatten().tolist()) <= {1.0, -1.0}
    scipy = pytest.importorskip("scipy.linalg")
    assert (init.hadamard(4).numpy() == scipy.hadamard(16)).all()
    with pytest.raises(ValueError, match="at least 0"):
        init.hadamard(-1)


@pytest.mark.parametrize("shape", [(5, 5), (3, 7), (1, 4)])
def test_zero_is_a_partial_identity(shape):
    w = init.zero_hadamard(torch.empty(shape))
    assert torch.equal(w, torch.eye(*shape))


@pytest.mark.parametrize(
    ("n_out", "n_in", "m"), [(8, 3, 3), (6, 4, 3), (9, 8, 4), (2, 1, 1)]
)
def test_zero_grows_by_hadamard(n_out, n_in, m):
    w = init.zero_hadamard(torch.empty(n_out, n_in, dtype=torch.float64))
    big = init.hadamard(m)
    left = torch.eye(n_out, 2**m, dtype=torch.float64)
    right = torch.eye(2**m, n_in, dtype=torch.float64)
    expected = 2 ** (-(m - 1) / 2) * left @ big @ right
    torch.testing.assert_close(w, expected)
    assert torch.linalg.matrix_rank(w) == n_in


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_zero_kernel_is_its_centre(dims):
    conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1](
        4, 4, 3, padding=1, bias=False
    )
    init.initialize(conv, "zero_hadamard")
    x = torch.randn(2, 4, *(5,) * dims, generator=source())
    torch.testing.assert_close(conv(x), x)


def test_zero_last_layers_are_zero():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(4, 8, 3, padding=1)
            self.conv2 = nn.Conv2d(8, 4, 3, padding=1)

        def forward(self, x):
            return x + self.conv2(torch.relu(self.conv1(x)))

    net = nn.Sequential(Block(), Block())
    report = init.initialize(
        net, "zero_hadamard", rules={"*.conv2.*": "zeros"}
    )
    x = torch.randn(2, 4, 5, 5, generator=source())
    torch.testing.assert_close(net(x), x)
    assert [f.scheme for f in report.filled if f.fan_in] == [
        "zero_hadamard", "zeros",
    ] * 2  # fmt: skip
    again = nn.Sequential(Block(), Block())
    init.initialize(
        again, "zero_hadamard", rules={"*.conv2.*": "zeros"}, seed=9
    )
    for a, b in zip(net.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


# muP


def mlp(n, d=8, c=3):
    return nn.Sequential(
        nn.Linear(d, n), nn.ReLU(), nn.Linear(n, n), nn.ReLU(),
        nn.Linear(n, c),
    )  # fmt: skip


def test_roles():
    roles = init.mup_roles(mlp(64), mlp(16))
    assert {k: (r.role, r.fan_in, r.fan_out) for k, r in roles.items()} == {
        "0.weight": ("input", 1, 4), "0.bias": ("vector", 1, 4),
        "2.weight": ("hidden", 4, 4), "2.bias": ("vector", 1, 4),
        "4.weight": ("output", 4, 1), "4.bias": ("vector", 1, 1),
    }  # fmt: skip


def test_roles_of_other_layers():
    def make(n):
        return nn.ModuleDict(
            {
                "embed": nn.Embedding(11, n),
                "att": nn.MultiheadAttention(n, 2),
                "norm": nn.LayerNorm(n),
                "up": nn.ConvTranspose1d(n, 3, 2),
                "stem": nn.Conv2d(3, n, 3),
            }
        )

    roles = init.mup_roles(make(32), make(8))
    assert {k: r.role for k, r in roles.items() if "bias" not in k} == {
        "embed.weight": "input", "att.in_proj_weight": "hidden",
        "att.out_proj.weight": "hidden", "norm.weight": "vector",
        "up.weight": "output", "stem.weight": "input",
    }  # fmt: skip


def test_mup_variances():
    n, base = 512, 64
    net = mlp(n)
    report = init.mup(net, mlp(base), gain=1.5, seed=1)
    m = n / base
    for i, var in ((0, 1 / 8), (2, 1 / n), (4, 1 / (n * m))):
        w = net[i].weight.detach()
        got, expected = float(w.square().mean()), 1.5**2 * var
        bound = 5 * expected * math.sqrt(2 / w.numel())
        assert abs(got - expected) < bound
        assert (net[i].bias == 0).all()
    assert report.numbers["roles"]["4.weight"] == "output"


@pytest.mark.parametrize(
    ("optimizer", "rates"),
    [("adam", [0.1, 0.1, 0.025, 0.1, 0.025, 0.1]),
     ("sgd", [0.4, 0.4, 0.1, 0.4, 0.025, 0.1])],
)  # fmt: skip
def test_mup_rates(optimizer, rates):
    net = mlp(64)
    groups = init.mup_param_groups(net, mlp(16), 0.1, optimizer=optimizer)
    by_name = {n: g["lr"] for g in groups for n in g["names"]}
    names = [k for k, _ in net.named_parameters()]
    assert [by_name[n] for n in names] == pytest.approx(rates)
    opt = torch.optim.Adam(groups)
    assert sum(len(g["params"]) for g in opt.param_groups) == 6


def feature_change(n, parametrisation):
    """RMS change of the hidden features and logits after Adam steps."""
    net = mlp(n)
    x = torch.randn(64, 8, generator=source(3))
    y = (x[:, 0] > 0).long()
    if parametrisation == "mup":
        init.mup(net, mlp(64), gain=math.sqrt(2), seed=1)
        groups = init.mup_param_groups(net, mlp(64), 0.01)
    else:
        init.initialize(net, "kaiming_normal", seed=1)
        groups = [{"params": list(net.parameters()), "lr": 0.01}]
    optimizer = torch.optim.Adam(groups)
    before = net[:3](x).detach()
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
    change = net[:3](x).detach() - before
    return float(change.square().mean().sqrt())


def test_mup_keeps_the_change_of_features():
    """Width 64 -> 1024: constant under muP, growing without."""
    ratio = {
        p: feature_change(1024, p) / feature_change(64, p)
        for p in ("mup", "standard")
    }
    assert 0.6 < ratio["mup"] < 1.6
    assert ratio["standard"] > 4


def test_mup_refusals():
    with pytest.raises(ValueError, match="same architecture"):
        init.mup_roles(mlp(8), nn.Sequential(nn.Linear(8, 8)))
    with pytest.raises(ValueError, match="did you mean 'adam'"):
        init.mup_param_groups(mlp(8), mlp(4), 0.1, optimizer="adamw")
    with pytest.raises(ValueError, match="lr"):
        init.mup_param_groups(mlp(8), mlp(4), 0.0)
    with pytest.raises(ValueError, match="gain"):
        init.mup(mlp(8), mlp(4), gain=0.0)


# The spectral condition


@pytest.mark.parametrize(
    "shape", [(800, 100), (100, 800), (400, 400), (64, 16, 3, 3)]
)
def test_spectral_condition_at_the_start(shape):
    w = init.spectral(
        torch.empty(shape, dtype=torch.float64), generator=source()
    )
    n_in, n_out = init.fans(w)
    # as a map between the two fans; a kernel's matrix has c_out rows
    rows = shape[0]
    std = 1 / math.sqrt(n_in) * min(1, math.sqrt(n_out / n_in))
    assert float(w.square().mean()) == pytest.approx(
        std**2, rel=5 * math.sqrt(2 / w.numel())
    )
    if len(shape) == 2:
        scaled = init.spectral_norm(w) / math.sqrt(rows / n_in)
        assert 1 < scaled < 2.05


def test_spectral_groups():
    net = nn.Sequential(nn.Linear(20, 5), nn.PReLU())
    sgd = init.spectral_param_groups(net, 0.1)
    assert [g["lr"] for g in sgd] == pytest.approx([0.025, 0.5, 0.1])
    adam = init.spectral_param_groups(net, 0.1, optimizer="adam")
    assert [g["lr"] for g in adam] == pytest.approx([0.005, 0.1, 0.1])
    torch.optim.SGD(sgd)


# Spectral normalization


def test_spectral_normalization_against_torch():
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.ConvTranspose2d(8, 4, 3)
    )
    ours = {k: v.clone() for k, v in net.state_dict().items()}
    state = torch.random.get_rng_state()
    names = init.spectral_normalize(net, n_power_iterations=60, seed=4)
    assert torch.equal(state, torch.random.get_rng_state())
    assert names == ["0", "2"]
    w = ours["0.weight"].flatten(1)
    torch.testing.assert_close(
        net[0].weight.flatten(1), w / torch.linalg.matrix_norm(w, 2),
        rtol=1e-4, atol=1e-5,
    )  # fmt: skip
    w = ours["2.weight"].transpose(0, 1).flatten(1)
    torch.testing.assert_close(
        net[2].weight.transpose(0, 1).flatten(1),
        w / torch.linalg.matrix_norm(w, 2), rtol=1e-4, atol=1e-5,
    )  # fmt: skip
    # a reparametrisation: it holds after a step of training as well
    net(torch.randn(2, 3, 6, 6, generator=source())).square().sum().backward()
    torch.optim.SGD(net.parameters(), 0.1).step()
    top = torch.linalg.matrix_norm(net[0].weight.detach().flatten(1), 2)
    assert float(top) == pytest.approx(1, abs=0.01)


def test_spectral_normalization_refusals():
    net = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    with pytest.raises(ValueError, match="no layer with a weight"):
        init.spectral_normalize(net, ["1"])
    init.spectral_normalize(net)
    with pytest.raises(ValueError, match="parametrized already"):
        init.spectral_normalize(net)
    assert any("parametrized" in why for why in
               init.initialize(net).left.values())  # fmt: skip
