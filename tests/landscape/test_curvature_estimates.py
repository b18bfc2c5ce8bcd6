"""Densities, traces and diagonals: closed forms, bias, convergence."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, jacrev

from dldna import params
from dldna.landscape.curvature import (
    Operator,
    diagonal,
    spectral_density,
    trace,
)
from dldna.records import Density, Estimate

CE = nn.functional.cross_entropy


def small():
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    return net.double()


def labelled(n=12):
    g = torch.Generator().manual_seed(2)
    x = torch.randn(n, 4, generator=g, dtype=torch.float64)
    return x, torch.randint(0, 3, (n,), generator=g)


def dense(model, loss_fn, x, y):
    """The whole Hessian by torch.func, in the order of the parameters."""
    point = params.copy(params.of(model))

    def f(w):
        p = params.unflatten(w, point)
        return loss_fn(functional_call(model, p, (x,)), y)

    return jacrev(jacrev(f))(params.flatten(point))


def test_quadrature_has_the_moments_of_its_probes():
    model, (x, y) = small(), labelled()
    found = spectral_density(model, CE, (x, y), probes=3, steps=4)
    h = dense(model, CE, x, y)
    generator = torch.Generator().manual_seed(0)
    for theta, w in zip(found.nodes, found.weights, strict=True):
        bits = torch.randint(0, 2, (43,), generator=generator)
        v = (2.0 * bits - 1).double() / 43**0.5
        for power in range(8):
            true = v @ torch.linalg.matrix_power(h, power) @ v
            assert (w * theta**power).sum() == pytest.approx(
                float(true), rel=1e-9
            )
    np.testing.assert_allclose(found.weights.sum(1), 1)
    assert found.products == 12


@pytest.fixture
def known(monkeypatch):
    """The matrix of the small network; products with it take no gradients.

    Many products are needed to see what an estimate tends to, and one is as
    good as the other: test_quadrature and the tests of the operator compare.
    """
    model, data = small(), labelled()
    h = dense(model, CE, *data)

    def product(operator, v):
        operator.products += 1
        return h @ v.to(h)

    monkeypatch.setattr(Operator, "__matmul__", product)
    return model, data, h


def test_density_converges_to_the_exact_one(known):
    model, (x, y), h = known
    values = torch.linalg.eigvalsh(h).numpy()
    gaps = []
    for probes in (4, 100):
        found = spectral_density(
            model, CE, (x, y), probes=probes, steps=43, sigma=0.02
        )
        bumps = np.exp(-0.5 * ((found.grid[:, None] - values) / 0.02) ** 2)
        true = bumps.mean(1) / (0.02 * math.sqrt(2 * math.pi))
        width = found.grid[1] - found.grid[0]
        gaps.append(np.abs(found.density - true).sum() * width)
        assert found.density.sum() * width == pytest.approx(1, abs=1e-3)
        z = (found.density - true) / np.maximum(found.spread, 1e-6)
        assert np.sqrt((z**2).mean()) < 2
    assert gaps[1] < 0.08
    assert gaps[1] < gaps[0] / 2.5


def test_density_defaults_and_the_disk(tmp_path):
    found = spectral_density(small(), CE, labelled(), probes=1, steps=6)
    span = np.nanmax(found.nodes) - np.nanmin(found.nodes)
    assert found.sigma == pytest.approx(0.01 * span)
    assert np.isnan(found.spread).all()
    back = Density.load(found.save(tmp_path / "d"))
    assert (back.density == found.density).all()


@pytest.mark.parametrize("method", ["hutchinson", "hutch++"])
def test_trace_is_unbiased_and_its_error_is_honest(method, known):
    model, (x, y), h = known
    true = float(h.trace())
    runs = [
        trace(model, CE, (x, y), products=18, method=method, seed=s)
        for s in range(60)
    ]
    values = np.array([float(r.value) for r in runs])
    mean_error = values.std(ddof=1) / len(values) ** 0.5
    assert abs(values.mean() - true) < 4 * mean_error
    told = math.sqrt(np.mean([float(r.error) ** 2 for r in runs]))
    assert told == pytest.approx(values.std(ddof=1), rel=0.35)
    assert all(r.products == 18 for r in runs)


def test_hutch_plus_plus_is_the_better_one_at_equal_cost(known):
    model, (x, y), h = known
    true = float(h.trace())

    def rms(method):
        options = {"products": 60, "method": method}
        runs = [trace(model, CE, (x, y), seed=s, **options) for s in range(20)]
        return np.mean([(r.value - true) ** 2 for r in runs]) ** 0.5

    assert rms("hutch++") < rms("hutchinson") / 3


def test_trace_is_exact_once_the_range_is_known():
    model, (x, y) = small(), labelled()
    found = trace(model, CE, (x, y), products=129)
    true = float(dense(model, CE, x, y).trace())
    assert float(found.value) == pytest.approx(true, rel=1e-9)
    assert found.products <= 129


def test_tolerance_stops_the_trace_early(known):
    model, (x, y), h = known
    found = trace(
        model, CE, (x, y), products=5000, tol=0.05, method="hutchinson"
    )
    assert found.products < 5000
    assert float(found.error) <= 0.05 * float(found.value)
    true = float(h.trace())
    assert abs(float(found.value) - true) < 4 * float(found.error)


def test_diagonal_converges_with_an_honest_error(known):
    model, (x, y), h = known
    true = h.diagonal().numpy()
    few = diagonal(model, CE, (x, y), products=50)
    many = diagonal(model, CE, (x, y), products=1250)
    z = (many.value - true) / many.error
    assert 0.6 < np.sqrt((z**2).mean()) < 1.5
    rms = [np.sqrt(((r.value - true) ** 2).mean()) for r in (few, many)]
    assert rms[1] < rms[0] / 2.5
    assert many.error.shape == (43,)


def test_diagonal_of_the_gauss_newton_matrix_and_the_disk(tmp_path):
    model, data = small(), labelled()
    op = Operator(model, CE, data, matrix="gauss-newton")
    true = (op @ torch.eye(43).double()).diagonal().numpy()
    found = diagonal(model, CE, data, products=300, matrix="gauss-newton")
    assert np.abs(found.value - true).max() < 5 * found.error.max()
    back = Estimate.load(found.save(tmp_path / "e"))
    assert (back.value == found.value).all()
    assert back.matrix == "gauss-newton"


def test_seeds_repeat():
    model, data = small(), labelled()
    state = torch.get_rng_state()
    a, b = (trace(model, CE, data, seed=3, products=12) for _ in range(2))
    assert a.value == b.value
    assert a.value != trace(model, CE, data, seed=4, products=12).value
    assert torch.equal(torch.get_rng_state(), state)


def test_bad_input_is_named():
    model, data = small(), labelled()
    with pytest.raises(ValueError, match="products must be"):
        trace(model, CE, data, products=5)
    with pytest.raises(ValueError, match=r"did you mean 'hutch\+\+'"):
        trace(model, CE, data, method="hutch+")
    with pytest.raises(ValueError, match="tol must be greater"):
        trace(model, CE, data, tol=0)
    with pytest.raises(ValueError, match="products must be"):
        diagonal(model, CE, data, products=1)
    with pytest.raises(ValueError, match="probes must be"):
        spectral_density(model, CE, data, probes=0)
    with pytest.raises(ValueError, match="sigma must be greater"):
        spectral_density(model, CE, data, sigma=-1.0)
    with pytest.raises(ValueError, match="empty"):
        spectral_density(model, CE, [])
