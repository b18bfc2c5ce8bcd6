"""What cannot be right is refused, with its cause and what to do."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from dldna.landscape import (
    Operator,
    connectivity,
    diagonal,
    spectral_density,
    surface,
    top_eigenpairs,
    trace,
)
from dldna.objective import Objective, Weighed
from dldna.training import evaluate

X = torch.randn(24, 6, generator=torch.Generator().manual_seed(0))
Y = torch.randint(0, 3, (24,), generator=torch.Generator().manual_seed(1))
MEASURES = [top_eigenpairs, trace, diagonal, spectral_density]


class Square(torch.autograd.Function):
    """A backward that keeps a detached number: it has no derivative."""

    @staticmethod
    def forward(ctx, z):
        ctx.slope = (2 * z).detach()
        return z * z

    @staticmethod
    def backward(ctx, g):
        return g * ctx.slope


class Through(nn.Module):
    def __init__(self, what):
        super().__init__()
        self.a, self.b, self.what = nn.Linear(6, 8), nn.Linear(8, 3), what

    def forward(self, x):
        if self.what == "reentrant":
            x = checkpoint(self.a, x.requires_grad_(), use_reentrant=True)
            return self.b(torch.tanh(x))
        x = self.a(x)
        return self.b(Square.apply(x) if self.what == "custom" else x.square())


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("reentrant", "gradient that torch calculates.*use_reentrant=False"),
        ("custom", "product with the Hessian.*custom backward"),
    ],
)
@pytest.mark.parametrize("measure", MEASURES)
def test_a_derivative_that_is_none(what, says, measure):
    torch.manual_seed(0)
    with pytest.raises(ValueError, match=says):
        measure(Through(what), F.cross_entropy, (X, Y))
    measure(Through("plain"), F.cross_entropy, (X, Y))


def test_the_part_that_can_be_differentiated_is_still_served():
    torch.manual_seed(0)
    found = top_eigenpairs(
        Through("custom"), F.cross_entropy, (X, Y), params=["b.weight"]
    )
    torch.manual_seed(0)
    plain = top_eigenpairs(
        Through("plain"), F.cross_entropy, (X, Y), params=["b.weight"]
    )
    assert found.eigenvalues == pytest.approx(plain.eigenvalues, rel=1e-4)


class Many(nn.Linear):
    """Counts its samples; draws where they are many."""

    noise, seen = 0.0, 0

    def forward(self, x):
        Many.seen += len(x)
        if len(x) > 8 and self.noise:
            x = x + self.noise * torch.randn(6)
        return super().forward(x)


def test_what_happens_in_large_batches_alone_is_found():
    x = torch.randn(512, 6)
    net, call = Many(6, 6), (F.mse_loss, (x, x))
    Many.seen = 0
    f = Objective(net, *call)
    assert Many.seen < 2 * len(x)
    assert f.own_loss == f.loss()
    net.noise = 1e-3
    with pytest.raises(ValueError, match="draws random numbers"):
        Objective(net, *call)


class Sharp(nn.Module):
    def __init__(self):
        super().__init__()
        self.w, self.a = nn.Parameter(torch.zeros(3)), nn.Linear(6, 1)

    def forward(self, x):
        return self.a(x) + self.w.norm()


@pytest.mark.parametrize("measure", MEASURES)
def test_curvature_that_is_not_finite_is_named(measure):
    with pytest.raises(ValueError, match="not finite in w: look for a norm"):
        measure(Sharp(), F.mse_loss, (X, X[:, :1]))
    measure(Sharp(), F.mse_loss, (X, X[:, :1]), params=["a.weight"])


@pytest.mark.parametrize(
    ("layer", "loss", "name"),
    [
        (nn.Hardsigmoid(), F.cross_entropy, "hardsigmoid"),
        (nn.Identity(), nn.MultiMarginLoss(), "multi_margin_loss"),
    ],
)
def test_an_operation_without_a_second_derivative_is_named(layer, loss, name):
    net = nn.Sequential(nn.Linear(6, 5), layer, nn.Linear(5, 3))
    with pytest.raises(NotImplementedError, match=f"{name} has no second"):
        top_eigenpairs(net, loss, (X, Y))


def compiled():
    with warnings.catch_warnings():  # torch about its own compiler
        warnings.simplefilter("ignore")
        return torch.jit.script(nn.Linear(6, 3))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: nn.Linear(6, 3, dtype=torch.cfloat), "complex numbers in"),
        (compiled, "compiled by TorchScript"),
        (lambda: nn.Sequential(compiled()), r"by TorchScript \(0\)"),
    ],
)
def test_models_whose_tensors_cannot_be_exchanged(make, says):
    net = make()
    for call in (
        lambda: surface(net, F.cross_entropy, (X, Y), resolution=3),
        lambda: trace(net, F.cross_entropy, (X, Y)),
        lambda: Objective(net, F.cross_entropy, (X, Y)),
    ):
        with pytest.raises((TypeError, ValueError), match=says):
            call()


class Quantised(nn.Module):
    def __init__(self):
        super().__init__()
        whole = torch.randint(-5, 5, (6, 6), dtype=torch.int8)
        self.q = nn.Parameter(whole, requires_grad=False)
        self.h = nn.Linear(6, 3)

    def forward(self, x):
        return self.h(x @ self.q.float())


@pytest.mark.parametrize("directions", ["random", "random-raw", "gradient"])
def test_whole_numbers_stay_still(directions):
    torch.manual_seed(0)
    net = Quantised()
    before = net.q.clone()
    chosen = [directions, "random"]
    found = surface(net, F.cross_entropy, (X, Y), chosen, resolution=3)
    assert np.ptp(found.losses) > 0
    assert torch.equal(net.q, before)
    full = Operator(
        net, F.cross_entropy, (X, Y), params=["h.weight", "h.bias"]
    )
    free = Operator(net, F.cross_entropy, (X, Y))
    v = torch.ones(free.n)
    torch.testing.assert_close(free @ v, full @ v)


def test_types_that_a_model_mixes_are_kept():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.b, self.h = nn.Linear(6, 8).bfloat16(), nn.Linear(8, 3)

        def forward(self, x):
            return self.h(self.b(x.bfloat16()).float())

    torch.manual_seed(0)
    net = Mixed()
    operator = Operator(net, F.cross_entropy, (X, Y), params=["h.weight"])
    h = net.b(X.bfloat16()).float().detach()
    plain = nn.Linear(8, 3)
    plain.load_state_dict(net.h.state_dict())
    right = Operator(plain, F.cross_entropy, (h, Y), params=["weight"])
    v = torch.randn(24, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(operator @ v, right @ v)
    whole = Operator(net, F.cross_entropy, (X, Y))
    assert torch.isfinite(whole @ torch.ones(whole.n)).all()


@pytest.mark.parametrize("call", [
    lambda q, r, d: Operator(q, nn.MSELoss(), d),
    lambda q, r, d: trace(q, nn.MSELoss(), d),
    lambda q, r, d: Objective(q, nn.MSELoss(), d),
    lambda q, r, d: evaluate(q, d, nn.MSELoss()),
    lambda q, r, d: surface(q, nn.MSELoss(), d),
    lambda q, r, d: connectivity.walk(
        q, connectivity.segment(q, r), nn.MSELoss(), d, 3
    ),
    lambda q, r, d: connectivity.fit_curve(q, q, r, nn.MSELoss(), d, steps=2),
])  # fmt: skip
def test_every_call_refuses_to_compare_each_with_each(call):
    with pytest.raises(ValueError, match="compare each with each"):
        call(nn.Linear(6, 1), nn.Linear(6, 1), (X, Y.float()))


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.e, self.h = nn.Embedding(30, 8), nn.Linear(8, 30)

    def forward(self, ids):
        return self.h(torch.tanh(self.e(ids)))


def test_a_loss_with_its_own_denominator_is_noticed_and_can_be_said():
    ids = torch.randint(0, 30, (8, 12))
    labels = ids.roll(-1, 1).clone()
    for i, n in enumerate([12, 12, 11, 12, 2, 1, 2, 1]):
        labels[i, n:] = -100

    def tokens(output, batch):
        return F.cross_entropy(output.flatten(0, 1), batch[1].flatten())

    parts = [slice(0, 8)], [slice(0, 4), slice(4, 8)]
    whole, cut = ([(ids[p], labels[p]) for p in some] for some in parts)
    net = Words()
    right = surface(net, tokens, whole, resolution=3).centre_loss
    with pytest.warns(UserWarning, match=r"dldna\.objective\.Weighed"):
        surface(net, tokens, cut, resolution=3)
    with pytest.warns(UserWarning, match=r"dldna\.objective\.Weighed"):
        top_eigenpairs(net, tokens, cut, k=1, tol=0.5)
    with pytest.warns(UserWarning, match=r"dldna\.objective\.Weighed"):
        evaluate(net, cut, tokens)
    said = Weighed(tokens, lambda batch: (batch[1] != -100).sum())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for data in (whole, cut):
            found = surface(net, said, data, resolution=3).centre_loss
            assert found == pytest.approx(right, rel=1e-6)
            loss = Objective(net, said, data).loss()
            assert loss == pytest.approx(right, rel=1e-6)
            assert evaluate(net, data, said)[0] == pytest.approx(
                right, rel=1e-6
            )


def test_tensors_that_the_loss_holds_follow_the_type():
    weight = torch.tensor([1.0, 2.0, 3.0])
    net = nn.Linear(6, 3)
    held = nn.CrossEntropyLoss(weight)
    wide = top_eigenpairs(net, held, (X, Y), dtype=torch.float64)
    twin = nn.Linear(6, 3).double()
    twin.load_state_dict(net.state_dict())
    right = top_eigenpairs(
        twin, nn.CrossEntropyLoss(weight.double()), (X.double(), Y)
    )
    assert wide.eigenvalues == pytest.approx(right.eigenvalues, rel=1e-6)
    assert held.weight.dtype == torch.float32
    assert np.isfinite(
        surface(net, held, (X, Y), resolution=3, dtype="float64").losses
    ).all()

    def closed(output, batch):
        return F.cross_entropy(output, batch[1], weight=weight)

    with pytest.raises(TypeError, match="a tensor that it closes over"):
        top_eigenpairs(net, closed, (X, Y), dtype=torch.float64)


def test_three_things_in_a_tuple():
    def own(output, batch):
        return F.cross_entropy(output, batch[1])

    with pytest.raises(TypeError, match="are read as 3 batches: nest them"):
        surface(nn.Linear(6, 3), own, (X, Y, torch.ones(24)), resolution=3)


def test_an_objective_stands_for_model_loss_and_data():
    net = nn.Linear(6, 3)
    given = Objective(net, F.cross_entropy, (X, Y))
    plain = surface(net, F.cross_entropy, (X, Y), resolution=3)
    shown = surface(given, resolution=3)
    np.testing.assert_array_equal(shown.losses, plain.losses)
    for measure in (top_eigenpairs, trace):
        assert measure(given).provenance.n_samples == 24
    with pytest.raises(TypeError, match="holds its loss and data"):
        surface(given, data=(X, Y))
    part = Objective(net, F.cross_entropy, (X, Y), names=["bias"],
                     dtype="float64")  # fmt: skip
    found = top_eigenpairs(part).provenance
    assert (found.n_params, found.dtype) == (3, "float64")
    with pytest.raises(TypeError, match=r"params=.*this call does not know"):
        connectivity.walk(part, connectivity.segment(net, net))
    with pytest.raises(TypeError, match="the data are missing"):
        Objective(net, F.cross_entropy)
