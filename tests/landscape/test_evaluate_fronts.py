"""Networks of which a part stands still: it is computed once, and rightly."""

from collections import OrderedDict
from functools import partial
from logging import WARNING

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dldna import params
from dldna.landscape.evaluate import choose
from tests.landscape.test_evaluate_paths import Residual, grid, relative

CALLS, FULL = [], pytest.mark.full


class Noted(nn.Linear):
    def forward(self, x):
        CALLS.append(len(x))
        return super().forward(x)


class Untraced(nn.Module):
    """A forward that branches on values, and writes in place."""

    def __init__(self):
        super().__init__()
        self.front = nn.Sequential(Noted(6, 8), nn.ReLU(inplace=True))
        self.middle = nn.ModuleList([nn.Linear(8, 8), nn.BatchNorm1d(8)])
        self.side = nn.Linear(8, 8)
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        x = self.front(x)
        if float(x.abs().max()) < 0:
            return x
        for layer in self.middle:
            x = x + layer(x)
        y = self.head[0](x) if isinstance(self.head, list) else self.side(x)
        y += x
        return self.head(F.gelu(y))


class Levels(nn.Module):
    """A front with several outputs."""

    def __init__(self, form):
        super().__init__()
        self.below, self.above = Noted(6, 8), nn.Linear(8, 8)
        self.form = form

    def forward(self, x):
        x = self.below(x)
        return self.form({"low": x, "high": self.above(x.relu())})


class Emptied(nn.Module):
    """A head that takes things out of the front's output, and adds some."""

    def __init__(self, form):
        super().__init__()
        self.front, self.head = Levels(form), nn.Linear(8, 4)

    def forward(self, x):
        if x.abs().max() < 0:
            return x
        levels = self.front(x)
        assert len(levels) == 2
        if isinstance(levels, dict):
            return self.head(levels.pop("low")) + self.head(levels["high"])
        levels.append(self.head(levels.pop()))
        return levels[1] + self.head(levels[0])


class Sparse(nn.Linear):
    def forward(self, x):
        return super().forward(x).relu().to_sparse()


class Gathered(nn.Module):
    """One part of the front gives a sparse matrix."""

    def __init__(self):
        super().__init__()
        self.front, self.side = Noted(6, 8), Sparse(6, 8)
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        return self.head(self.front(x) + self.side(x).to_dense())


class Overheard(nn.Module):
    """What a hook saw inside the front is added after it."""

    def __init__(self):
        super().__init__()
        self.front = nn.Sequential(nn.Linear(6, 8), nn.Tanh())
        self.front[0].register_forward_hook(self.note)
        self.head = nn.Linear(8, 4)

    def note(self, module, inputs, output):
        CALLS[:] = [output]

    def forward(self, x):
        return self.head(self.front(x) + CALLS[0])


class Bound(Overheard):
    """The same for batches of three."""

    def forward(self, x):
        return super().forward(x.view(3, 6))


def listed(levels):
    return [*levels.values()]


def setting(model, shape, names, dtype=torch.float64):
    torch.manual_seed(3)
    model = model.to(dtype).eval()
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 2)
    data = [
        (torch.randn(n, *shape, dtype=dtype), torch.randint(4, (n,)))
        for n in (9, 6)
    ]
    origin = {k: v + 0.05 for k, v in params.of(model).items()}
    g = torch.Generator().manual_seed(0)
    directions = []
    for _ in range(2):
        d = params.scale(params.randn_like(origin, g), 0.2)
        moves = [k for k in d if k.startswith(names)]
        assert moves
        directions.append(
            {k: v if k in moves else v * 0 for k, v in d.items()}
        )
    return model, F.cross_entropy, data, origin, directions


@pytest.mark.parametrize(
    "names",
    ["head", "deep.1.conv2", "deep.1.bn1", "deep.1.bn2.bias", "stem", "bn."],
)
def test_a_traced_front_is_computed_once(names):
    given = setting(Residual(), (3, 16, 16), (names,))
    fast = choose(*given, way="layered")
    slow = choose(*given, way="slow")
    assert relative(fast(grid())["loss"], slow(grid())["loss"]) < 1e-12
    layers = {n.target for n in fast.plan.fixed if n.op == "call_module"}
    assert ("stem" in layers) == (names != "stem")
    assert ("deep.0.conv1" in layers) == (names[:4] in ("deep", "head"))
    kept = fast.shared[0]
    assert len(kept) <= 6  # what the front is made of is forgotten


@pytest.mark.parametrize("names", [("head",), ("middle.1", "head.bias")])
def test_an_untraced_front_is_computed_once(names):
    given = setting(Untraced(), (6,), names)
    slow = choose(*given, way="slow")
    true = slow(grid())["loss"]
    before = params.copy(params.of(given[0]))
    fast = choose(*given, way="frozen")
    CALLS.clear()
    assert relative(fast(grid())["loss"], true) < 1e-12
    assert CALLS == [9, 6]
    assert params.norm(params.sub(before, params.of(given[0]))) == 0
    assert "forward" not in vars(given[0].front)


def test_where_all_moves_nothing_is_remembered():
    given = setting(Untraced(), (6,), ("",))
    assert choose(*given).name == "slow"
    with pytest.raises(ValueError, match="all parameters move"):
        choose(*given, way="frozen")


def test_what_comes_after_is_not_remembered():
    given = setting(Untraced(), (6,), ("front",))
    found = choose(*given)
    assert found.name == "slow"
    assert "nothing stands still" in found.notes["passed over"]["frozen"]


@pytest.mark.parametrize("names", [("4.weight",), ("2", "4"), ("0.bias",)])
def test_a_perceptron_s_front_is_computed_once(names):
    net = nn.Sequential(
        nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 7), nn.ReLU(), nn.Linear(7, 4)
    )
    given = setting(net, (6,), names)
    fast, slow = (choose(*given, way=way) for way in ("mlp", "slow"))
    assert relative(fast(grid())["loss"], slow(grid())["loss"]) < 1e-12
    layers = {s.node.target for s in fast.program.steps if s.kind == "first"}
    assert layers == {names[0][0]}


def test_a_front_too_large_to_remember_just_runs():
    model, loss_fn, data, *plane = setting(Untraced(), (6,), ("head",))
    data = [(x.repeat(20, 1), y.repeat(20)) for x, y in data]
    given = model, loss_fn, data, *plane
    short = choose(*given, way="frozen", memory=8000)
    true = choose(*given, way="slow")(grid())["loss"]
    assert relative(short(grid())["loss"], true) < 1e-12
    assert not short.hits


@pytest.mark.parametrize(("kind", "size"), [(Overheard, 1), (Bound, 3)])
def test_what_comes_from_the_last_batch_is_found_out(kind, size):
    model, loss_fn, data, *plane = setting(kind(), (6,), ("head",))
    data = [(x[:size], y[:size]) for x, y in data]
    with pytest.raises(ValueError, match="differs from the slow way"):
        choose(model, loss_fn, data, *plane, way="frozen")


@pytest.mark.parametrize("form", [dict, OrderedDict, listed])
def test_a_front_s_containers_are_each_point_s_own(form):
    given = setting(Emptied(form), (6,), ("head",))
    fast, slow = (choose(*given, way=way) for way in ("frozen", "slow"))
    CALLS.clear()
    made = fast(grid())["loss"]
    assert CALLS == [9, 6]
    assert relative(made, slow(grid())["loss"]) < 1e-12


def wrapped(front):
    front.forward = partial(front.forward)  # as libraries do
    return front


def compiled(front):
    return torch.compile(front, backend="eager")


@pytest.mark.parametrize("by", [wrapped, pytest.param(compiled, marks=FULL)])
def test_a_front_with_a_forward_of_its_own_is_computed_once(by):
    model = Untraced()
    model.front = front = by(nn.Sequential(nn.Linear(6, 8), nn.Tanh()))
    before = front.forward
    given = setting(model, (6,), ("head",))
    fast, slow = (choose(*given, way=way) for way in ("frozen", "slow"))
    true = slow(grid())["loss"]
    assert relative(fast(grid())["loss"], true) < 1e-12
    assert id(front) in {own for own, *_ in fast.calls}
    assert front.forward is before
    assert not any("forward" in vars(m) for m in front.modules() if m != front)


@pytest.mark.full
def test_what_compiles_itself_is_not_traced_with_the_memory(caplog):
    model = Untraced()
    model.front = nn.Sequential(nn.Linear(6, 8), nn.Tanh())
    model.front.compile(backend="eager")
    given = setting(model, (6,), ("head",))
    fast, slow = (choose(*given, way=way) for way in ("frozen", "slow"))
    true = slow(grid())["loss"]
    assert relative(fast(grid())["loss"], true) < 1e-12
    assert not [r for r in caplog.records if r.levelno >= WARNING]


def test_what_cannot_be_remembered_hinders_no_other_part():
    given = setting(Gathered(), (6,), ("head",))
    fast, slow = (choose(*given, way=way) for way in ("frozen", "slow"))
    CALLS.clear()
    made = fast(grid())["loss"]
    assert CALLS == [9, 6]
    assert relative(made, slow(grid())["loss"]) < 1e-12


@pytest.mark.parametrize(
    ("kind", "shape", "way"),
    [(Residual, (3, 16, 16), "layered"), (Untraced, (6,), "frozen")],
)
@pytest.mark.parametrize("buffers", ["nothing", "bn.", "middle.1"])
def test_buffers_that_stand_still_are_part_of_the_front(
    kind, shape, way, buffers
):
    given = setting(kind(), shape, ("head",))
    own = dict(given[0].named_buffers())
    step = {
        k: b * (0.1 if k.startswith(buffers) else 0.0)
        for k, b in own.items()
        if b.is_floating_point()
    }
    fast, slow = (
        choose(
            *given, way=way, statistics="interpolate",
            buffer_directions=[step, step],
        )
        for way in (way, "slow")
    )  # fmt: skip
    CALLS.clear()
    made = fast(grid())["loss"]
    runs = [9, 6] if way == "frozen" else []
    assert runs == CALLS
    assert relative(made, slow(grid())["loss"]) < 1e-12
    if way == "frozen":
        kept = {own for own, *_ in fast.calls}
        assert (id(given[0].middle[1]) in kept) == (buffers != "middle.1")
    else:
        layers = {n.target for n in fast.plan.fixed if n.op == "call_module"}
        assert "stem" in layers
        for behind in ("bn", "deep.0.conv1"):
            assert (behind in layers) == (buffers != "bn.")
