"""A plane shows the picture it was fitted to, and its measures say so."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dldna import landscape, params
from dldna.landscape import patterns

PICTURE = np.array([[2.0, 1.0, 2.0], [1.0, 2.0, 1.0], [2.0, 1.0, 1.0]])


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 20), nn.Tanh(), nn.Linear(20, 3))


def batch(seed=1, n=12):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 6, generator=draw)
    return x, torch.randint(0, 3, (n,), generator=draw)


def losses(model, plane, size, data):
    """A plain loop that writes the weights."""
    model, side = copy.deepcopy(model), np.linspace(-1, 1, size)
    found = np.empty((size, size))
    for i, a in enumerate(side):
        for j, b in enumerate(side):
            model.load_state_dict(plane.point([a, b]))
            with torch.no_grad():
                found[i, j] = F.cross_entropy(model(data[0]), data[1])
    return found


def fitted(**options):
    options = {"steps": 60, "lr": 0.02, "spread": 0.05} | options
    return landscape.fit_plane(
        net(), F.cross_entropy, batch(), PICTURE, **options
    )


def test_the_losses_on_a_fitted_plane_are_those_of_the_picture():
    plane = fitted(lr=0.04)
    found = losses(net(), plane, 3, batch())
    assert np.corrcoef(found.ravel(), PICTURE.ravel())[0, 1] > 0.9
    assert plane.notes["fit"]["correlation"] > 0.9
    model = net()
    model.load_state_dict(plane.origin)
    drawn = landscape.surface(
        model, F.cross_entropy, batch(), plane, resolution=3
    )
    np.testing.assert_allclose(drawn.losses, found, rtol=1e-4)
    assert drawn.provenance.notes["fit"] == plane.notes["fit"]


@pytest.mark.full
def test_it_is_the_plain_loop_that_anybody_would_write():
    like, (x, y) = params.of(net()), batch()
    draw = torch.Generator().manual_seed(0)
    start = params.flatten(like)
    aside = 0.05 * torch.randn(2, len(start), generator=draw)
    three = torch.cat([start[None], aside]).requires_grad_()
    adam = torch.optim.Adam([three], lr=0.02)
    side = torch.linspace(-1, 1, 3)
    for _ in range(60):
        total = 0
        for i, a in enumerate(side):
            for j, b in enumerate(side):
                w = three[0] + a * three[1] + b * three[2]
                at = params.unflatten(w, like)
                z = torch.func.functional_call(net(), at, (x,))
                gap = F.cross_entropy(z, y) - PICTURE[i, j]
                total = total + gap**2 / 9
        adam.zero_grad()
        total.backward()
        adam.step()
    plane = fitted()
    for row, got in zip(three.detach(), [plane.origin, *plane.vectors],
                        strict=True):  # fmt: skip
        np.testing.assert_allclose(params.flatten(got), row, atol=2e-4)


@pytest.mark.full
def test_one_point_after_the_other_gives_the_same(monkeypatch):
    one = fitted(steps=20)
    monkeypatch.setattr(patterns, "reads_model", lambda f, b: True)
    two = fitted(steps=20)
    for a, b in zip(one.vectors, two.vectors, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)


@pytest.mark.full
def test_a_plane_through_the_own_weights_and_of_one_layer():
    plane = fitted(steps=20, origin=False, params=["2.weight"])
    torch.testing.assert_close(plane.origin, params.of(net()), rtol=0, atol=0)
    assert plane.notes["fit"]["moved"] == 0
    for vector in plane.vectors:
        moved = {k for k, v in vector.items() if bool((v != 0).any())}
        assert moved == {"2.weight"}


WRONG = {
    "heights": ({"heights": [1.0, 2.0]}, "at least 2 x 2"),
    "not finite": ({"heights": [[1.0, np.nan], [0, 0]]}, "finite"),
    "lr": ({"lr": 0}, "lr"),
    "steps": ({"steps": 0}, "steps"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_said(case):
    options, words = WRONG[case]
    given = {"heights": PICTURE} | options
    with pytest.raises(ValueError, match=words):
        landscape.fit_plane(net(), F.cross_entropy, batch(), **given)


def random_plane(seed=0):
    like, draw = params.of(net()), torch.Generator().manual_seed(seed)
    pair = [params.randn_like(like, draw) for _ in range(2)]
    return landscape.Plane(like, [landscape.Direction(d) for d in pair])


def test_measures_are_those_of_plain_loops():
    model, plane, data = net(), random_plane(), batch()
    found = landscape.plane_measures(
        model, F.cross_entropy, data, plane, resolution=5, other=batch(2, 40)
    )
    here, there = losses(model, plane, 5, data), None
    there = losses(model, plane, 5, batch(2, 40))
    want = np.corrcoef(here.ravel(), there.ravel())[0, 1]
    assert found.elsewhere == pytest.approx(want, rel=1e-4)
    rough = [
        (here[i, j] - (here[i - 1, j] + here[i + 1, j] + here[i, j - 1]
                       + here[i, j + 1]) / 4) ** 2
        for i in range(1, 4) for j in range(1, 4)
    ]  # fmt: skip
    size = np.square(here[1:-1, 1:-1] - here.mean()).mean()
    assert found.roughness == pytest.approx(np.mean(rough) / size, rel=1e-4)
    shares, d = [], torch.stack([params.flatten(v) for v in plane.vectors])
    for a in (-1, 0, 1):
        for b in (-1, 0, 1):
            model.load_state_dict(plane.point([a, b]))
            model.zero_grad()
            F.cross_entropy(model(data[0]), data[1]).backward()
            g = torch.cat([p.grad.flatten() for p in model.parameters()])
            basis = torch.linalg.qr(d.T.double())[0]
            inside = (basis.T @ g.double()).square().sum()
            shares.append(float(inside / g.double().square().sum()))
    want = np.mean(shares) * len(g) / 2
    assert found.aim == pytest.approx(want, rel=1e-4)
    model = net()
    model[0].requires_grad_(False)  # its weights move on the plane as before
    frozen = landscape.plane_measures(
        model, F.cross_entropy, data, plane, resolution=5
    )
    assert frozen.aim == pytest.approx(want, rel=1e-4)


def test_a_fitted_plane_is_told_from_random_ones():
    options = {"resolution": 3, "other": batch(2, 40)}
    given = net(), F.cross_entropy, batch()
    plain = landscape.plane_measures(*given, random_plane(), **options)
    made = landscape.plane_measures(*given, fitted(), **options)
    assert 1 / 3 < plain.contrast < 3
    assert made.aim > 2 * plain.aim
    assert made.elsewhere < 0.5 < plain.elsewhere
    assert made.roughness > 2 * plain.roughness
    with pytest.raises(ValueError, match="at least 3 points"):
        landscape.plane_measures(*given, random_plane(), resolution=2)
