"""Models, losses and data of unusual kinds beside a plain loop.

The oracle writes the weights into the model itself and calls it, or
differentiates twice. A kind is right in every call, or refused in words,
and what the model keeps is afterwards as it was.
"""

import copy
import functools
import weakref
from collections import deque

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint_sequential

from dldna import landscape, objective, training
from dldna.landscape import curves

# Of torch's own compiler, which looks at the gradients of its inputs.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute")
WIDE = torch.float64
g = torch.Generator().manual_seed(7)
X = torch.randn(12, 4, generator=g, dtype=WIDE)
Y = torch.randint(0, 3, (12,), generator=g)
CE = nn.CrossEntropyLoss()


def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()


class Around(nn.Module):
    """A small network inside a module of another kind."""

    def __init__(self):
        super().__init__()
        self.net = small()

    def forward(self, x):
        return self.net(x)


def plain_of(net):
    return lambda: F.cross_entropy(net(X), Y)


# Kinds that are right: (model, loss, data, the loss as a plain call)


def a_copy_in_the_loss():
    net = small()
    teacher = copy.deepcopy(net).requires_grad_(False)
    for p in teacher.parameters():
        p.data.add_(0.1)

    def loss(output, batch):
        pairs = zip(net.parameters(), teacher.parameters(), strict=True)
        pull = sum((p - q).square().sum() for p, q in pairs)
        return F.cross_entropy(output, batch[1]) + 0.5 * pull

    return net, loss, (X, Y), lambda: loss(net(X), (X, Y))


def a_hook_writes_a_buffer():
    net = small()
    net.register_buffer("seen", torch.zeros(12, 5, dtype=WIDE))

    def hook(module, args, output):
        net.seen = output.square()

    net[1].register_forward_hook(hook)

    def loss(output, batch):
        return F.cross_entropy(output, batch[1]) + 0.3 * net.seen.mean()

    return net, loss, (X, Y), lambda: loss(net(X), (X, Y))


def a_penalty_on_input_gradients():
    net = small()

    def loss(output, batch):
        x = batch[0].clone().requires_grad_()
        (slope,) = torch.autograd.grad(net(x).sum(), x, create_graph=True)
        return F.cross_entropy(output, batch[1]) + slope.square().mean() / 10

    return net, loss, (X, Y), lambda: loss(net(X), (X, Y))


def a_penalty_on_its_own_gradient():
    net = small()

    def loss(output, batch):
        value = F.cross_entropy(output, batch[1])
        slopes = torch.autograd.grad(
            value, list(net.parameters()), create_graph=True
        )
        return value + 0.05 * sum(s.square().sum() for s in slopes)

    return net, loss, (X, Y), lambda: loss(net(X), (X, Y))


def orthogonal_weights():
    torch.manual_seed(0)
    layer = nn.utils.parametrizations.orthogonal(nn.Linear(4, 4))
    net = nn.Sequential(layer, nn.Tanh(), nn.Linear(4, 3)).double()
    return net, CE, (X, Y), plain_of(net)


def weights_tied_in_two_owners():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.Linear(4, 3)
    ).double()
    net[2].weight = net[0].weight
    return net, CE, (X, Y), plain_of(net)


def whole_numbers_that_stand_still():
    class Quantised(nn.Module):
        def __init__(self):
            super().__init__()
            whole = torch.randint(-3, 3, (4, 4), dtype=torch.int8)
            self.whole = nn.Parameter(whole, requires_grad=False)
            self.scale = nn.Parameter(torch.tensor(0.3, dtype=WIDE))
            self.head = nn.Linear(4, 3).double()

        def forward(self, x):
            return self.head(torch.tanh(x @ (self.whole.to(x) * self.scale)))

    torch.manual_seed(0)
    net = Quantised()
    return net, CE, (X, Y), plain_of(net)


def batches_of_which_one_is_empty():
    net = small()
    return (
        net,
        CE,
        [(X[:7], Y[:7]), (X[:0], Y[:0]), (X[7:], Y[7:])],
        (plain_of(net)),
    )


def a_batch_whose_targets_are_ignored():
    net, y = small(), Y.clone()
    y[:4] = -100
    data = [(X[:4], y[:4]), (X[4:], y[4:])]
    return net, CE, data, lambda: F.cross_entropy(net(X), y)


def weights_in_the_batch():
    net, w = small(), torch.linspace(0.1, 3, 12, dtype=WIDE)

    def mean(output, batch):
        y, weight = batch[1]
        each = F.cross_entropy(output, y, reduction="none")
        return (each * weight).sum() / weight.sum()

    loss = objective.Weighed(mean, lambda batch: float(batch[1][1].sum()))
    data = [(X[a:b], (Y[a:b], w[a:b])) for a, b in ((0, 3), (3, 12))]
    return net, loss, data, lambda: mean(net(X), (X, (Y, w)))


def gradients_that_are_sparse():
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(9, 4, sparse=True).double()
            self.head = nn.Linear(4, 3).double()

        def forward(self, words):
            return self.head(torch.tanh(self.table(words).mean(1)))

    torch.manual_seed(0)
    net, words = Words(), torch.randint(0, 9, (12, 3))
    return net, CE, (words, Y), lambda: F.cross_entropy(net(words), Y)


def checkpointed_parts():
    class Parts(Around):
        def forward(self, x):
            return checkpoint_sequential(self.net, 2, x, use_reentrant=False)

    net = Parts()
    return net, CE, (X, Y), plain_of(net.net)


def a_part_that_is_compiled():
    net = small()
    net[1] = torch.compile(net[1], backend="eager")
    return net, CE, (X, Y), plain_of(net)


def a_helper_that_points_back():
    class Head:
        def __init__(self, home):
            self.home = weakref.proxy(home)

        def __call__(self, z):
            return z @ self.home.last

    class Pointing(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(4, 5).double()
            self.last = nn.Parameter(torch.randn(5, 3, dtype=WIDE))
            self.head = Head(self)

        def forward(self, x):
            return self.head(torch.tanh(self.first(x)))

    torch.manual_seed(0)
    net = Pointing()
    return net, CE, (X, Y), plain_of(net)


def a_first_layer_in_place():
    net = nn.Sequential(nn.ReLU(inplace=True), *small())
    return net, CE, (X, Y), lambda: F.cross_entropy(net(X.clone()), Y)


def views_of_one_memory():
    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            flat = torch.randn(35, dtype=WIDE) / 2
            self.one = nn.Parameter(flat[:20].view(5, 4))
            self.two = nn.Parameter(flat[20:].view(3, 5))

        def forward(self, x):
            return F.linear(torch.tanh(F.linear(x, self.one)), self.two)

    torch.manual_seed(0)
    net = Flat()
    return net, CE, (X, Y), plain_of(net)


def noting(make, note):
    """A module that notes something at each call, harmlessly."""

    class Noting(Around):
        def __init__(self):
            super().__init__()
            self.notes = make()

        def forward(self, x):
            note(self, x)
            return self.net(x)

    def build():
        net = Noting()
        return net, CE, (X, Y), plain_of(net.net)

    return build


def _count(self, x):
    self.notes += 1


def _add(self, x):
    self.notes += x.detach().abs().sum(0)


def _log(self, x):
    self.notes["sums"].append(float(x.sum()))


def _push(self, x):
    self.notes.append(float(x.sum()))


def _mark(self, x):
    self.notes[0] += 1


def _draw(self, x):
    torch.rand(3, generator=self.notes)


def _run(self, x):
    self.notes[0](self.net(x).detach())


RIGHT = {
    make.__name__.replace("_", " "): make
    for make in (
        a_copy_in_the_loss,
        a_hook_writes_a_buffer,
        a_penalty_on_input_gradients,
        a_penalty_on_its_own_gradient,
        orthogonal_weights,
        weights_tied_in_two_owners,
        whole_numbers_that_stand_still,
        batches_of_which_one_is_empty,
        a_batch_whose_targets_are_ignored,
        weights_in_the_batch,
        gradients_that_are_sparse,
        checkpointed_parts,
        a_part_that_is_compiled,
        a_helper_that_points_back,
        a_first_layer_in_place,
        views_of_one_memory,
    )
} | {
    "notes a number": noting(int, _count),
    "notes in a tensor": noting(lambda: torch.zeros(4, dtype=WIDE), _add),
    "notes in a list inside": noting(lambda: {"sums": []}, _log),
    "notes in a deque": noting(lambda: deque(maxlen=3), _push),
    "notes in an array": noting(lambda: np.zeros(2), _mark),
    "draws from its own generator": noting(
        lambda: torch.Generator().manual_seed(0), _draw
    ),
    "runs a norm it keeps in a list": noting(
        lambda: [nn.BatchNorm1d(3).double()], _run
    ),
}
kinds = pytest.mark.parametrize("kind", RIGHT)


def content(value):
    """A value in a form that equals that of the same value alone."""
    if isinstance(value, torch.Generator):
        return value.get_state().tolist()
    if isinstance(value, torch.Tensor):
        return value.detach().tolist()
    if isinstance(value, nn.Module):
        state = {k: v.tolist() for k, v in value.state_dict().items()}
        return repr((state, value.training))
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (list, tuple, deque)):
        return [content(v) for v in value]
    if isinstance(value, dict):
        return {k: content(v) for k, v in value.items()}
    return value


def state(net):
    tensors = dict(net.named_parameters()) | dict(net.named_buffers())
    return {
        "tensors": {k: (id(v), v.tolist()) for k, v in tensors.items()},
        "asked": [p.requires_grad for p in net.parameters()],
        "grads": [p.grad for p in net.parameters()],
        "random": torch.get_rng_state().tolist(),
        "kept": {
            name: {
                k: content(v)
                for k, v in vars(m).items()
                if not k.startswith("_")
            }
            for name, m in net.named_modules()
        },
    }


def steps(net, seed):
    draw = torch.Generator().manual_seed(seed)
    return {
        k: 0.1 * torch.randn(p.shape, generator=draw, dtype=WIDE).to(p.dtype)
        if p.is_floating_point()
        else torch.zeros_like(p)
        for k, p in net.named_parameters()
    }


def written(net, plain, moves):
    """The plain loss with the weights written into the model."""
    named = dict(net.named_parameters())
    before = {k: p.detach().clone() for k, p in named.items()}
    for share, step in moves:
        for k, p in named.items():
            if p.is_floating_point():
                p.data.add_(step[k], alpha=share)
    value = float(plain().detach())
    for k, p in named.items():
        p.data.copy_(before[k])
    return value


def dense_hessian(net, plain):
    free = [p for p in net.parameters() if p.requires_grad]

    def flat(parts):
        return torch.cat(
            [
                (torch.zeros_like(p) if t is None else t)
                .to_dense()
                .reshape(-1)
                for t, p in zip(parts, free, strict=True)
            ]
        )

    slope = flat(
        torch.autograd.grad(
            plain(), free, create_graph=True, allow_unused=True
        )
    )
    rows = []
    for s in slope:
        found = [None] * len(free)
        if s.requires_grad:
            found = torch.autograd.grad(
                s, free, retain_graph=True, allow_unused=True
            )
        rows.append(flat(found).detach())
    return torch.stack(rows)


# Warned of by torch, where a hook's module is part of the graph.
quiet = pytest.mark.filterwarnings("ignore:Full backward hook")


@kinds
def test_values_are_those_of_written_weights(kind):
    net, loss, data, plain = RIGHT[kind]()
    one, two = steps(net, 1), steps(net, 2)
    wanted = np.array(
        [[written(net, plain, [(a, one), (b, two)]) for b in (-1, 0, 1)]
         for a in (-1, 0, 1)]
    )  # fmt: skip
    net, loss, data, plain = RIGHT[kind]()
    before = state(net)
    plane = landscape.surface(net, loss, data, [one, two], resolution=3)
    np.testing.assert_allclose(plane.losses, wanted, rtol=1e-9)
    assert state(net) == before
    row = landscape.line(
        net, landscape.Direction(one), loss, data, alphas=[-1, 0, 1]
    )
    np.testing.assert_allclose(row.losses, wanted[:, 1], rtol=1e-9)
    assert state(net) == before
    ends = [
        {k: p.detach() + c * one[k] for k, p in net.named_parameters()}
        for c in (-1, 1)
    ]
    walk = curves.walk(net, curves.segment(*ends), loss, data, 3)
    np.testing.assert_allclose(walk.losses, wanted[:, 1], rtol=1e-9)
    assert state(net) == before
    assert training.evaluate(net, data, loss)[0] == pytest.approx(
        wanted[1, 1], rel=1e-9
    )
    assert state(net) == before


@quiet
@kinds
def test_curvature_is_that_of_two_backward_passes(kind):
    net, loss, data, plain = RIGHT[kind]()
    exact = dense_hessian(net, plain)
    net, loss, data, plain = RIGHT[kind]()
    before = state(net)
    operator = landscape.Operator(net, loss, data)
    found = operator @ torch.eye(operator.n, dtype=WIDE)
    torch.testing.assert_close(found, exact, rtol=1e-7, atol=1e-9)
    assert state(net) == before
    values = torch.linalg.eigvalsh((exact + exact.T) / 2)
    top = landscape.top_eigenpairs(net, loss, data, k=1, tol=1e-6)
    assert top.eigenvalues[0] == pytest.approx(
        float(values[values.abs().argmax()]), rel=1e-6
    )
    assert state(net) == before


@kinds
def test_a_curve_is_fitted(kind):
    net, loss, data, _ = RIGHT[kind]()
    before = state(net)
    ends = [
        {k: p.detach() + c * s for (k, p), s in
         zip(net.named_parameters(), steps(net, 1).values(), strict=True)}
        for c in (0, 1)
    ]  # fmt: skip
    found = curves.fit_curve(net, *ends, loss, data, steps=3, bends=1)
    assert np.isfinite(found.losses).all()
    assert state(net) == before


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_curve_in_half_precision_moves(dtype):
    net = small().to(dtype)
    ends = [
        {k: p.detach() + c * 0.1 for k, p in net.named_parameters()}
        for c in (0, 1)
    ]
    found = curves.fit_curve(net, *ends, CE, (X.to(dtype), Y), steps=6)
    assert np.isfinite(found.losses).all()
    assert {v.dtype for p in found.points for v in p.values()} == {dtype}
    middle = curves.segment(*ends).at(0.5)
    assert any(
        not torch.equal(v, middle[k]) for k, v in found.bends[0].items()
    )


class Noted(nn.Module):
    """A loss that keeps count in all the ways there are."""

    def __init__(self):
        super().__init__()
        self.register_buffer("n", torch.zeros(()))
        self.calls, self.log = 0, []

    def forward(self, output, target):
        self.calls += 1
        self.n += 1
        self.log.append(len(output))
        return F.cross_entropy(output, target)


class NotedObject:
    """The same, and no module."""

    def __init__(self):
        self.calls, self.log = 0, {"sizes": []}

    def __call__(self, output, target):
        self.calls += 1
        self.log["sizes"].append(len(output))
        return F.cross_entropy(output, target)

    def forward(self, output, target):
        return self(output, target)


# Kinds that are no function of the weights: refused in words.


class Remembers(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(4, 5, batch_first=True).double()
        self.head = nn.Linear(5, 3).double()
        self.state = None

    def forward(self, x):
        out, self.state = self.rnn(x[:, None], self.state)
        return self.head(out[:, -1])


class Warms(Around):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.net(x) * min(1.0, self.calls / 50)


class Centres(Around):
    def __init__(self):
        super().__init__()
        self.register_buffer("centre", torch.zeros(3, dtype=WIDE))

    def forward(self, x):
        z = self.net(x)
        self.centre.mul_(0.9).add_(0.1 * z.detach().mean(0))
        return z - self.centre


class Draws(Around):
    def __init__(self):
        super().__init__()
        self.own = torch.Generator().manual_seed(0)

    def forward(self, x):
        noise = torch.randn(x.shape, generator=self.own, dtype=WIDE)
        return self.net(x + 0.1 * noise)


CALLS = {
    "surface": lambda net, *given: landscape.surface(
        net, *given, resolution=3
    ),
    "line": lambda net, *given: landscape.line(
        net, "random", *given, resolution=3
    ),
    "walk": lambda net, *given: curves.walk(
        net, curves.segment(net, copy.deepcopy(net)), *given, 3
    ),
    "top_eigenpairs": lambda net, *given: landscape.top_eigenpairs(
        net, *given, k=1
    ),
    "trace": lambda net, *given: landscape.trace(net, *given, products=6),
    "sam_sharpness": lambda net, *given: landscape.sam_sharpness(
        net, *given, steps=2
    ),
    "fit_curve": lambda net, *given: curves.fit_curve(
        net, net, copy.deepcopy(net).double(), *given, steps=2
    ),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("make", "name"),
    [
        (Remembers, "state"), (Warms, "calls"), (Centres, "centre"),
        (Draws, "own"),
    ],
)  # fmt: skip
def test_what_depends_on_earlier_calls_is_refused(make, name, call):
    torch.manual_seed(0)
    net = make()
    before = state(net) if make is not Draws else None
    with pytest.raises(ValueError, match=f"keeps {name} from call to call"):
        CALLS[call](net, CE, (X, Y))
    if before:
        assert state(net) == before


MEASURES = CALLS | {
    "evaluate": lambda net, loss, data: training.evaluate(net, data, loss),
    "Operator": lambda net, *given: (
        landscape.Operator(net, *given) @ torch.ones(43, dtype=WIDE)
    ),
    "Objective": lambda net, *given: objective.Objective(
        net, *given
    ).gradient(),
    "band": lambda net, *given: landscape.band(
        net, *given, seeds=[0, 1], resolution=3
    ),
    "cost": lambda net, *given: landscape.cost(net, *given, resolution=3),
}


@pytest.mark.parametrize("call", MEASURES)
@pytest.mark.parametrize(
    "wrap",
    [
        lambda loss: loss,
        lambda loss: loss.forward,
        functools.partial,
    ],
    ids=["itself", "its method", "partial"],
)
@pytest.mark.parametrize("make", [Noted, NotedObject])
def test_a_loss_is_as_it_was(make, wrap, call):
    home, data = make(), (X, Y)
    loss = wrap(home)
    MEASURES[call](small(), loss, data)
    assert home.calls == 0
    assert content(home.log) in ([], {"sizes": []})
    if isinstance(home, nn.Module):
        assert float(home.n) == 0


def test_weights_that_a_forward_clips_have_no_curvature_there():
    net = small()

    def clip(module, args):
        module.weight.data.clamp_(-0.3, 0.3)

    net[0].register_forward_pre_hook(clip)
    before = [p.detach().clone() for p in net.parameters()]
    with pytest.raises(ValueError, match="differs from differences"):
        landscape.trace(net, CE, (X, Y), products=6)
    for p, old in zip(net.parameters(), before, strict=True):
        assert torch.equal(p, old)


class Plain(Around):
    def forward(self, x):
        return self.net(x)


@pytest.mark.parametrize("call", [*CALLS, "evaluate"])
def test_surplus_keys_of_a_batch_are_named(call):
    batch = {"x": X, "mask": X[:, 0], "labels": Y}
    calls = CALLS | {
        "evaluate": lambda net, loss, data: training.evaluate(net, data, loss)
    }
    with pytest.raises(TypeError, match="'x', 'mask', and 'labels' went to"):
        calls[call](Plain(), CE, [batch])


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")
def test_evaluate_says_what_cannot_be_called():
    scripted = torch.jit.script(small())
    with pytest.raises(TypeError, match="TorchScript"):
        training.evaluate(scripted, [(X, Y)])
    lazy = nn.Sequential(nn.LazyLinear(3))
    with pytest.raises(ValueError, match="lazy layer"):
        training.evaluate(lazy, [(X, Y)])


def test_a_compiled_part_brings_no_warning_of_torch(recwarn):
    net, loss, data, _ = a_part_that_is_compiled()
    landscape.surface(net, loss, data, resolution=3)
    assert not [w for w in recwarn if "torch.compile" in str(w.message)]
