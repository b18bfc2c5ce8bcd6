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


class Growing(nn.Module):
    """Parameters of no known layer, and layers whose groups grow."""

    def __init__(self, n):
        super().__init__()
        self.hand = nn.Parameter(torch.zeros(n, n))
        self.place = nn.Parameter(torch.zeros(1, 7, n))
        self.experts = nn.Parameter(torch.zeros(5, n, 2 * n))
        self.still = nn.Parameter(torch.zeros(3, 4))
        self.few = nn.Bilinear(n, 6, n)
        self.depthwise = nn.Conv2d(n, n, 3, groups=n, bias=False)
        self.up = nn.ConvTranspose2d(n, n, 3, groups=n)
        self.grouped = nn.Conv1d(n, 2 * n, 3, groups=4)
        self.more = nn.Conv1d(n, n, 3, groups=n // 4)


# role, and factors of Adam's and SGD's rate, for width 16 -> 64
FACTORS = {
    "hand": ("hidden", 1 / 4, 1), "place": ("vector", 1, 4),
    "experts": ("hidden", 1 / 4, 1), "still": ("fixed", 1, 1),
    "few.weight": ("hidden", 1 / 4, 1), "few.bias": ("vector", 1, 4),
    "depthwise.weight": ("vector", 1, 4), "up.weight": ("vector", 1, 4),
    "up.bias": ("vector", 1, 4), "grouped.weight": ("hidden", 1 / 4, 1),
    "grouped.bias": ("vector", 1, 4), "more.weight": ("vector", 1, 4),
    "more.bias": ("vector", 1, 4),
}  # fmt: skip


def test_axes_that_grow_are_counted():
    roles = init.mup_roles(Growing(64), Growing(16))
    assert {
        k: (r.role, r.lr("adam"), r.lr("sgd")) for k, r in roles.items()
    } == FACTORS
    for optimizer, place in (("adam", 1), ("sgd", 2)):
        groups = init.mup_param_groups(
            Growing(64), Growing(16), 0.1, optimizer=optimizer
        )
        for group in groups:
            for name in group["names"]:
                assert group["lr"] == 0.1 * FACTORS[name][place]


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda n: nn.Bilinear(n, n, n), "'weight'"),
        (lambda n: nn.Bilinear(n, n, 3), "'weight'"),
        (lambda n: nn.ParameterList([torch.zeros(n, n, n)]), "'0'"),
        (lambda n: nn.Conv2d(3, 8, n // 4), "'weight' has a kernel"),
        (lambda n: nn.ConvTranspose1d(n, n, n), "'weight' has a kernel"),
    ],
)
def test_growth_without_a_rule_is_refused(make, name):
    with pytest.raises(ValueError, match=name):
        init.mup_roles(make(16), make(8))


class Steps(nn.Module):
    """One kind of hidden weight between fixed ends."""

    def __init__(self, n, kind):
        super().__init__()
        self.stem = nn.Conv1d(3, n, 1, bias=False)
        if kind == "depthwise":
            self.body = nn.Conv1d(n, n, 3, groups=n, bias=False)
        else:
            self.body = nn.Parameter(torch.zeros(n, n))
        self.head = nn.Conv1d(n, 2, 1, bias=False)

    def features(self, x):
        h = torch.tanh(self.stem(x))
        if isinstance(self.body, nn.Parameter):
            return (self.body @ h)[..., 1:-1]
        return self.body(h)

    def forward(self, x):
        return self.head(torch.tanh(self.features(x)))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("kind", ["depthwise", "hand-written"])
def test_a_step_changes_features_alike_at_every_width(kind, optimizer):
    """Summed up: three steps of the body alone, width 16 to 512."""
    x = torch.randn(8, 3, 9, generator=source(1))
    changes = []
    for n in (32, 512):
        net, base = Steps(n, kind), Steps(16, kind)
        init.mup(net, base, seed=2)
        if kind == "hand-written":
            init.lecun_normal(net.body.data, generator=source(3))
        groups = init.mup_param_groups(net, base, 0.02, optimizer=optimizer)
        body = {"body", "body.weight"}
        groups = [g for g in groups if body & {*g["names"]}]
        kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
        learner = kinds[optimizer](groups)
        before = net.features(x).detach()
        for _ in range(3):
            learner.zero_grad()
            net(x).sum().backward()
            learner.step()
        change = (net.features(x) - before).detach()
        changes.append(float(change.square().mean().sqrt()))
    assert 1 / 2.5 < changes[1] / changes[0] < 2.5


def language(first, tied=True):
    """A table and a head that may share it, either one first."""

    def make(n):
        layers = {"emb": nn.Embedding(50, n), "body": nn.Linear(n, n)}
        layers["head"] = nn.Linear(n, 50, bias=False)
        if first == "head":
            layers = dict(reversed(layers.items()))
        net = nn.ModuleDict(layers)
        if tied:
            net["head"].weight = net["emb"].weight
        return net

    return make


@pytest.mark.parametrize("first", ["emb", "head"])
def test_a_shared_table_is_an_input_weight_in_either_order(first):
    make = language(first)
    net = make(32)
    table = net["emb"].weight.detach().clone()
    report = init.mup(net, make(8))
    assert torch.equal(net["emb"].weight, table)
    assert "divide the output of its layer by 4" in report.notes[0]
    (shared,) = (
        r for k, r in init.mup_roles(net, make(8)).items()
        if k == f"{first}.weight"
    )  # fmt: skip
    assert (shared.role, shared.lr("adam"), shared.lr("sgd")) == (
        "input", 1, 4,
    )  # fmt: skip
    for optimizer in ("adam", "sgd"):
        groups = init.mup_param_groups(net, make(8), 1.0, optimizer=optimizer)
        assert sum(len(g["params"]) for g in groups) == 3
    rates = init.spectral_param_groups(net, 1.0)
    by_name = {n: g["lr"] for g in rates for n in g["names"]}
    assert by_name[f"{first}.weight"] == 1.0


def test_a_tensor_with_two_roles_is_refused():
    def make(n):
        net = nn.ModuleList([nn.Linear(5, n), nn.ConvTranspose1d(n, 5, 1)])
        net[0].weight = nn.Parameter(torch.zeros(n, 5, 1))
        net[1].weight = net[0].weight
        return net

    with pytest.raises(ValueError, match="two roles"):
        init.mup_roles(make(8), make(4))


@pytest.mark.parametrize(
    "put_on",
    [
        nn.utils.spectral_norm,
        nn.utils.parametrizations.weight_norm,
        nn.utils.parametrizations.spectral_norm,
        lambda m: nn.utils.prune.identity(m, "weight"),
    ],
)
def test_mup_refuses_computed_weights(put_on):
    def make(n, put=lambda m: m):
        return nn.Sequential(nn.Linear(4, n), put(nn.Linear(n, 2)))

    for call in (
        init.mup_roles,
        init.mup,
        lambda m, b: init.mup_param_groups(m, b, 0.1),
    ):
        for pair in (
            (make(8, put_on), make(4, put_on)),
            (make(8), make(4, put_on)),
        ):
            with pytest.raises(ValueError, match=r"'1\.weight' is computed"):
                call(*pair)


def test_a_base_without_memory_gives_the_shapes():
    with torch.device("meta"):
        base = mlp(16)
    assert init.mup_roles(mlp(64), base) == init.mup_roles(mlp(64), mlp(16))
    init.mup(mlp(64), base)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_each_group_decays_at_one_speed(optimizer):
    net = Growing(64)
    groups = init.mup_param_groups(
        net, Growing(16), 0.02, optimizer=optimizer, weight_decay=0.3
    )
    with torch.no_grad():
        for p in net.parameters():
            p.fill_(1.0)
            p.grad = torch.zeros_like(p)
    kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.AdamW}
    kinds[optimizer](groups).step()
    for p in net.parameters():
        torch.testing.assert_close(p, torch.full_like(p, 1 - 0.02 * 0.3))
    plain = init.mup_param_groups(net, Growing(16), 0.02)
    assert not any("weight_decay" in g for g in plain)
    with pytest.raises(ValueError, match="weight_decay"):
        init.mup_param_groups(net, Growing(16), 0.1, weight_decay=-1)


@pytest.mark.parametrize("role", ["input", "hidden", "vector", "fixed"])
@pytest.mark.parametrize("optimizer", ["adamw", "nonsense", None, "Adam"])
def test_a_role_knows_its_optimizers(role, optimizer):
    with pytest.raises(ValueError, match="unknown optimizer"):
        init.Role(role, 2.0, 2.0).lr(optimizer)


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


@pytest.mark.parametrize("groups", [1, 4, 16])
def test_spectral_groups_of_a_convolution_count_together(groups):
    layer = nn.Conv1d(16, 32, 3, groups=groups, bias=False)
    (sgd,) = init.spectral_param_groups(layer, 1.0)
    assert sgd["lr"] == 32 / (16 / groups)
    (adam,) = init.spectral_param_groups(layer, 1.0, optimizer="adam")
    assert adam["lr"] == 1 / (3 * 16 / groups)


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
