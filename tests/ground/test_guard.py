"""The guard puts everything back, whatever happens inside."""

import copy
import random
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from dldna import init, landscape, training
from dldna.guard import untouched
from dldna.objective import Objective, in_place


def make():
    net = nn.Sequential(
        nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 2)
    )
    net[3].weight.requires_grad_(False)
    net[0].weight.grad = torch.ones_like(net[0].weight)
    net[1].eval()
    return net


def snapshot(net):
    return (
        {k: v.clone() for k, v in net.state_dict().items()},
        [None if p.grad is None else p.grad.clone()
         for p in net.parameters()],
        [p.requires_grad for p in net.parameters()],
        [m.training for m in net.modules()],
        [id(p) for p in net.parameters()] + [id(b) for b in net.buffers()],
    )  # fmt: skip


def same(a, b):
    assert a[0].keys() == b[0].keys()
    assert all(torch.equal(a[0][k], b[0][k]) for k in a[0])
    for g, h in zip(a[1], b[1], strict=True):
        assert (g is None) == (h is None)
        assert g is None or torch.equal(g, h)
    assert a[2:] == b[2:]


def meddle(net):
    random.random(), np.random.rand(), torch.rand(1)  # noqa: NPY002
    net.train()
    net(torch.randn(8, 3)).sum().backward()
    with torch.no_grad():
        for p in net.parameters():
            p.add_(1.0)
    net[3].weight.requires_grad_(True)
    net[1].running_mean = torch.full((4,), 7.0)
    net[1].running_var.mul_(3.0)


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_the_model_and_all_random_states_are_put_back(error):
    net = make()
    before = snapshot(net)
    states = (
        random.getstate(),
        np.random.get_state()[1].tolist(),  # noqa: NPY002
        torch.random.get_rng_state(),
    )
    expected = pytest.raises(error) if error else nullcontext()
    with expected, untouched(net):
        meddle(net)
        if error:
            raise error
    same(before, snapshot(net))
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]  # noqa: NPY002
    assert torch.equal(torch.random.get_rng_state(), states[2])


@pytest.mark.parametrize("keep", [untouched, in_place])
@pytest.mark.parametrize("empty", [False, True])
def test_other_data_at_the_same_address_are_put_back(keep, empty):
    net = nn.Linear(3, 3)
    net.weight = nn.Parameter(torch.zeros(3, 0 if empty else 2))
    home = net.weight.data
    for other in (Tensor.t, Tensor.flatten, Tensor.double):
        with keep(net):
            net.weight.data = other(net.weight.data)
        assert net.weight.dtype == home.dtype
        assert net.weight.shape == home.shape
        assert net.weight.stride() == home.stride()


def test_without_the_guard_the_model_does_move():
    net = make()
    before = snapshot(net)
    meddle(net)
    with pytest.raises(AssertionError):
        same(before, snapshot(net))


def under_autocast(net, call):
    """Whether the network ran in the caller's autocast, and the result."""
    seen = []
    net.register_forward_pre_hook(
        lambda *_: seen.append(torch.is_autocast_enabled("cpu"))
    )
    with torch.autocast("cpu", torch.bfloat16):
        result = call(net)
    return any(seen), result


MEASURES = {
    "trace": lambda net, *data: landscape.trace(net, *data, products=6).value,
    "pairs": lambda net, *data: (
        landscape.top_eigenpairs(net, *data, k=1).eigenvalues
    ),
    "ball": lambda net, *data: landscape.sam_sharpness(net, *data).value,
    "loss": lambda net, *data: Objective(net, *data).loss(),
    "surface": lambda net, *data: (
        landscape.surface(net, *data, resolution=3).losses
    ),
    "start": lambda net, _, batch: [
        *init.lsuv(net, batch).numbers["variance"].values()
    ],
}


@pytest.mark.parametrize("name", MEASURES)
def test_a_measure_has_the_types_of_the_weights(name):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    data = nn.MSELoss(), (torch.randn(9, 3), torch.randn(9, 2))
    right = MEASURES[name](copy.deepcopy(net), *data)
    half, found = under_autocast(net, lambda net: MEASURES[name](net, *data))
    assert not half
    np.testing.assert_allclose(found, right, rtol=1e-5)


@pytest.mark.parametrize("name", MEASURES)
def test_a_measure_takes_no_weights_that_the_caller_caches(name):
    torch.manual_seed(0)
    first = parametrizations.weight_norm(nn.Linear(3, 4))
    net = nn.Sequential(first, nn.Tanh(), nn.Linear(4, 2))
    data = nn.MSELoss(), (torch.randn(9, 3), torch.randn(9, 2))
    right = MEASURES[name](copy.deepcopy(net), *data)
    with parametrize.cached():
        before = first.weight
        found = MEASURES[name](net, *data)
        assert first.weight is before
    np.testing.assert_allclose(found, right, rtol=1e-5)


def test_what_trains_has_the_types_of_its_caller():
    net, batch = nn.Linear(3, 2), (torch.randn(9, 3), torch.randn(9, 2))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def train(net):
        keywords = {"epochs": 1, "loss_fn": nn.MSELoss(), "progress": False}
        return training.train(net, optimizer, [batch], **keywords)

    assert under_autocast(net, train)[0]

    def evaluate(net):
        return training.evaluate(net, [batch], nn.MSELoss())

    assert under_autocast(net, evaluate)[0]
