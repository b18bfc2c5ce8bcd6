"""Whatever reads the model reads the point: surfaces, lines and curvature.

The oracle is a plain loop that writes the weights into a copy of model and
loss, and full double differentiation.
"""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from dldna.landscape import (
    Operator,
    line,
    sam_sharpness,
    surface,
    top_eigenpairs,
    trace,
)
from dldna.landscape import curves as connectivity
from dldna.objective import Objective, Weighed, in_place
from dldna.training import evaluate

X = torch.randn(24, 6, generator=torch.Generator().manual_seed(0))
Y = torch.randint(0, 3, (24,), generator=torch.Generator().manual_seed(1))


class Net(nn.Module):
    """A network that some part of which is reached past its parameters."""

    def __init__(self, kind=""):
        super().__init__()
        self.a, self.b, self.kind = nn.Linear(6, 5), nn.Linear(5, 3), kind
        self.all = list(self.parameters())
        self.calls = 0

    def body(self, x):
        if self.kind == "list":
            w, bias, *_ = self.all
            return torch.tanh(F.linear(x, w, bias))
        return torch.tanh(self.a(x))

    def forward(self, x):
        self.calls += 1
        if self.kind == "checkpoint":
            x = checkpoint(self.body, x, use_reentrant=False)
        elif self.kind == "views":
            x = torch.tanh(F.linear(x, self.view, self.a.bias))
        else:
            x = self.body(x)
        return self.b(x)


def net(kind="", seed=0):
    torch.manual_seed(seed)
    made = Net(kind)
    if kind == "patched":
        old = made.forward
        made.forward = lambda z: old(z / 2)
    if kind == "hook":
        made.a.register_forward_hook(lambda m, i, out: out + made.b.bias.sum())
    if kind == "views":
        made.view = made.a.weight.data
    if kind == "lambda":
        made.act = lambda x: x * made.a.weight.sum()
        made.b.forward = lambda x: made.act(F.linear(x, made.b.weight))
    return made


def cross(model):
    return F.cross_entropy


def l2(model):
    def loss(output, batch):
        penalty = sum(p.square().sum() for p in model.parameters())
        return F.cross_entropy(output, batch[1]) + 0.1 * penalty

    return loss


def proximal(model):
    home = [p.detach().clone() + 0.1 for p in model.parameters()]

    def loss(output, batch):
        pairs = zip(model.parameters(), home, strict=True)
        away = sum((p - h).square().sum() for p, h in pairs)
        return F.cross_entropy(output, batch[1]) + away

    return loss


def no_gradient(model):
    def loss(output, batch):
        size = sum(p.detach().abs().sum() for p in model.parameters())
        return F.cross_entropy(output, batch[1]) + 0.01 * size

    return loss


def consistency(model):
    def loss(output, batch):
        other = model(batch[0] + 0.1)
        gap = (other - output).square().mean()
        return F.cross_entropy(output, batch[1]) + gap

    return loss


def gradient_penalty(model):
    def loss(output, batch):
        x = batch[0].detach().requires_grad_()
        with torch.enable_grad():
            (g,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
        return F.cross_entropy(output, batch[1]) + g.square().mean()

    return loss


class Module(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.inner = [model]  # no submodule

    def forward(self, output, target):
        size = self.inner[0].a.weight.norm()
        return F.cross_entropy(output, target) + size


KINDS = ["", "patched", "hook", "list", "checkpoint", "lambda", "views"]
LOSSES = [
    cross, l2, proximal, no_gradient, consistency, gradient_penalty, Module,
]  # fmt: skip


def written(model, loss, weights, data=(X, Y)):
    """The loss at some weights, by hand."""
    own = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        for p, w in zip(model.parameters(), weights, strict=True):
            p.copy_(w)
    out = model(data[0])
    wants = getattr(loss, "__module__", "").startswith("torch")
    target = data[1] if wants or isinstance(loss, nn.Module) else data
    value = float(loss(out, target).detach())
    model.load_state_dict(own)
    return value


def directions(model):
    g = torch.Generator().manual_seed(2)
    return [
        {
            k: 0.5 * torch.randn(p.shape, generator=g)
            for k, p in model.named_parameters()
        }
        for _ in "ab"
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", LOSSES)
def test_a_surface_shows_what_written_weights_give(kind, make):
    model = net(kind)
    loss, (d, e) = make(model), directions(model)
    before, calls = copy.deepcopy(model.state_dict()), model.calls
    found = surface(model, loss, (X, Y), [d, e], resolution=3)
    assert model.calls == calls
    assert all(
        torch.equal(before[k], v) for k, v in model.state_dict().items()
    )
    for i, a in enumerate(found.alphas):
        for j, b in enumerate(found.betas):
            weights = [
                p.detach() + float(a) * d[k] + float(b) * e[k]
                for k, p in model.named_parameters()
            ]
            true = written(model, loss, weights)
            assert found.losses[i, j] == pytest.approx(true, rel=2e-5)


def hessian(model, loss):
    wants = isinstance(loss, nn.Module) or loss is F.cross_entropy
    value = loss(model(X), Y if wants else (X, Y))
    ps = list(model.parameters())
    slopes = torch.autograd.grad(
        value, ps, create_graph=True, materialize_grads=True
    )
    flat = torch.cat([g.reshape(-1) for g in slopes])
    rows = [
        torch.cat([
            r.reshape(-1)
            for r in torch.autograd.grad(
                x, ps, retain_graph=True, materialize_grads=True
            )
        ])
        for x in flat
    ]  # fmt: skip
    return flat.detach(), torch.stack(rows)


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "views"])
@pytest.mark.parametrize("make", [m for m in LOSSES if m is not no_gradient])
def test_curvature_is_that_of_the_whole_loss(kind, make):
    model = net(kind)
    loss = make(model)
    g, H = hessian(model, loss)
    operator = Operator(model, loss, (X, Y))
    torch.testing.assert_close(operator.gradient(), g, rtol=1e-4, atol=1e-6)
    v = torch.randn(len(g), generator=torch.Generator().manual_seed(3))
    for _ in "abc":
        torch.testing.assert_close(operator @ v, H @ v, rtol=1e-4, atol=1e-5)
    # at another point, and in another type
    away = {k: 2 * p for k, p in operator.point.items()}
    twin = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(2)
    far, _ = hessian(model, loss)
    model.load_state_dict(twin)
    torch.testing.assert_close(
        operator.gradient(away), far, rtol=1e-4, atol=1e-5
    )
    if make is not proximal:
        wide = Operator(model, loss, (X, Y), dtype=torch.float64)
        for _ in "ab":
            torch.testing.assert_close(
                (wide @ v.double()).float(), H @ v, rtol=1e-4, atol=1e-5
            )


def test_the_measures_of_a_penalty_are_those_of_its_formula():
    model = net()
    n = sum(p.numel() for p in model.parameters())
    every = {"products": 4 * n}  # so many that the estimate is exact
    plain = trace(model, F.cross_entropy, (X, Y), **every).value
    assert trace(model, l2(model), (X, Y), **every).value == pytest.approx(
        plain + 0.2 * n, rel=1e-4
    )
    one = top_eigenpairs(model, F.cross_entropy, (X, Y), k=1).eigenvalues
    two = top_eigenpairs(model, l2(model), (X, Y), k=1).eigenvalues
    assert two == pytest.approx(one + 0.2, rel=1e-3)
    assert (
        sam_sharpness(model, l2(model), (X, Y)).value
        > sam_sharpness(model, F.cross_entropy, (X, Y)).value
    )
    with pytest.raises(TypeError, match="reads the network itself"):
        Operator(model, l2(model), (X, Y), matrix="gauss-newton") @ torch.ones(
            n
        )


def test_lines_and_walks_see_a_penalty():
    a, b = net(seed=0), net(seed=1)
    loss = l2(a)
    got = line(a, b, loss, (X, Y), alphas=[0, 0.5, 1])
    walk = connectivity.walk(
        a, connectivity.segment(a, b), loss, (X, Y), points=3
    )
    for i, t in enumerate((0, 0.5, 1)):
        weights = [
            p.detach() * (1 - t) + q.detach() * t
            for p, q in zip(a.parameters(), b.parameters(), strict=True)
        ]
        true = written(a, loss, weights)
        assert got.losses[i] == pytest.approx(true, rel=1e-5)
        assert walk.losses[i] == pytest.approx(true, rel=1e-5)


def test_a_forward_that_writes_into_parameters():
    class Bags(nn.Module):
        def __init__(self):
            super().__init__()
            self.e = nn.Embedding(20, 8, max_norm=1.0)
            self.h = nn.Linear(8, 3)

        def forward(self, x):
            return self.h(self.e(x).mean(1))

    torch.manual_seed(0)
    model = Bags()
    u, v = torch.randint(0, 20, (8, 6)), torch.randint(0, 3, (8,))
    before = [p.detach().clone() for p in model.parameters()]
    d, e = directions(model)
    found = surface(model, F.cross_entropy, (u, v), [d, e], resolution=3)
    assert all(map(torch.equal, before, model.parameters()))
    weights = [w + d[k] for w, k in zip(before, d, strict=True)]
    true = written(model, F.cross_entropy, weights, (u, v))
    assert found.losses[2, 1] == pytest.approx(true, rel=1e-6)


def test_what_a_forward_does_to_its_modules_is_undone():
    class Merge(nn.Module):  # as adapters do: eval() merges, train() parts
        def __init__(self):
            super().__init__()
            self.w, self.merged, self.seen = nn.Linear(6, 3), False, []
            self.d = nn.Parameter(0.1 * torch.randn(3, 6))

        def train(self, mode=True):
            super().train(mode)
            if mode == self.merged:
                self.w.weight.data += -self.d if mode else self.d
                self.merged = not mode
            return self

        def forward(self, x):
            self.seen.append(len(x))
            out = self.w(x)
            return out if self.merged else out + x @ self.d.T

    model = Merge()
    w, out = model.w.weight.detach().clone(), model(X).detach()
    surface(model, F.cross_entropy, (X, Y), resolution=3)
    top_eigenpairs(model, F.cross_entropy, (X, Y), k=1)
    evaluate(model, (X, Y))
    assert torch.equal(model(X), out)
    assert model.seen == [24, 24]
    model.eval().train()
    torch.testing.assert_close(model.w.weight, w)  # w + d - d


def test_a_forward_that_differentiates_itself():
    class Force(nn.Module):
        def __init__(self):
            super().__init__()
            self.e = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))

        def forward(self, r):
            with torch.enable_grad():
                r = r.detach().requires_grad_()
                return -torch.autograd.grad(
                    self.e(r).sum(), r, create_graph=True
                )[0]

    torch.manual_seed(0)
    model, data = Force(), (torch.randn(12, 3), torch.randn(12, 3))
    d, e = directions(model)
    found = surface(model, F.mse_loss, data, [d, e], resolution=3)
    weights = [p.detach() + d[k] for k, p in model.named_parameters()]
    true = written(model, F.mse_loss, weights, data)
    assert found.losses[2, 1] == pytest.approx(true, rel=1e-5)


def test_hooks_on_parameters_do_not_change_the_curvature():
    model = net()
    right = Operator(model, F.cross_entropy, (X, Y))
    v = torch.ones(right.n)
    want = right @ v, right.gradient()
    handle = model.a.weight.register_hook(lambda g: g * 0)
    tried = Operator(model, F.cross_entropy, (X, Y))
    torch.testing.assert_close(tried @ v, want[0])
    torch.testing.assert_close(tried.gradient(), want[1])
    F.cross_entropy(model(X), Y).backward()
    assert float(model.a.weight.grad.norm()) == 0  # still there
    handle.remove()


def test_an_operator_stays_at_its_point_while_the_model_trains_on():
    model = net()
    operator = Operator(model, F.cross_entropy, (X, Y))
    v = torch.ones(operator.n)
    before = operator @ v
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    for _ in "abc":
        optimizer.zero_grad()
        F.cross_entropy(model(X), Y).backward()
        optimizer.step()
        torch.testing.assert_close(operator @ v, before)
    now = Operator(model, F.cross_entropy, (X, Y))
    assert not torch.allclose(now @ v, before)


LOADS = {
    "class weights": nn.CrossEntropyLoss(torch.tensor([1.0, 5.0, 20.0])),
    "ignored": nn.CrossEntropyLoss(ignore_index=0),
    "sum": nn.CrossEntropyLoss(reduction="sum"),
    "none": nn.CrossEntropyLoss(reduction="none"),
    "partial": partial(F.cross_entropy, weight=torch.tensor([1.0, 2.0, 4.0])),
    "own": Weighed(
        lambda output, batch: (
            (
                F.cross_entropy(output, batch[1], reduction="none")
                * (w := torch.tensor([1.0, 3.0, 9.0]).to(output)[batch[1]])
            ).sum()
            / w.sum()
        ),
        lambda batch: torch.tensor([1.0, 3.0, 9.0])[batch[1]].sum(),
    ),
}


@pytest.mark.parametrize("name", LOADS)
def test_one_meaning_of_the_mean_loss_in_all_rooms(name):
    loss, model = LOADS[name], net()
    order = Y.argsort()  # batches that are not alike
    x, y = X[order], Y[order]
    cut = [(x[a:b], y[a:b]) for a, b in ((0, 8), (8, 13), (13, 24))]
    whole = Objective(model, loss, (x, y))
    right = whole.loss()
    assert surface(
        model, loss, cut, resolution=3
    ).centre_loss == pytest.approx(right, rel=1e-6)
    assert evaluate(model, cut, loss)[0] == pytest.approx(right, rel=1e-6)
    parts = Objective(model, loss, cut)
    assert parts.loss() == pytest.approx(right, rel=1e-6)
    torch.testing.assert_close(
        parts.gradient(), whole.gradient(), rtol=1e-4, atol=1e-7
    )
    half = top_eigenpairs(model, loss, cut, k=1, dtype=torch.float64)
    full = top_eigenpairs(model, loss, (x, y), k=1, dtype=torch.float64)
    assert half.eigenvalues == pytest.approx(full.eigenvalues, rel=1e-5)


def test_ignored_targets_are_no_answers():
    class Same(nn.Module):
        def __init__(self):
            super().__init__()
            self.p = nn.Parameter(torch.zeros(1))

        def forward(self, x):
            return x + self.p

    logits = 9 * torch.eye(4)[None]
    data = [(logits, torch.tensor([[0, 1, -100, -100]]))]
    assert evaluate(Same(), data)[1] == 1.0
    data.append((logits, torch.full((1, 4), -100)))  # changes nothing
    loss, accuracy = evaluate(Same(), data)
    assert accuracy == 1.0
    assert np.isfinite(loss)


@pytest.mark.parametrize("wrap", ["old", "new"])
@pytest.mark.parametrize("dim", [0, 1, None])
@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`")
def test_weight_norm_has_the_curvature_of_its_formula(wrap, dim):
    class Plain(nn.Module):
        def __init__(self, layer):
            super().__init__()
            self.bias = nn.Parameter(layer.bias.detach().clone())
            w = layer.weight.detach().clone()
            axes = [i for i in (0, 1) if dim is None or i != dim]
            size = w.norm(dim=axes, keepdim=True)
            self.g = nn.Parameter(
                size if dim is not None else size.reshape([])
            )
            self.v, self.axes = nn.Parameter(w), axes

        def forward(self, x):
            size = self.v.norm(dim=self.axes, keepdim=True)
            return F.linear(x, self.v * (self.g / size), self.bias)

    torch.manual_seed(0)
    layer, head = nn.Linear(6, 5).double(), nn.Linear(5, 3).double()
    twin = nn.Sequential(Plain(layer), nn.Tanh(), copy.deepcopy(head))
    norm = {
        "old": torch.nn.utils.weight_norm,
        "new": torch.nn.utils.parametrizations.weight_norm,
    }[wrap]
    net = nn.Sequential(norm(layer, dim=dim), nn.Tanh(), head)
    data = X.double(), Y
    one, two = (Operator(m, F.cross_entropy, data) for m in (net, twin))
    torch.testing.assert_close(one.gradient(), two.gradient())
    v = torch.randn(one.n, generator=torch.Generator().manual_seed(1)).double()
    torch.testing.assert_close(one @ v, two @ v)


@pytest.mark.parametrize("kind", ["other numbers", "the same memory", "equal"])
def test_a_model_s_own_numbers_come_back_whatever_is_known(kind):
    net = nn.Linear(2, 1)
    own = net.weight.detach().clone()
    known = {
        "other numbers": own + 1,
        "the same memory": net.weight.detach(),
        "equal": own.clone(),
    }[kind]
    with in_place(net, write=True, known={"weight": known}) as put:
        put({"weight": torch.full((1, 2), 7.0)})
    assert torch.equal(net.weight, own)
