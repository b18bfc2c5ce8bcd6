"""Walks on two weights, and the widget that draws them."""

import numpy as np
import pytest
import torch

from dldna import walks
from dldna.landscape import Slice, toy_network
from dldna.optim import RULES
from dldna.plotting import PLAYERS
from dldna.problems import PROBLEMS

ROSENBROCK = PROBLEMS["rosenbrock"]


@pytest.mark.parametrize(
    "name", sorted(set(PLAYERS) & set(RULES) - {"lars", "sophia"})
)
def test_a_walk_takes_the_rule_s_steps(name):
    points, losses = walks.walk("rosenbrock", name, steps=25, lr=1e-3)
    rule = RULES[name]
    w = torch.tensor(ROSENBROCK.start, dtype=torch.float64)
    state, hyper = rule.init(w), {**rule.defaults, "lr": 1e-3}
    for t in range(1, 26):
        w, state = rule.update(w, ROSENBROCK.gradient(w), state, t, **hyper)
    end = rule.point(w, state, **hyper)
    np.testing.assert_allclose(points[-1], end.numpy(), rtol=1e-9)
    assert losses[-1] == pytest.approx(ROSENBROCK.f(end).item())
    assert points.shape == (26, 2)


@pytest.mark.parametrize("name", PLAYERS)
def test_every_player_comes_down(name):
    _, losses = walks.walk("golden", name, steps=60, lr=0.05)
    assert losses[-1] < losses[0]


def test_variants_differ_from_what_they_vary():
    ends = {
        n: walks.walk("golden", n, steps=5, lr=0.01)[0][-1].tolist()
        for n in ("sgd", "momentum", "nesterov", "adam", "amsgrad", "signsgd")
    }
    assert len({tuple(e) for e in ends.values()}) == 6 - 1  # v only grows


def test_a_slice_gives_its_exact_gradient():
    part = Slice.of(toy_network("tanh", seed=1))
    points, losses = walks.walk(part, "sgd", steps=3, lr=0.1)
    w = part.start
    for k in range(3):
        loss, g = part.gradient(w[None])
        assert losses[k] == pytest.approx(loss.item())
        w = w - 0.1 * g[0]
    np.testing.assert_allclose(points[-1], w.numpy(), rtol=1e-12)


def test_it_stops_where_numbers_end():
    points, losses = walks.walk("monkey-saddle", "sgd", steps=99, lr=0.5)
    assert len(points) == len(losses) < 99
    assert np.isfinite(points).all()


def test_what_cannot_be_meant_is_named():
    with pytest.raises(ValueError, match="did you mean 'adam'"):
        walks.walk("golden", "adm")
    with pytest.raises(ValueError, match="give one"):
        walks.walk(lambda w: (w**2).sum(), "sgd")


def test_the_widget_redraws_what_its_sliders_say(monkeypatch):
    drawn = []
    monkeypatch.setattr(
        walks, "_draw", lambda paths, back: drawn.append((paths, back))
    )
    box = walks.playground_widget("golden", {"sgd": 0.1, "adam": 0.1})
    sliders = {s.description: s for s in box.children[:-1]}
    assert list(sliders) == ["start x", "start y", "steps", "sgd", "adam"]
    sliders["sgd"].value = 0.05
    sliders["start x"].value = 2.0
    paths, (a, b, z) = drawn[-1]
    wanted = walks.walk("golden", "sgd", (2.0, -2.0), 50, lr=0.05)[0]
    np.testing.assert_allclose(paths["sgd"][0], wanted)
    assert z.shape == (len(b), len(a))


@pytest.mark.parametrize(
    "surface", [Slice.of(toy_network("relu")), lambda w: (w**2).sum()]
)
def test_the_widget_draws_other_surfaces(surface):
    box = walks.playground_widget(surface, {"sgd": 0.01}, steps=3)
    assert len(box.children) == 5
