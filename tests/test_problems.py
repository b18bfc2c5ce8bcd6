"""The toy objectives: values, gradients, minima, and their text forms."""

import math
import re

import pytest
import torch

from dldna.problems import PROBLEMS, problem

ALL = pytest.mark.parametrize("p", PROBLEMS.values(), ids=PROBLEMS)


def points(p, n=50, seed=0):
    g = torch.Generator().manual_seed(seed)
    low, high = torch.tensor(p.bounds, dtype=torch.float64).T
    u = torch.rand(n, 2, generator=g, dtype=torch.float64)
    return low + u * (high - low)


def text(expression, x, y):
    return eval(expression, {"exp": math.exp}, {"x": x, "y": y})


@ALL
def test_formula_is_f(p):
    for xy in points(p):
        wanted = text(p.formula, *xy.tolist())
        assert float(p.f(xy)) == pytest.approx(wanted, rel=1e-12, abs=1e-12)


@ALL
def test_formulas_read_alike_in_javascript(p):
    for line in (p.formula, *p.slopes):
        words = set(re.findall(r"[A-Za-z_]\w*", line))
        assert words <= {"x", "y", "exp"}
        # There, a minus before a power is a syntax error.
        assert not re.search(r"(^|[(*/+-])\s*-\s*\w+\s*\*\*", line)


@ALL
def test_slopes_are_the_gradient(p):
    for xy in points(p):
        wanted = torch.tensor(
            [text(s, *xy.tolist()) for s in p.slopes], dtype=torch.float64
        )
        torch.testing.assert_close(
            p.gradient(xy), wanted, rtol=1e-10, atol=1e-10
        )


@ALL
def test_gradient_is_the_difference_quotient(p):
    xy, h = points(p), 1e-5
    for k in range(2):
        step = torch.zeros(2, dtype=torch.float64)
        step[k] = h
        slope = (p.f(xy + step) - p.f(xy - step)) / (2 * h)
        torch.testing.assert_close(
            p.gradient(xy)[:, k], slope, rtol=1e-5, atol=1e-5
        )


def hessians(p, xy):
    xy = xy.clone().requires_grad_()
    g = torch.autograd.grad(p.f(xy).sum(), xy, create_graph=True)[0]
    rows = [
        torch.autograd.grad(g[..., k].sum(), xy, retain_graph=True)[0]
        for k in range(2)
    ]
    return torch.stack(rows, -2)


def hessian(p, at):
    return hessians(p, torch.tensor(at, dtype=torch.float64))


@ALL
def test_minima_are_minima(p):
    values = []
    for at in p.minima:
        w = torch.tensor(at, dtype=torch.float64)
        assert float(p.gradient(w).abs().max()) < 1e-11
        assert float(torch.linalg.eigvalsh(hessian(p, at))[0]) > 0
        values.append(float(p.f(w)))
    assert values == sorted(values) or max(values) - min(values) < 1e-12
    if p.minima:
        assert float(p.f(points(p, 20_000)).min()) >= min(values)


@ALL
def test_saddles_are_saddles(p):
    for at in p.saddles:
        w = torch.tensor(at, dtype=torch.float64)
        assert float(p.gradient(w).abs().max()) < 1e-11
        low, high = torch.linalg.eigvalsh(hessian(p, at))
        if p.name == "monkey-saddle":
            assert float(hessian(p, at).abs().max()) == 0
        else:
            assert low < 0 < high


@ALL
def test_every_minimum_in_the_window_is_listed(p):
    """Newton's method from a grid finds no other."""
    found = points(p, 400)
    for _ in range(60):
        e, v = torch.linalg.eigh(hessians(p, found))
        g = (v.mT @ p.gradient(found)[..., None])[..., 0]
        step = g / e.abs().clamp(min=1e-3)
        step = (v @ step[..., None])[..., 0]
        found = found - step * (0.5 / step.norm(dim=1, keepdim=True)).clamp(
            max=1
        )
    low, high = torch.tensor(p.bounds, dtype=torch.float64).T
    small = p.gradient(found).norm(dim=1) < 1e-9
    if p.name == "plateau":
        small &= p.f(found) < 0.9  # far out the gradient underflows
    inside = ((found > low) & (found < high)).all(1) & small
    lowest = torch.linalg.eigvalsh(hessians(p, found))[:, 0]
    ends = found[inside & (lowest > 1e-6)]
    assert len(ends) >= len(p.minima)
    for end in ends:
        known = torch.tensor(p.minima, dtype=torch.float64).reshape(-1, 2)
        assert float((known - end).norm(dim=1).min()) < 1e-6


@ALL
def test_the_window_holds_start_and_minima(p):
    for at in (p.start, *p.minima, *p.saddles):
        for v, (low, high) in zip(at, p.bounds, strict=True):
            assert low < v < high
    assert p.description
    assert p.name in PROBLEMS


@ALL
def test_shapes_and_types(p):
    for dtype in (torch.float32, torch.float64):
        xy = torch.zeros(4, 5, 2, dtype=dtype)
        assert p.f(xy).shape == (4, 5)
        assert p.f(xy).dtype == dtype
        assert p.gradient(xy).shape == (4, 5, 2)
    with torch.no_grad():
        assert p.gradient(torch.ones(2)).shape == (2,)


def test_noise_is_seeded_and_as_large_as_it_says():
    p = PROBLEMS["noisy-quadratic"]
    xy = torch.tensor(p.start).expand(200_000, 2)
    first = p.noisy_gradient(xy, torch.Generator().manual_seed(0))
    again = p.noisy_gradient(xy, torch.Generator().manual_seed(0))
    assert torch.equal(first, again)
    noise = first - p.gradient(xy)
    torch.testing.assert_close(
        noise.std(0), torch.tensor(p.noise), rtol=0.01, atol=0
    )
    assert float(noise.mean(0).abs().max()) < 0.03
    variance = torch.tensor(p.noise, dtype=torch.float64) ** 2
    torch.testing.assert_close(variance, hessian(p, (0.0, 0.0)).diag())
    g = torch.Generator().manual_seed(0)
    calm = PROBLEMS["golden"]
    assert torch.equal(calm.noisy_gradient(xy, g), calm.gradient(xy))


def test_golden_numbers():
    w = torch.tensor([1.0, -2.0], dtype=torch.float64)
    p = problem("golden")
    assert p.start == (1.0, -2.0)
    assert float(p.f(w)) == 20.5
    assert p.gradient(w).tolist() == [1.0, -20.0]
    well = problem("double-well")
    values = [float(well.f(torch.tensor(m).double())) for m in well.minima]
    assert values == pytest.approx([-0.30543, 0.29415], abs=1e-5)
    top = torch.tensor(well.saddles[0], dtype=torch.float64)
    assert float(well.f(top)) == pytest.approx(1.01128, abs=1e-5)


def test_unknown_name():
    with pytest.raises(ValueError, match="did you mean 'beale'"):
        problem("beal")
