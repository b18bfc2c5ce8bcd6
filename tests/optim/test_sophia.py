"""Sophia's estimates of the curvature."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dldna import optim


def problem():
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(12, 4, generator=draw, dtype=torch.float64)
    y = torch.randint(3, (12,), generator=draw)
    w = nn.Parameter(torch.randn(3, 4, generator=draw, dtype=torch.float64))
    return x, y, w


def signs(w, seed):
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(2, w.shape, generator=draw).to(w) * 2 - 1


def test_hutchinson_is_unbiased():
    x, y, w = problem()

    def loss(w):
        return F.cross_entropy(x @ w.T, y)

    H = torch.autograd.functional.hessian(loss, w).reshape(12, 12)
    draws = [
        optim.hutchinson(loss(w), [w], [signs(w, i)])[0].flatten()
        for i in range(1500)
    ]
    draws = torch.stack(draws)
    error = (draws.mean(0) - H.diag()).abs()
    assert (error < 4 * draws.std(0) / 1500**0.5).all()
    z = signs(w, 0)
    one = optim.hutchinson(loss(w), [w], [z])[0].flatten()
    torch.testing.assert_close(one, z.flatten() * (H @ z.flatten()))


def test_gauss_newton_bartlett_is_unbiased():
    """For a linear classifier the Gauss-Newton matrix is the Hessian."""
    x, y, w = problem()
    H = torch.autograd.functional.hessian(
        lambda w: F.cross_entropy(x @ w.T, y), w
    ).reshape(12, 12)
    draw = torch.Generator().manual_seed(0)
    draws = torch.stack(
        [
            optim.gauss_newton_bartlett(x @ w.T, [w], draw)[0].flatten()
            for _ in range(3000)
        ]
    )
    error = (draws.mean(0) - H.diag()).abs()
    assert (error < 4 * draws.std(0) / 3000**0.5).all()
    assert (draws >= 0).all()


def test_linear_losses_have_no_curvature():
    w = torch.ones(3, requires_grad=True)
    estimate = optim.hutchinson(w.sum(), [w], [torch.ones(3)])
    assert torch.equal(estimate[0], torch.zeros(3))


@pytest.mark.parametrize("name", ["SophiaH", "SophiaG"])
def test_refreshes_on_the_first_of_every_k_steps(name):
    x, y, w = problem()
    optimizer = optim.make(name, [w], k=3)
    calls = []

    def curvature():
        calls.append(step)
        logits = x @ w.T
        return logits if name == "SophiaG" else F.cross_entropy(logits, y)

    for step in range(1, 8):
        optimizer.zero_grad()
        F.cross_entropy(x @ w.T, y).backward()
        assert optimizer.due() is (step % 3 == 1)
        optimizer.step(curvature=curvature)
    assert calls == [1, 4, 7]


@pytest.mark.parametrize("name", ["SophiaH", "SophiaG"])
def test_asks_for_the_curvature(name):
    _, _, w = problem()
    w.grad = torch.ones_like(w)
    with pytest.raises(ValueError, match="curvature=f"):
        optim.make(name, [w]).step()


@pytest.mark.parametrize(("gaussian", "exact"), [(False, True), (True, False)])
def test_signs_are_exact_on_a_diagonal(gaussian, exact):
    w = nn.Parameter(torch.tensor([1.0, 2.0], dtype=torch.float64))
    scale = torch.tensor([3.0, 5.0], dtype=torch.float64)
    optimizer = optim.SophiaH([w], betas=(0.9, 0.0), gaussian=gaussian)
    w.grad = scale * w.detach()
    optimizer.step(curvature=lambda: (scale * w**2).sum() / 2)
    assert torch.allclose(optimizer.state[w]["h"], scale) is exact


def test_seeds_decide_and_leave_the_global_generator_alone():
    def h(seed):
        x, _, w = problem()
        optimizer = optim.SophiaG([w], seed=seed)
        w.grad = torch.ones_like(w)
        optimizer.step(curvature=lambda: x @ w.T)
        return optimizer.state[w]["h"]

    before = torch.get_rng_state()
    assert torch.equal(h(0), h(0))
    assert not torch.equal(h(0), h(1))
    assert torch.equal(before, torch.get_rng_state())


def test_no_weight_moves_faster_than_the_rate():
    x, y, w = problem()
    optimizer = optim.SophiaH([w], lr=0.01, weight_decay=0.0)
    for _ in range(12):
        before = w.detach().clone()
        optimizer.zero_grad()
        F.cross_entropy(x @ w.T, y).backward()
        optimizer.step(curvature=lambda: F.cross_entropy(x @ w.T, y))
        assert (w - before).abs().max() <= 0.01 * (1 + 1e-9)


def test_refuses_bad_settings():
    _, _, w = problem()
    for hyper in ({"k": 0}, {"gamma": 0.0}, {"seed": -1}):
        with pytest.raises(ValueError, match=next(iter(hyper))):
            optim.SophiaH([w], **hyper)
