"""Gradients of an objective, beside a plain loop."""

import copy

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from dldna.objective import Objective
from dldna.objective.derivative import over_data


def test_a_mean_over_unequal_batches_is_that_of_the_batches():
    """Batches that batch norm keeps apart, each with its size as weight."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    net = net.double()
    x, y = torch.randn(12, 3).double(), torch.randint(2, (12,))
    parts = [(x[:8], y[:8]), (x[8:], y[8:])]
    f = Objective(net, F.cross_entropy, parts, statistics="train")
    assert len(f.batches) == 2
    loss, slope = over_data(f, f.slope)
    twin = copy.deepcopy(net).train()
    whole = sum(len(b) * F.cross_entropy(twin(a), b) for a, b in parts) / 12
    whole.backward()
    wanted = torch.cat([p.grad.flatten() for p in twin.parameters()])
    np.testing.assert_allclose(loss, float(whole.detach()), rtol=1e-12)
    np.testing.assert_allclose(slope, wanted, atol=1e-12)
    np.testing.assert_allclose(f.gradient(), slope, rtol=0)


class Against(nn.Module):
    """What each sample is beside the mean of its batch, saturated."""

    def __init__(self):
        super().__init__()
        self.steep = nn.Parameter(torch.tensor([20.0]).double())

    def forward(self, x):
        return torch.sigmoid(self.steep * (x - x.mean(0)))


def test_samples_that_read_each_other_are_not_joined_where_it_does_not_show():
    net = Against()
    x = torch.tensor([[1.0], [-1.0], [2.0], [-2.5]]).double()
    y = (x < 0).double()
    parts = [(x[:2], y[:2]), (x[2:], y[2:])]
    f = Objective(net, F.mse_loss, parts)
    assert len(f.batches) == 2
    assert (
        len(Objective(nn.Linear(1, 1).double(), F.mse_loss, parts).batches)
        == 1
    )
    sum(F.mse_loss(net(a), b) for a, b in parts).div(2).backward()
    np.testing.assert_allclose(f.gradient(), net.steep.grad, rtol=1e-12)
