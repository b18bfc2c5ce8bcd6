"""The viewer's JavaScript: heights beside the package's, words, settings."""

import json
import re

import numpy as np
import pytest
from v8 import Engine

from dldna import export

ALPHAS, BETAS = [-1.0, 0.0, 0.5, 2.0], [-0.333333333, 0.1, 3.0]
NOW = {
    **{"scale": "log", "show": "loss", "step": 4},
    **{"turn": -40, "tilt": 34, "zoom": 1, "spot": None},
}


@pytest.fixture(scope="module")
def js():
    engine = Engine("page", "viewer_rules", before="const V = dldnaViewer;")
    yield engine
    engine.close()


def scaled(js, rows, kind, seen=None):
    words = [[v if np.isfinite(v) else str(v) for v in r] for r in rows]
    seen = np.ones_like(rows) if seen is None else seen
    code = (
        "(h => ({...h, z: rows.map(r => r.map(h.height)), back: [0, .5, 1]"
        ".map(h.at)}))(V.scaled(rows, seen, kind, String))"
    )
    return js(code, rows=words, seen=np.asarray(seen).tolist(), kind=kind)


@pytest.mark.parametrize("kind", ["linear", "log", "clip"])
def test_heights_are_the_package_s(js, kind):
    rows = np.geomspace(0.02, 40, 81).reshape(9, 9)
    found, ours = scaled(js, rows, kind), export.heights(rows, kind, 0.9)
    low, high = ours.low, ours.high
    assert (found["low"], found["high"]) == pytest.approx((low, high))
    np.testing.assert_allclose(found["z"], ours.z, atol=1e-12)
    middle = (low * high) ** 0.5 if kind == "log" else (low + high) / 2
    assert found["back"] == pytest.approx([low, middle, high])


def test_what_has_no_height_is_told(js):
    rows = np.array([[np.nan, 1.0, -2.0], [np.inf, 4.0, 9.0]])
    found = scaled(js, rows, "log", seen=[[1, 1, 1], [1, 1, 0]])
    assert found["z"][0] == ["NaN", 0, 0]
    assert (found["low"], found["high"]) == (1, 4)
    assert "1 value of 0 or less" in found["words"]
    assert "2 points are NaN or infinite" in found["words"]
    assert "1 point not evaluated" in found["words"]


@pytest.mark.parametrize(
    ("rows", "scale"),
    [
        ([[1, 19]], "linear"),
        ([[1, "inf"], [21, 2]], "log"),
        ([[0, 100]], "linear"),
        ([["nan"]], "linear"),
    ],
)
def test_a_wide_range_asks_for_logarithms(js, rows, scale):
    assert js("dldnaPage.usualScale(rows.flat())", rows=rows) == scale


def taken(js, got, now=NOW, checkpoints=5):
    return js(
        "V.taken(got, now, A, B, ['loss', 'accuracy'], count)",
        **{"got": got, "now": now, "A": ALPHAS, "B": BETAS},
        count=checkpoints,
    )


def test_settings_come_back_from_the_address(js):
    there = {
        **{"scale": "clip", "show": "accuracy", "step": 2},
        **{"turn": 171, "tilt": 3, "zoom": 2.5, "spot": [2, 0]},
    }
    code = "dldnaPage.read(dldnaPage.written(V.shown(s, A, B)))"
    words = js(code, s=there, A=ALPHAS, B=BETAS)
    assert words["checkpoint"] == "3"
    assert (words["alpha"], words["beta"]) == ("0.5", "-0.333333333")
    assert taken(js, words) == there
    assert taken(js, js(code, s=NOW, A=ALPHAS, B=BETAS)) == NOW


@pytest.mark.parametrize(
    "got",
    [
        *({"scale": "cube"}, {"show": "constructor"}, {"checkpoint": "6"}),
        *({"checkpoint": "0"}, {"turn": "181"}, {"tilt": "0"}, {"zoom": "99"}),
        *({"alpha": "0.5"}, {"alpha": "9", "beta": "0"}, {"zoom": "NaN"}),
    ],
    ids=json.dumps,
)
def test_what_makes_no_sense_in_an_address_changes_nothing(js, got):
    assert taken(js, got) == NOW


def test_a_surface_without_a_path_has_no_checkpoint(js):
    now = NOW | {"step": -1}
    assert taken(js, {"checkpoint": "1"}, now, 0) == now
    assert "checkpoint" not in js("V.shown(s, [], [])", s=now)


def test_a_turn_goes_around_and_the_rest_has_ends(js):
    moved = js("V.moved(s, 200, 900, 900)", s=NOW)
    assert moved == {"turn": 120, "tilt": 89, "zoom": 8}
    moved = js("V.moved(s, -10, -900, 1e-9)", s=NOW)
    assert moved == {"turn": -30, "tilt": 3, "zoom": 0.3}


def test_what_the_page_names_is_in_it():
    text = export.page(np.arange(3.0), np.arange(2.0), np.ones((3, 2)))
    ids = set(re.findall(r'id="([\w-]+)"', text))
    assert set(re.findall(r'\$\("([\w-]+)"\)', text)) <= ids
    for shared in ("const dldnaPage", "const dldnaDrawing", "dldna-share"):
        assert text.count(shared) >= 1
