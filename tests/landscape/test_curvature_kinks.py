"""A new network that stands on the kinks of its ReLUs has a curvature."""

import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dldna.landscape import Operator, trace


def new(activation=nn.ReLU):
    """Zeros of one ReLU meet the next: between them nothing moves them."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(4, 6), nn.ReLU(), nn.BatchNorm1d(6), activation(),
        nn.Linear(6, 3),
    ).double().eval()  # fmt: skip


def data():
    torch.manual_seed(1)
    return torch.randn(12, 4).double(), torch.arange(12) % 3


def test_it_is_that_of_the_piece_that_torch_takes_and_this_is_said():
    net, (x, y) = new(), data()
    with pytest.warns(UserWarning, match=r"on a kink.*layer .3. \(ReLU"):
        found = Operator(net, F.cross_entropy, (x, y))
    names = [k for k, _ in net.named_parameters()]
    sizes = [p.shape for p in net.parameters()]

    def loss(w):
        parts = w.split([s.numel() for s in sizes])
        point = {
            k: v.view(s) for k, v, s in zip(names, parts, sizes, strict=True)
        }
        return F.cross_entropy(torch.func.functional_call(net, point, x), y)

    w = torch.cat([p.detach().flatten() for p in net.parameters()])
    right = torch.autograd.functional.hessian(loss, w)
    torch.testing.assert_close(found @ torch.eye(len(w)).double(), right)


@pytest.mark.parametrize("net", [new(nn.Tanh), new()[2:]])
def test_nothing_is_said_where_there_is_no_kink(net):
    x, y = data()
    if len(net) == 3:
        x = x[:, [0, 1, 2, 3, 0, 1]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trace(net, F.cross_entropy, (x, y))
