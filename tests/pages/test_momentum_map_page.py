"""The map of momentum: its JavaScript beside the rule and NumPy's roots."""

import json
import re
from importlib import resources

import numpy as np
import py_mini_racer
import pytest
import torch

from dldna import optim, pages

LIMIT = 1e-6
# One point of each regime, and some on the borders.
PLACES = {
    "monotone": (0.1, 0.2),
    "critical": (0.25, 0.25),
    "ripples": (0.5, 0.8),
    "zigzag": (1.75, 0.05),
    "diverging": (3.1, 0.5),
}
GRID = [(a, mu) for a in np.linspace(0.01, 4.2, 23) for mu in (0, 0.3, 0.99)]


@pytest.fixture(scope="module")
def js():
    engine = py_mini_racer.MiniRacer()
    home = resources.files("dldna.pages")
    engine.eval((home / "momentum_map_rules.js").read_text(encoding="utf-8"))
    yield lambda code: json.loads(
        engine.eval(f"JSON.stringify(dldnaMomentum.{code})")
    )
    engine.close()


def exact(a, mu):
    """The larger root's size, from the eigenvalues of the step's matrix."""
    step = np.array([[1 - a, -a * mu], [1, mu]])  # of (w, v)
    return np.abs(np.linalg.eigvals(step)).max()


def test_the_larger_root_is_that_of_the_step_s_matrix(js):
    for a, mu in GRID:
        assert js(f"size({a}, {mu})") == pytest.approx(exact(a, mu), abs=LIMIT)


def test_the_roots_are_numpy_s(js):
    for a, mu in [*PLACES.values(), (1.0, 0.0), (4.2, 0.99)]:
        found = [complex(*z) for z in js(f"roots({a}, {mu})")]
        both = np.poly(found)
        np.testing.assert_allclose(both, [1, a - 1 - mu, mu], atol=LIMIT)
        assert abs(found[0]) >= abs(found[1]) - LIMIT


@pytest.mark.parametrize(("a", "mu"), PLACES.values())
def test_the_path_is_that_of_the_package_s_rule(js, a, mu):
    w, state = torch.ones(()).double(), {"b": torch.zeros(()).double()}
    walk = [1.0]
    for t in range(1, 41):
        w, state = optim.sgd(w, w, state, t, lr=a, momentum=mu)
        walk.append(w.item())
    np.testing.assert_allclose(
        js(f"path({a}, {mu}, 40)"), walk, rtol=LIMIT, atol=LIMIT
    )


@pytest.mark.parametrize("name", PLACES)
def test_each_regime_is_what_its_path_does(js, name):
    a, mu = PLACES[name]
    assert js(f"regime({a}, {mu})") == name
    walk = np.array(js(f"path({a}, {mu}, 40)"))
    turns = np.sum(walk[1:] * walk[:-1] < 0)
    if name in ("monotone", "critical"):
        assert turns <= 1
        assert abs(walk[-1]) < 0.05
    elif name == "ripples":
        assert 4 < turns < 30
    else:
        assert turns == 40
        assert (abs(walk[-1]) > 1) == (name == "diverging")


def test_the_limit_of_the_map_is_twice_one_and_mu(js):
    for mu in (0, 0.5, 0.99):
        edge = 2 * (1 + mu)
        assert js(f"regime({edge - 1e-6}, {mu})") != "diverging"
        assert js(f"regime({edge + 1e-6}, {mu})") == "diverging"


@pytest.mark.parametrize("kappa", [1.0, 10.0, 1000.0])
def test_the_best_setting_beats_its_neighbours(js, kappa):
    best = js(f"best({kappa})")

    def worst(a, mu):
        return max(exact(a / k, mu) for k in (1, kappa))

    at_best = worst(best["a"], best["mu"])
    root = np.sqrt(kappa)
    assert at_best == pytest.approx((root - 1) / (root + 1), abs=1e-5)
    for da, dm in [(0.01, 0), (-0.01, 0), (0, 1e-3), (0.01, 1e-3)]:
        assert worst(best["a"] + da, best["mu"] + dm) > at_best


def test_the_steps_to_a_millionth(js):
    assert js("steps(0.1)") == 6
    assert js("steps(0)") == 1
    assert js("steps(1)") is None  # JSON's word for infinity


def test_it_asks_for_nothing_and_leaves_no_blank():
    html = pages.momentum_map()._repr_html_()
    assert not re.search(r"https?:|src=|href=|@import|url\(", html)
    assert "MAP_" not in html


def test_it_starts_where_asked_and_two_do_not_meet():
    one, two = pages.momentum_map(0.5, 0.9), pages.momentum_map(kappa=100)
    data = re.search(r'<script type="application/json">(.*?)<', two.html)[1]
    assert json.loads(data) == {"a": 0.5, "mu": 0.8, "kappa": 100.0}
    ids = [re.search(r'id="(dldna-map-\w+)"', w.html)[1] for w in (one, two)]
    assert ids[0] != ids[1]


@pytest.mark.parametrize(
    "wrong",
    [{"rate": 0}, {"rate": 5}, {"momentum": 1}, {"kappa": float("nan")}],
)
def test_a_point_outside_the_map_is_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must lie"):
        pages.momentum_map(**wrong)
