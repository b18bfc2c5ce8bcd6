"""The playground is one piece of HTML that holds its surfaces whole."""

import json
import re

import numpy as np
import pytest

from dldna import plotting
from dldna.landscape import Slice, toy_network
from dldna.problems import PROBLEMS
from dldna.records import Surface


def held(html):
    """What the widget carries for its script."""
    pattern = r'<script type="application/json">(.*?)</script>'
    return json.loads(re.search(pattern, html, re.DOTALL)[1])


def plane(losses, **more):
    losses = np.asarray(losses, dtype=float)
    a, b = losses.shape
    return Surface(
        np.linspace(-1, 1, a),
        np.linspace(-2, 2, b),
        losses,
        np.ones((a, b), bool),
        1.0,
        **more,
    )


def test_all_problems_arrive_unchanged():
    data = held(plotting.playground("all")._repr_html_())
    assert len(data["surfaces"]) == len(PROBLEMS)
    for given, problem in zip(
        data["surfaces"], PROBLEMS.values(), strict=True
    ):
        assert given["formula"] == problem.formula
        assert given["slopes"] == list(problem.slopes)
        assert given["start"] == list(problem.start)
        (a, b), (c, d) = problem.bounds
        assert given["extent"] == [a, b, c, d]
        assert (given["lowest"] is None) == (not problem.minima)


def test_it_asks_for_nothing_and_leaves_no_blank():
    html = plotting.playground(["golden", "beale"]).html
    assert not re.search(r"https?:|src=|href=|@import|url\(", html)
    assert "PLAY_" not in html
    assert html.count("</script>") == 2
    assert len(html) < 100_000


def test_text_cannot_leave_its_script():
    from dataclasses import replace

    evil = replace(PROBLEMS["golden"], description="</script><b>")
    html = plotting.playground(evil).html
    assert html.count("</script>") == 2
    assert held(html)["surfaces"][0]["description"] == "</script><b>"


def test_two_playgrounds_on_a_page_do_not_meet():
    ids = [
        re.search(r'id="(dldna-play-\w+)"', plotting.playground(s).html)[1]
        for s in ("golden", "beale")
    ]
    assert ids[0] != ids[1]


def test_a_surface_keeps_its_axes():
    z = np.arange(12.0).reshape(3, 4)
    given = held(plotting.playground(plane(z)).html)["surfaces"][0]
    assert given["kind"] == "grid"
    assert given["extent"] == [-1, 1, -2, 2]
    # Rows run along the second coordinate.
    assert given["grid"] == z.T.tolist()


@pytest.mark.parametrize("packed", [False, True])
def test_a_slice_arrives_whole(packed):
    part = Slice.of(toy_network("relu"), [(1, 0, 0), (2, 1, -1)])
    raw = part.to_dict(2.0, resolution=5, packed=packed)
    data = held(plotting.playground(raw, batch_size=64).html)
    given = data["surfaces"][0]
    assert given["kind"] == "network"
    assert given["batch_size"] == 64
    assert given["weights"] == raw["weights"]
    assert np.shape(given["grid"]) == (5, 5)
    wanted = part.surface(2.0, 5).losses.T
    np.testing.assert_allclose(given["grid"], wanted, rtol=1e-5)
    same = held(plotting.playground(part).html)["surfaces"][0]
    assert same["start"] == part.start.tolist()


def test_start_settings_and_steps_are_taken():
    data = held(
        plotting.playground(
            "beale",
            ["adam"],
            start=(1, 2),
            settings={"adam": {"lr": 0.5}},
            steps=7,
        ).html
    )
    assert data["surfaces"][0]["start"] == [1, 2]
    assert data["settings"] == {"adam": {"lr": 0.5}}
    assert (data["optimizers"], data["steps"]) == (["adam"], 7)


def test_what_cannot_be_meant_is_named():
    play = plotting.playground
    with pytest.raises(ValueError, match="did you mean 'rosenbrock'"):
        play("rosenbrok")
    with pytest.raises(ValueError, match="did you mean 'Adam'"):
        play("golden", ["adm"])
    with pytest.raises(ValueError, match="at most 8"):
        play("golden", plotting.PLAYERS[:9])
    with pytest.raises(ValueError, match="each once"):
        play("golden", ["sgd", "sgd"])
    with pytest.raises(ValueError, match="lr must be greater"):
        play("golden", settings={"sgd": {"lr": 0}})
    with pytest.raises(ValueError, match="1 losses of the surface"):
        play(plane([[1, 2, 3], [4, np.nan, 6], [7, 8, 9]]))
    with pytest.raises(ValueError, match="evenly spaced"):
        play(plane(np.ones((2, 4))))
    with pytest.raises(ValueError, match="lacks"):
        play({"activation": "relu"})
    with pytest.raises(ValueError, match="at least one"):
        play([])
