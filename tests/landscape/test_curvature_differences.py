"""Curvature where torch has no second derivative, or where another has it."""

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import aslinearoperator, eigsh
from torch import nn
from torch.nn import functional as F

from dldna.landscape import (
    NoSecondDerivative,
    Operator,
    diagonal,
    gradient_share,
    keskar_sharpness,
    layer_spectra,
    sam_sharpness,
    spectral_density,
    surface,
    top_eigenpairs,
    trace,
)
from dldna.training.dynamics import gradient_noise

G = torch.Generator().manual_seed(0)
X = torch.randn(24, 6, generator=G)
Y = torch.randint(0, 3, (24,), generator=G)
IDS = torch.randint(0, 9, (24, 5), generator=G)
WIDE = {"dtype": "float64", "way": "difference"}


class Frozen(torch.autograd.Function):
    """x^2 with a backward that keeps a detached number."""

    @staticmethod
    def forward(ctx, z):
        ctx.slope = (2 * z).detach()
        return z * z

    @staticmethod
    def backward(ctx, g):
        return g * ctx.slope


class Layer(nn.Module):
    def __init__(self, call):
        super().__init__()
        self.call = call

    def forward(self, x):
        return self.call(x)


class Distances(nn.Module):
    def __init__(self, call):
        super().__init__()
        self.a, self.call = nn.Linear(6, 4), call
        self.c = nn.Parameter(torch.randn(3, 4))

    def forward(self, x):
        return -self.call(self.a(x), self.c)


def plain_cdist(a, b):
    return (a[:, None] - b).square().sum(-1).sqrt()


class Bag(nn.Module):
    def __init__(self, fused):
        super().__init__()
        self.e = (nn.EmbeddingBag if fused else nn.Embedding)(9, 4)
        self.h, self.fused = nn.Linear(4, 3), fused

    def forward(self, x):
        z = self.e(x) if self.fused else self.e(x).mean(1)
        return self.h(torch.tanh(z))


class Margin(nn.Module):
    def forward(self, z, target):
        right = z.gather(1, target[:, None])
        each = (1 - right + z).clamp_min(0).scatter(1, target[:, None], 0)
        return each.sum(1).mean() / z.shape[1]


def hidden(layer):
    return nn.Sequential(nn.Linear(6, 5), layer, nn.Linear(5, 3))


def hard(x):
    return (x / 6 + 0.5).clamp(0, 1)


# What torch cannot differentiate twice, the same in plain operations, and
# where the message says that it is.
CASES = {
    "fused": (lambda: hidden(nn.Hardsigmoid()), lambda: hidden(Layer(hard)),
              F.cross_entropy, r"hardsigmoid.*\(in layer '1': Hardsigmoid\)"),
    "own forward": (lambda: Distances(torch.cdist),
                    lambda: Distances(plain_cdist), F.cross_entropy,
                    r"cdist.*\(in the forward of Distances itself\)"),
    "table": (lambda: Bag(True), lambda: Bag(False), F.cross_entropy,
              r"embedding_bag.*\(in layer 'e': EmbeddingBag\)"),
    "detached": (lambda: hidden(Layer(Frozen.apply)),
                 lambda: hidden(Layer(torch.square)), F.cross_entropy,
                 r"differs from differences.*\(in layer '1': Layer\)"),
    "loss": (lambda: hidden(nn.Tanh()), lambda: hidden(nn.Tanh()),
             nn.MultiMarginLoss(), r"multi_margin_loss.*\(in the loss\)"),
}  # fmt: skip


def pair(case):
    made, plain, loss, says = CASES[case]
    torch.manual_seed(4)
    net = made()
    torch.manual_seed(4)
    twin = plain()
    data = (IDS if case == "table" else X), Y
    return net, twin, loss, (Margin() if case == "loss" else loss), data, says


def twice(distances):
    x = torch.randn(3, 2, requires_grad=True)
    y = torch.randn(4, 2)
    [g] = torch.autograd.grad(distances(x, y).sum(), x, create_graph=True)
    try:
        torch.autograd.grad(g.square().sum(), x)
    except RuntimeError:
        return False
    return True


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("matrix", ["hessian", "gauss-newton"])
def test_what_torch_cannot_derive_twice_is_named_and_served(case, matrix):
    if case == "own forward" and twice(torch.cdist):
        pytest.skip("this torch derives cdist twice")
    net, twin, loss, same, data, says = pair(case)
    with pytest.raises(NoSecondDerivative, match=says) as told:
        Operator(net, loss, data, matrix=matrix) @ torch.ones(
            sum(p.numel() for p in net.parameters())
        )
    assert 'way="difference"' in str(told.value)
    right = Operator(twin, same, data, matrix=matrix, dtype="float64")
    found = Operator(net, loss, data, matrix=matrix, **WIDE)
    v = torch.randn(right.n, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(found @ v, right @ v, rtol=1e-6, atol=1e-7)
    assert found.doubt.error < 1e-6


MEASURES = {
    top_eigenpairs: ({}, lambda r: r.eigenvalues),
    trace: ({"method": "hutchinson", "products": 9}, lambda r: r.samples),
    diagonal: ({"products": 9}, lambda r: r.value),
    spectral_density: (
        {"probes": 1, "steps": 6},
        lambda r: (r.nodes * r.weights).sum(1),
    ),
    layer_spectra: ({}, lambda r: r["2"].eigenvalues),
    keskar_sharpness: ({}, lambda r: r.path),
    sam_sharpness: ({}, lambda r: r.path),
}


@pytest.mark.parametrize("measure", MEASURES, ids=lambda m: m.__name__)
def test_every_measure_takes_differences(measure):
    net, twin, loss, same, data, _ = pair("fused")
    options, value = MEASURES[measure]
    found = measure(net, loss, data, **WIDE, **options)
    right = measure(twin, same, data, dtype="float64", **options)
    np.testing.assert_allclose(value(found), value(right), rtol=1e-6)
    if hasattr(found, "products"):
        notes = found.provenance.notes
        assert notes["way"] == "difference"
        assert 0 < notes["difference_error"] < 1e-6


@pytest.mark.parametrize("measure", [top_eigenpairs, trace])
def test_products_are_another_word_for_the_way(measure):
    net, _, loss, _, data, _ = pair("fused")
    quick = {"tol": 9.0, "method": "hutchinson"} if measure is trace else {}
    found = measure(net, loss, data, products="difference", **quick)
    assert found.provenance.notes["way"] == "difference"
    with pytest.raises(ValueError, match="unknown products 'fast'"):
        measure(net, loss, data, products="fast")


def test_gradients_alone_need_no_second_derivative():
    net, twin, loss, same, data, _ = pair("fused")
    for measure in (keskar_sharpness, sam_sharpness, gradient_noise):
        found = measure(net, loss, data).value
        assert found == pytest.approx(measure(twin, same, data).value, 1e-4)
    top = top_eigenpairs(twin, same, data)
    np.testing.assert_allclose(
        gradient_share(net, loss, data, top),
        gradient_share(twin, same, data, top),
        rtol=1e-4,
    )


def test_planes_of_eigenvectors_take_differences_by_themselves():
    net, _, loss, _, data, _ = pair("fused")
    found = surface(net, loss, data, "hessian", resolution=3)
    assert np.isfinite(found.losses).all()
    assert all(
        "by differences" in said
        for said in found.provenance.notes["directions"]
    )


def test_the_stated_error_is_an_error():
    """Against the exact product, over types and curvatures."""
    _, twin, loss, _, data, _ = pair("detached")
    for dtype in ("float32", "float64"):
        right = Operator(twin, loss, data, dtype="float64")
        for i, scale in enumerate((0.1, 1.0, 30.0)):
            v = torch.randn(right.n, generator=G).mul(scale)
            found = Operator(twin, loss, data, dtype=dtype, way="difference")
            off = float((found @ v - right @ v).norm() / (right @ v).norm())
            assert off < 3 * found.doubt.error + 1e-9, (dtype, i)
            assert found.doubt.error < (1e-2 if dtype == "float32" else 1e-7)


def test_differences_without_worth_are_said():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 5), Layer(lambda x: (2000 * x).sin()),
                        nn.Linear(5, 3))  # fmt: skip
    with pytest.warns(UserWarning, match="uncertain by .*float64"):
        trace(net, F.cross_entropy, (X, Y), way="difference", products=6)
    with pytest.raises(TypeError, match="two ways: give one"):
        trace(net, F.cross_entropy, (X, Y), way="reverse",
              products="difference")  # fmt: skip


class TwoTypes(nn.Module):
    def __init__(self, body, head, casts):
        super().__init__()
        self.a, self.b = nn.Linear(6, 5).to(body), nn.Linear(5, 3).to(head)
        self.casts = casts

    def forward(self, x):
        x = x.to(self.a.weight.dtype) if self.casts else x
        return self.b(torch.tanh(self.a(x)).to(self.b.weight.dtype))


@pytest.mark.parametrize("casts", [True, False])
@pytest.mark.parametrize(
    ("body", "head", "rtol"),
    [
        (torch.float32, torch.float64, 1e-5),
        (torch.float64, torch.float32, 1e-5),
        (torch.bfloat16, torch.float32, 0.03),
        (torch.float16, torch.float32, 5e-3),
        (torch.float32, torch.bfloat16, 0.03),
    ],
)
def test_two_types_in_one_model(body, head, rtol, casts):
    net = TwoTypes(body, head, casts)
    x = X.to(body)
    own = list(net.parameters())
    loss = F.cross_entropy(net(x), Y)
    g = torch.autograd.grad(loss, own, create_graph=True)
    v = [torch.randn(p.shape, generator=G).to(p) for p in own]
    along = sum((a * b).sum().double() for a, b in zip(g, v, strict=True))
    hv = torch.autograd.grad(along, own)
    right = torch.cat([h.double().reshape(-1) for h in hv])
    operator = Operator(net, F.cross_entropy, (x, Y))
    flat = torch.cat([a.double().reshape(-1) for a in v])
    off = float((operator @ flat - right).norm() / right.norm())
    assert off < rtol
    plane = surface(net, F.cross_entropy, (x, Y), resolution=2)
    assert plane.centre_loss == pytest.approx(loss.item(), rel=rtol)
    assert [p.dtype for p in net.parameters()] == [body] * 2 + [head] * 2


def test_scipy_takes_the_matrix():
    _, net, loss, _, data, _ = pair("detached")
    operator = Operator(net, loss, data, dtype="float64")
    given = operator.to_scipy()
    assert given.shape == operator.shape
    assert given.dtype == np.float64
    values, _ = eigsh(given, k=3)
    found = top_eigenpairs(net, loss, data, k=3, tol=1e-6, dtype="float64")
    np.testing.assert_allclose(
        np.sort(values), np.sort(found.eigenvalues), rtol=1e-8
    )
    some = np.random.default_rng(0).normal(size=(operator.n, 4))
    whole = operator @ some
    for got in (given @ some, given.matmat(some), given.T @ some):
        np.testing.assert_allclose(got, whole.numpy(), rtol=1e-12)
    single = Operator(net, loss, data).to_scipy()
    assert single.dtype == np.float32
    spent = operator.products
    operator.to_scipy() @ some[:, 0]
    assert operator.products == spent + 1


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor, aslinearoperator])
@pytest.mark.parametrize("size", [2, 60])
def test_matrices_of_others_stand_for_model_loss_and_data(kind, size):
    a = np.random.default_rng(1).normal(size=(size, size))
    a = a + a.T + np.diag(np.arange(size))
    given = kind(a)
    values = np.linalg.eigvalsh(a)
    found = top_eigenpairs(given, k=2, tol=1e-6)
    largest = values[np.abs(values).argsort()[::-1][:2]]
    np.testing.assert_allclose(found.eigenvalues, largest, rtol=1e-9)
    assert (found.residuals < 1e-6).all()
    assert found.errors.size == 0
    assert found.provenance.n_params == size
    total = trace(given, products=400)
    assert abs(total.value - np.trace(a)) < 5 * float(total.error) + 1e-9
    rows = diagonal(given, products=400)
    off = np.abs(rows.value - np.diag(a)) / (rows.error + 1e-9)
    assert np.sqrt(np.mean(off**2)) < 2
    density = spectral_density(given, steps=size, probes=1)
    np.testing.assert_allclose(density.nodes[0], values, atol=1e-7)


def test_what_is_no_matrix_of_curvature_is_refused():
    with pytest.raises(ValueError, match="is square"):
        trace(np.ones((2, 3)))
    with pytest.raises(ValueError, match="is not symmetric"):
        trace(np.triu(np.ones((5, 5))))
    with pytest.raises(ValueError, match="is not finite"):
        trace(np.diag([np.nan, 1.0]))
    with pytest.raises(TypeError, match="give it alone"):
        trace(np.eye(2), F.mse_loss, (X, Y))
    with pytest.raises(ValueError, match="matrix= is said where"):
        trace(np.eye(2), matrix="hessian")
    with pytest.raises(TypeError, match=r"torch\.nn\.Module"):
        layer_spectra(np.eye(2), F.mse_loss, (X, Y))


def test_an_operator_in_place_of_three_keeps_what_it_was_made_with():
    _, net, loss, _, data, _ = pair("detached")
    for options in (
        {"matrix": "gauss-newton"}, {"adaptive": True}, {"way": "difference"},
    ):  # fmt: skip
        given = Operator(net, loss, data, dtype="float64", **options)
        found = top_eigenpairs(given, k=1, tol=0.1)
        right = top_eigenpairs(
            net, loss, data, k=1, tol=0.1, dtype="float64", **options
        )
        np.testing.assert_array_equal(found.eigenvalues, right.eigenvalues)
        assert found.matrix == given.matrix
