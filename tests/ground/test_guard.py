"""The guard puts everything back, whatever happens inside."""

import random
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dldna.guard import untouched
from dldna.objective import in_place


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
