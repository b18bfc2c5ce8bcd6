"""Walks on two weights, and the widget that draws them."""

import numpy as np
import pytest
import torch

from dldna import walks
from dldna.landscape import Slice, toy_network
from dldna.optim import RULES, sophia_curvature
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
    with pytest.raises(ValueError, match="did you mean 'Adam'"):
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


@pytest.mark.parametrize("k", [1, 5, 10])
@pytest.mark.parametrize("what", ["rosenbrock", "slice"])
def test_sophia_takes_all_of_its_settings(k, what):
    if what == "slice":
        what = Slice.of(toy_network("tanh", seed=0))
        start = what.start.tolist()

        def gradient(w):
            return what.gradient(w[None])[1][0]
    else:
        gradient, start = ROSENBROCK.gradient, list(ROSENBROCK.start)
    gamma = 0.5 if what == "rosenbrock" else 20.0  # or each step is clipped
    hyper = {"lr": 1e-2, "gamma": gamma, "betas": (0.9, 0.7)}
    points, _ = walks.walk(what, "sophia", steps=12, k=k, **hyper)
    rule, w = RULES["sophia"], torch.tensor(start, dtype=torch.float64)
    state = rule.init(w)
    for t in range(1, 13):
        if t % k == 1 or k == 1:
            rows = []
            for i in range(2):
                e = torch.zeros(2).double()
                e[i] = 1e-5
                slope = (gradient(w + e) - gradient(w - e)) / 2e-5
                rows.append(slope[i])
            h = torch.stack(rows)
            state = {**state, "h": sophia_curvature(state["h"], h, 0.7)}
        w, state = rule.update(w, gradient(w), state, t, **hyper)
    np.testing.assert_allclose(points[-1], w.numpy(), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "player"),
    [
        ("Adam", "adam"),
        ("SGD+", "momentum"),
        ("heavy ball", "momentum"),
        ("NAG", "nesterov"),
        ("D-Adaptation", "dadapt_adam"),
        ("Schedule-Free AdamW", "schedule_free_adamw"),
        ("SophiaG", "sophia"),
    ],
)
def test_names_in_any_spelling(name, player):
    a, _ = walks.walk("golden", name, steps=3, lr=0.01)
    b, _ = walks.walk("golden", player, steps=3, lr=0.01)
    np.testing.assert_array_equal(a, b)


def test_what_does_not_play_is_named():
    with pytest.raises(ValueError, match="Muon does not play"):
        walks.walk("golden", "muon")
