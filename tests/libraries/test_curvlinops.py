"""Operators of curvlinops stand where ours do, and find the same."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from dldna.landscape import (
    Operator,
    diagonal,
    spectral_density,
    top_eigenpairs,
    trace,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    curvlinops = pytest.importorskip("curvlinops")

# its own, of torch.jit
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def case():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    x, y = torch.randn(12, 5).double(), torch.arange(12) % 3
    return net, nn.CrossEntropyLoss(), [(x[:7], y[:7]), (x[7:], y[7:])]


@pytest.mark.parametrize(
    ("theirs", "matrix"),
    [
        ("HessianLinearOperator", "hessian"),
        ("GGNLinearOperator", "gauss-newton"),
    ],
)
def test_their_operators_find_what_ours_find(theirs, matrix):
    net, loss, data = case()
    own = list(net.parameters())
    given = getattr(curvlinops, theirs)(net, loss, own, data)
    options = {"matrix": matrix, "dtype": "float64"}
    ours = Operator(net, loss, data, **options)
    v = torch.randn(ours.n, dtype=torch.float64)
    torch.testing.assert_close((given @ v).detach(), ours @ v)
    found = top_eigenpairs(given, k=3, tol=1e-6)
    right = top_eigenpairs(net, loss, data, k=3, tol=1e-6, **options)
    np.testing.assert_allclose(found.eigenvalues, right.eigenvalues, rtol=1e-9)
    np.testing.assert_allclose(
        found.eigenvectors, right.eigenvectors, atol=1e-5
    )
    assert found.matrix == theirs
    assert found.provenance.notes["way"] == f"curvlinops.{theirs}"
    for measure in (trace, diagonal):
        a, b = measure(given, seed=1), measure(net, loss, data, seed=1,
                                               **options)  # fmt: skip
        np.testing.assert_allclose(a.value, b.value, rtol=1e-6, atol=1e-9)
    few = {"probes": 2, "steps": 5}
    a = spectral_density(given, **few)
    b = spectral_density(net, loss, data, **few, **options)
    np.testing.assert_allclose(a.nodes, b.nodes, atol=1e-8)
    assert all(p.grad is None for p in own)


def test_an_approximation_is_taken_as_it_is():
    net, loss, data = case()
    given = curvlinops.KFACLinearOperator(
        net, loss, list(net.parameters()), data
    )
    dense = (given @ torch.eye(given.shape[0], dtype=torch.float64)).detach()
    found = top_eigenpairs(given, k=2, tol=1e-6)
    right = torch.linalg.eigvalsh(dense).flip(0)[:2]
    np.testing.assert_allclose(found.eigenvalues, right.numpy(), rtol=1e-8)
