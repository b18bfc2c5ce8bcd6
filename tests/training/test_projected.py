"""Projected descent against plain loops with the whole Hessian."""

import numpy as np
import pytest
import torch
from torch import nn

from dldna.training import projected_descent


def problem():
    """A small network and its data."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    x = torch.randn(12, 3).double()
    return net, nn.MSELoss(), (x, torch.randn(12, 1).double())


def by_hand(net, loss, data, lr, steps, k, off):
    """Losses of a loop that diagonalises the Hessian at each step."""
    x, y = data
    names = [name for name, _ in net.named_parameters()]
    sizes = [p.numel() for p in net.parameters()]
    shapes = [p.shape for p in net.parameters()]

    def value(w):
        parts = [
            v.view(s) for v, s in zip(w.split(sizes), shapes, strict=True)
        ]
        point = dict(zip(names, parts, strict=True))
        return loss(torch.func.functional_call(net, point, x), y)

    w = torch.cat([p.detach().reshape(-1) for p in net.parameters()])
    losses, shares = [], []
    for _ in range(steps):
        hessian = torch.autograd.functional.hessian(value, w)
        g = torch.autograd.functional.jacobian(value, w)
        top = torch.linalg.eigh(hessian)[1][:, -k:]
        inside = top @ (top.T @ g)
        losses.append(float(value(w)))
        shares.append(float(inside @ inside / (g @ g)))
        w = w - lr * (g - inside if off else inside)
    return [*losses, float(value(w))], shares


@pytest.mark.parametrize("onto", ["top", "off"])
def test_steps_against_a_loop_with_the_whole_hessian(onto):
    """Losses and shares, step by step."""
    net, loss, data = problem()
    run = projected_descent(net, loss, data, 0.2, 5, 2, onto=onto)
    losses, shares = by_hand(net, loss, data, 0.2, 5, 2, onto == "off")
    np.testing.assert_allclose(run.loss, losses, rtol=1e-4)
    np.testing.assert_allclose(run.share, shares, atol=0.01)


def test_a_space_of_all_weights_changes_nothing():
    """Onto a random space of full size is plain descent, off it none."""
    net, loss, data = problem()
    n = sum(p.numel() for p in net.parameters())
    plain = projected_descent(net, loss, data, 0.2, 2, 1, onto="all").loss
    whole = projected_descent(net, loss, data, 0.2, 2, n, onto="random").loss
    none = projected_descent(net, loss, data, 0.2, 2, n, onto="off random")
    np.testing.assert_allclose(whole, plain, rtol=1e-8)
    np.testing.assert_allclose(none.loss, plain[0], rtol=1e-8)
    assert plain[-1] < plain[0]


def test_bad_input():
    """Words and numbers are checked first."""
    net, loss, data = problem()
    with pytest.raises(ValueError, match="onto"):
        projected_descent(net, loss, data, 0.2, 2, 1, onto="bottom")
    with pytest.raises(ValueError, match="k = 99"):
        projected_descent(net, loss, data, 0.2, 2, 99)
