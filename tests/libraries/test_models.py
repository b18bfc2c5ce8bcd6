"""Networks of other libraries need no wrapper: each against plain loops."""

import copy
import random
import warnings

import numpy as np
import pytest
import torch
from libraries.models import CASES, made
from libraries.plain import directions, surface, top_eigenvalue

from dldna import landscape
from dldna.data import torchvision

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torchvision()  # they import it
for _name in ("transformers", "lightning", "torch_geometric", "diffusers"):
    pytest.importorskip(_name, reason="make test-libraries installs it")

pytestmark = pytest.mark.filterwarnings("ignore")  # their own


def state_of(model):
    """All that a call must leave as it was, and the random states."""
    return (
        {k: v.clone() for k, v in model.state_dict().items()},
        [(k, p.requires_grad, p.grad) for k, p in model.named_parameters()],
        [m.training for m in model.modules()],
        {k: id(v) for k, v in model.named_parameters()},
        torch.get_rng_state(),
        copy.deepcopy(np.random.get_state()),  # noqa: NPY002
        random.getstate(),
    )


def same(a, b):
    tensors = {k: torch.equal(v, b[0][k]) for k, v in a[0].items()}
    assert all(tensors.values()), [k for k, v in tensors.items() if not v]
    assert a[1:4] == b[1:4]
    assert torch.equal(a[4], b[4])
    assert all(np.array_equal(x, y) for x, y in zip(a[5], b[5], strict=True))
    assert a[6] == b[6]


@pytest.mark.parametrize("name", CASES)
def test_a_surface_is_that_of_a_loop_that_writes_the_weights(name):
    case, twin = made(name), made(name)
    d, e = directions(twin.model)
    before = state_of(case.model)
    found = landscape.surface(
        case.model, case.loss_fn, [case.batch], [d, e], resolution=5,
        **case.options,
    )  # fmt: skip
    same(before, state_of(case.model))
    right = surface(twin, d, e, found.alphas, found.betas)
    assert np.ptp(right) > 0
    np.testing.assert_allclose(found.losses, right, rtol=1e-6)
    assert found.centre_loss == pytest.approx(right[2, 2], rel=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_the_top_eigenvalue_is_that_of_an_independent_iteration(name):
    case = made(name)
    if not case.curved:
        pytest.skip("the case says why")
    before = state_of(case.model)
    found = landscape.top_eigenpairs(
        case.model, case.loss_fn, [case.batch], k=1, dtype="float64",
        tol=1e-4, **case.options,
    )  # fmt: skip
    same(before, state_of(case.model))
    right = top_eigenvalue(made(name))
    # before training both ends of a spectrum may be equally far out
    assert abs(found.eigenvalues[0]) == pytest.approx(abs(right), rel=1e-5)


def test_there_are_as_many_as_the_page_says():
    libraries = {name.split(":")[0] for name in CASES}
    assert len(CASES) >= 35
    assert len(libraries) >= 9
    assert sum(made(name).lines == 0 for name in CASES) >= 30
