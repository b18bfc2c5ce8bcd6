"""LSUV, Fixup, T-Fixup, MetaInit and GradInit by their defining property."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dldna import init


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def states(model):
    return {k: v.clone() for k, v in model.state_dict().items()}


def same(model, before):
    return all(torch.equal(v, before[k]) for k, v in
               model.state_dict().items())  # fmt: skip


def images(n=16):
    return torch.randn(n, 4, 8, 8, generator=source(9))


# LSUV


NETS = {
    "mlp": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(256, 60), nn.Tanh(), nn.Linear(60, 30)
    ),
    "conv": lambda: nn.Sequential(
        nn.Conv2d(4, 12, 3),
        nn.ReLU(),
        nn.Conv2d(12, 8, 3, groups=4),
        nn.ReLU(),
        nn.ConvTranspose2d(8, 4, 3, groups=2),
    ),
    "dropout": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(256, 60), nn.Dropout(0.5), nn.Linear(60, 9)
    ),
}


def variances(model, x):
    found = []
    for m in model.modules():
        if isinstance(m, (nn.Linear, nn.modules.conv._ConvNd)):
            m.register_forward_hook(
                lambda _m, _i, out: found.append(
                    float(out.detach().var(correction=0))
                )
            )
    model.eval()(x)
    return found


@pytest.mark.parametrize("kind", NETS)
def test_lsuv_makes_every_output_unit(kind):
    net = NETS[kind]()
    report = init.lsuv(net, images(), tol=1e-3)
    assert all(m.training for m in net.modules())
    for var in variances(net, images()):
        assert var == pytest.approx(1, abs=1.1e-3)
    pairs = report.numbers["variance"]
    assert all(abs(after - 1) < 1e-3 for _, after in pairs.values())
    assert all("lsuv" in f.scheme for f in report.filled if f.fan_in)


def test_lsuv_scales_an_orthonormal_start():
    net = nn.Sequential(nn.Linear(40, 30), nn.ReLU(), nn.Linear(30, 20))
    init.lsuv(net, torch.randn(50, 40, generator=source()))
    for layer in (net[0], net[2]):
        s = init.singular_values(layer.weight)
        assert float(s[0] / s[-1]) == pytest.approx(1, abs=1e-4)


def test_lsuv_stops_within_tol_at_once():
    net = nn.Linear(200, 200)
    x = torch.randn(300, 200, generator=source())
    report = init.lsuv(net, x, tol=0.1)
    assert report.numbers["steps"] == {"": 0}
    start = nn.Linear(200, 200)
    init.initialize(start, "orthogonal", seed=0)
    assert torch.equal(start.weight, net.weight)


def test_lsuv_attention():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.att = nn.MultiheadAttention(16, 4, batch_first=True)

        def forward(self, x):
            return self.att(x, x, x)[0]

    net, x = Net(), torch.randn(8, 5, 16, generator=source())
    init.lsuv(net, x, tol=1e-3)
    assert float(net(x).detach().var(correction=0)) == pytest.approx(
        1, abs=2e-3
    )


@pytest.mark.parametrize("training", [True, False])
def test_lsuv_transformer_layer(training):
    net = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    net.train(training)
    x = torch.randn(8, 5, 16, generator=source())
    report = init.lsuv(net, x, tol=1e-3)
    pairs = report.numbers["variance"]
    assert set(pairs) == {"self_attn", "linear1", "linear2"}
    assert all(abs(after - 1) < 1e-3 for _, after in pairs.values())
    assert net.training is training


def test_lsuv_refuses_and_leaves_the_model():
    net = NETS["mlp"]()
    before = states(net)
    with pytest.raises(ValueError, match="LSUV cannot scale"):
        init.lsuv(net, torch.zeros(4, 4, 8, 8))
    assert same(net, before)
    assert not net[1]._forward_hooks
    with pytest.raises(ValueError, match="tol"):
        init.lsuv(net, images(), tol=0.0)
    with pytest.raises(ValueError, match="nothing to scale"):
        init.lsuv(nn.ReLU(), images())


# Fixup


def residual_net(depth=4, width=12):
    blocks = [
        init.FixupBlock([nn.Linear(width, width) for _ in range(3)])
        for _ in range(depth)
    ]
    return nn.Sequential(nn.Linear(6, width), *blocks, nn.Linear(width, 3))


def test_fixup_zeros_and_factors():
    net, plain = residual_net(), residual_net()
    with torch.no_grad():
        for p in net.parameters():
            p.add_(1.0)
    report = init.fixup(net, seed=5)
    init.initialize(plain, "kaiming_normal", seed=5)
    factor = 4 ** (-1 / (2 * 3 - 2))
    for i in range(1, 5):
        ours, theirs = net[i].layers, plain[i].layers
        assert (ours[2].weight == 0).all()
        for k in (0, 1):
            torch.testing.assert_close(
                ours[k].weight, factor * theirs[k].weight
            )
            assert (ours[k].bias == 0).all()
        assert (net[i].scale == 1).all()
        for b in ("bias_layer", "bias_activation", "bias_out"):
            assert (getattr(net[i], b) == 0).all()
    assert (net[5].weight == 0).all()
    torch.testing.assert_close(net[0].weight, plain[0].weight)
    assert report.numbers["classifier"] == "5"
    assert not report.left
    x = torch.randn(7, 6, generator=source())
    torch.testing.assert_close(net[:5](x), net[0](x))
    assert (net(x) == 0).all()


@pytest.mark.parametrize("m", [1, 2, 4])
def test_fixup_by_names(m):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv1d(2, 4, 3)
            self.branch = nn.ModuleList(
                nn.Conv1d(4, 4, 3, groups=2, padding=1) for _ in range(m)
            )
            self.other = nn.ModuleList(nn.Conv1d(4, 4, 1) for _ in range(m))
            self.head = nn.Linear(4, 2)

    net, plain = Net(), Net()
    names = [f"other.{i}" for i in range(m)]
    init.fixup(net, ["branch", names], classifier="head", seed=1)
    init.initialize(plain, "kaiming_normal", seed=1)
    assert (net.branch[-1].weight == 0).all()
    assert (net.other[-1].weight == 0).all()
    assert (net.head.weight == 0).all()
    if m > 1:
        factor = 2 ** (-1 / (2 * m - 2))
        torch.testing.assert_close(
            net.branch[0].weight, factor * plain.branch[0].weight
        )


def test_fixup_step_does_not_grow_with_depth():
    """One SGD step moves the function by about the learning rate."""

    def change(depth, scheme):
        net = residual_net(depth, 24)
        if scheme == "fixup":
            init.fixup(net, seed=1)
        else:
            init.initialize(net, "kaiming_normal", seed=1)
        x = torch.randn(32, 6, generator=source())
        y = torch.arange(32) % 3
        before = net(x).detach()
        optimizer = torch.optim.SGD(net.parameters(), 1e-3)
        for _ in range(2):
            optimizer.zero_grad()
            F.cross_entropy(net(x), y).backward()
            optimizer.step()
        return float((net(x).detach() - before).norm())

    assert change(32, "fixup") < 4 * change(2, "fixup")
    # without it the deep net explodes, to NaN
    assert not change(32, "kaiming") < 100 * change(2, "kaiming")


def test_fixup_takes_no_stem_or_shortcut_for_a_classifier():
    block = init.FixupBlock(
        [nn.Linear(4, 4), nn.Linear(4, 6)], shortcut=nn.Linear(4, 6)
    )
    net = nn.Sequential(nn.Linear(3, 4), block)
    report = init.fixup(net)
    assert report.numbers["classifier"] is None
    assert "no classifier" in report.notes[0]
    assert (net[0].weight != 0).all()
    assert (block.shortcut.weight != 0).all()
    assert (block.layers[1].weight == 0).all()


def test_fixup_refusals():
    net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    with pytest.raises(ValueError, match="residual branches"):
        init.fixup(net)
    with pytest.raises(ValueError, match="no module named 'x'"):
        init.fixup(net, ["x"])
    with pytest.raises(ValueError, match="no weight layer"):
        init.fixup(net, ["1"])
    with pytest.raises(ValueError, match="no weight layer named"):
        init.fixup(net, ["0"], classifier="head")
    with pytest.raises(ValueError, match="at least one layer"):
        init.FixupBlock([])
    report = init.fixup(net, ["0"])
    assert "without normalization" in report.notes[0]


# T-Fixup


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_tfixup_factors(part):
    n, d = 3, 16
    kind = (
        nn.TransformerEncoderLayer
        if part == "encoder"
        else nn.TransformerDecoderLayer
    )
    net = nn.ModuleDict(
        {
            "embed": nn.Embedding(500, d),
            "layers": nn.ModuleList(kind(d, 4, 32) for _ in range(n)),
        }
    )
    plain = copy.deepcopy(net)
    report = init.tfixup(net, seed=3)
    init.initialize(plain, "xavier_uniform", seed=3)
    factor = 0.67 * n**-0.25 if part == "encoder" else (9 * n) ** -0.25
    names = ["self_attn"] + (["multihead_attn"] if part == "decoder" else [])
    for ours, theirs in zip(net["layers"], plain["layers"], strict=True):
        for name in names:
            a, b = getattr(ours, name), getattr(theirs, name)
            q, k, v = a.in_proj_weight.chunk(3)
            q0, k0, v0 = b.in_proj_weight.chunk(3)
            assert torch.equal(q, q0)
            assert torch.equal(k, k0)
            torch.testing.assert_close(v, factor * v0)
            torch.testing.assert_close(
                a.out_proj.weight, factor * b.out_proj.weight
            )
        for name in ("linear1", "linear2"):
            torch.testing.assert_close(
                getattr(ours, name).weight,
                factor * getattr(theirs, name).weight,
            )
    rms = float(net["embed"].weight.detach().square().mean().sqrt())
    expected = d**-0.5 * (9 * n) ** -0.25
    assert rms == pytest.approx(expected, rel=5 / math.sqrt(2 * 500 * d))
    assert "without layer norm" in report.notes[0]
    assert "embed.weight" in {f.name for f in report.filled}
    with pytest.raises(ValueError, match="T-Fixup is about"):
        init.tfixup(nn.Linear(2, 2))


# MetaInit


def test_quotient_is_the_mean_curvature():
    a = torch.tensor([1.0, 10.0], dtype=torch.float64)
    w = torch.tensor([1.0, -2.0], dtype=torch.float64, requires_grad=True)
    value = init.quotient((0.5 * a * w**2).sum(), [w])
    assert float(value) == pytest.approx(5.5, abs=1e-4)


def test_quotient_against_a_dense_hessian():
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    init.initialize(net, "lecun_normal")
    x = torch.randn(10, 3, generator=source(), dtype=torch.float64)
    y = torch.arange(10) % 2
    value = init.gradient_quotient(net, F.cross_entropy, (x, y))
    flat = torch.cat([p.detach().flatten() for p in net.parameters()])

    def loss(v):
        parts, i = {}, 0
        for k, p in net.named_parameters():
            parts[k] = v[i : i + p.numel()].view(p.shape)
            i += p.numel()
        return F.cross_entropy(torch.func.functional_call(net, parts, x), y)

    g = torch.func.grad(loss)(flat)
    h = torch.func.jacrev(torch.func.grad(loss))(flat)
    sign = torch.where(g >= 0, 1.0, -1.0)
    expected = ((g - h @ g) / (g + 1e-5 * sign) - 1).abs().mean()
    assert value == pytest.approx(float(expected), rel=1e-9)
    assert all(p.grad is None for p in net.parameters())


def test_metainit_lowers_the_quotient_by_norms_alone():
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(20, 32), nn.Tanh(), nn.Linear(32, 32),
        nn.Tanh(), nn.Linear(32, 5),
    )  # fmt: skip
    init.initialize(net, "kaiming_normal", gain=1.4)
    before = states(net)
    report = init.metainit(net, (32, 20), 5, steps=100, seed=1)
    history = report.numbers["quotient"]
    assert sum(history[-20:]) < 0.3 * sum(history[:20])
    for i in (1, 3, 5):
        old, new = before[f"{i}.weight"], net[i].weight.detach()
        cos = F.cosine_similarity(old.flatten(), new.flatten(), dim=0)
        assert abs(float(cos)) == pytest.approx(1, abs=1e-5)
        assert not torch.allclose(old, new)
        assert torch.equal(before[f"{i}.bias"], net[i].bias)
    again = nn.Sequential(*copy.deepcopy(list(net)))
    again.load_state_dict(before)
    assert init.metainit(again, (32, 20), 5, steps=100, seed=1).numbers == (
        report.numbers
    )


def test_metainit_first_step_by_hand():
    net = nn.Sequential(nn.Linear(4, 3, bias=False)).double()
    init.initialize(net, "lecun_normal", gain=None)
    w = net[0].weight.detach().clone()
    x = torch.randn(8, 4, generator=source(2)).double()
    g = source(2)
    torch.randn(8, 4, generator=g)
    y = torch.randint(3, (8,), generator=g)

    def gq(scale):
        v = (scale * w).requires_grad_()
        return float(init.quotient(F.cross_entropy(x @ v.T, y), [v]))

    slope = gq(1 + 1e-5) - gq(1 - 1e-5)
    init.metainit(net, (8, 4), 3, steps=1, seed=2)
    expected = w.norm() - 0.1 * math.copysign(1, slope)
    assert float(net[0].weight.detach().norm()) == pytest.approx(
        float(expected), rel=1e-12
    )


def test_metainit_refusals():
    net = nn.Linear(3, 2)
    with pytest.raises(ValueError, match="classes"):
        init.metainit(net, (4, 3), 1)
    with pytest.raises(ValueError, match="steps"):
        init.metainit(net, (4, 3), 2, steps=0)
    with pytest.raises(ValueError, match="no weight matrix"):
        init.metainit(nn.BatchNorm1d(3), (4, 3), 2)
    with torch.no_grad():
        net.weight.fill_(math.nan)
    with pytest.raises(ValueError, match="finite"):
        init.metainit(net, (4, 3), 2)


# GradInit


def task(n=96):
    x = torch.randn(n, 10, generator=source(4))
    return x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long()


def deep(gain):
    layers = []
    for _ in range(5):
        layers += [nn.Linear(10, 10), nn.Tanh()]
    net = nn.Sequential(*layers, nn.Linear(10, 3))
    init.initialize(net, "kaiming_normal", gain=gain, seed=2)
    return net


def after_one_step(net, batch, lr, optimizer):
    net = copy.deepcopy(net)
    kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
    loss = F.cross_entropy(net(batch[0]), batch[1])
    loss.backward()
    # Adam's first step is lr * sign(g), up to eps
    kinds[optimizer](net.parameters(), lr).step()
    with torch.no_grad():
        return float(F.cross_entropy(net(batch[0]), batch[1]))


@pytest.mark.parametrize(
    ("optimizer", "lr", "gamma"), [("sgd", 0.5, 1.0), ("adam", 0.003, 20.0)]
)
def test_gradinit_pays_in_the_first_step(optimizer, lr, gamma):
    net, batch = deep(3.0), task()
    before = states(net)
    first = after_one_step(net, batch, lr, optimizer)
    start = F.cross_entropy(net(batch[0]), batch[1])
    grads = torch.autograd.grad(start, [*net.parameters()])
    long = torch.cat([g.flatten() for g in grads]).norm(
        p=2 if optimizer == "sgd" else 1
    )
    report = init.gradinit(
        net, F.cross_entropy, batch, optimizer=optimizer, lr=lr,
        gamma=gamma, steps=60, scale_lr=0.03,
    )  # fmt: skip
    assert after_one_step(net, batch, lr, optimizer) < first
    assert report.numbers["grad_norm"][0] == pytest.approx(
        float(long), rel=1e-4
    )
    for name, scale in report.numbers["scales"].items():
        torch.testing.assert_close(
            net.state_dict()[name], scale * before[name]
        )
    loss = F.cross_entropy(net(batch[0]), batch[1])
    grads = torch.autograd.grad(loss, [*net.parameters()])
    flat = torch.cat([g.flatten() for g in grads])
    norm = float(flat.norm() if optimizer == "sgd" else flat.abs().sum())
    assert norm < 1.25 * gamma
    finite = [v for v in report.numbers["loss_after"] if math.isfinite(v)]
    assert finite[-1] < report.numbers["loss"][-1]


def test_gradinit_shrinks_a_long_gradient_first():
    net = deep(6.0)
    report = init.gradinit(net, F.cross_entropy, task(), gamma=0.05, steps=15)
    assert all(math.isnan(v) for v in report.numbers["loss_after"])
    norms = report.numbers["grad_norm"]
    assert norms[-1] < norms[0]
    assert min(report.numbers["scales"].values()) >= 0.01


def test_gradinit_refusals():
    net, before = deep(1.0), states(deep(1.0))
    with pytest.raises(ValueError, match="did you mean 'adam'"):
        init.gradinit(net, F.cross_entropy, task(), optimizer="adamw")
    with pytest.raises(ValueError, match="gamma"):
        init.gradinit(net, F.cross_entropy, task(), gamma=0.0)
    x, y = task()
    with pytest.raises(ValueError, match="the loss is nan"):
        init.gradinit(net, F.cross_entropy, (x * math.nan, y))
    assert same(net, before)


STEERED = {
    "gradinit": lambda net, loss, data: init.gradinit(
        net, loss, data, steps=3
    ).numbers["loss"],
    "metainit": lambda net, loss, _: init.metainit(
        net, (8, 6), 3, loss_fn=loss, steps=3
    ).numbers["quotient"],
    "quotient": init.gradient_quotient,
    "propagate": lambda net, _, data: init.propagate(net, data).variance,
}


@pytest.mark.parametrize("name", STEERED)
def test_gradients_that_are_off_outside_are_on_inside(name):
    data = torch.randn(8, 6), torch.arange(8) % 3
    found = []
    for off in (torch.enable_grad, torch.no_grad, torch.inference_mode):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
        with off():
            result = STEERED[name](net, nn.CrossEntropyLoss(), data)
        found.append(torch.as_tensor(result))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
