"""What the widgets' scripts share: numbers in words, contours, places."""

import json
from importlib import resources

import numpy as np
import py_mini_racer
import pytest

# A pen that notes the ends of its lines.
PEN = """
const ends = [];
const pen = { moveTo: (x, y) => ends.push([x, y]),
              lineTo: (x, y) => ends.push([x, y]) };
const same = (v) => v;
"""


@pytest.fixture(scope="module")
def js():
    engine = py_mini_racer.MiniRacer()
    home = resources.files("dldna.pages")
    engine.eval((home / "page.js").read_text(encoding="utf-8"))
    yield lambda code: json.loads(
        engine.eval(f"(() => {{ {PEN} return JSON.stringify({code}); }})()")
    )
    engine.close()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0"),
        (-0.5, "-0.5"),
        (1234.5678, "1234.6"),
        (99999, "99999"),
        (123456, "1.235e+5"),
        (0.001, "0.001"),
        (-0.00099, "-9.900e-4"),
    ],
)
def test_a_number_has_five_digits_or_a_power(js, value, said):
    assert js(f"dldnaPage.number({value}, 5, 3)") == said


def ends(js, rows, level):
    """Both ends of every piece of a contour, (pieces, 2, 2): (x, y)."""
    call = f"dldnaPage.contour(pen, rows, {level}, same, same)"
    given = json.dumps(rows.tolist())  # NaN is JavaScript's, too
    found = js(f"((rows) => {{ {call}; return ends; }})({given})")
    return np.array(found).reshape(-1, 2, 2)


def test_the_contour_of_a_plane_is_its_line(js):
    y, x = np.mgrid[0:5, 0:7]
    pieces = ends(js, 2.0 * x + 3.0 * y, 8.3)
    np.testing.assert_allclose(
        2 * pieces[..., 0] + 3 * pieces[..., 1], 8.3, rtol=1e-12
    )
    # The line enters at (4.15, 0) and leaves at (0, 8.3 / 3).
    lengths = np.linalg.norm(pieces[:, 0] - pieces[:, 1], axis=1)
    assert lengths.sum() == pytest.approx(np.hypot(4.15, 8.3 / 3))


def test_a_cell_with_a_corner_that_is_no_number_has_no_contour(js):
    y, x = np.mgrid[0:5, 0:7]
    rows = 2.0 * x + 3.0 * y
    whole = ends(js, rows, 8.3)
    rows[1, 2] = np.nan
    left = ends(js, rows, 8.3)
    touched = (np.abs(whole - [2, 1]) <= 1).all(axis=(1, 2))
    assert 0 < touched.sum() < len(whole)
    np.testing.assert_allclose(left, whole[~touched])


def test_a_saddle_s_cell_is_cut_twice(js):
    pieces = ends(js, np.array([[0.0, 1.0], [1.0, 0.0]]), 0.5)
    assert len(pieces) == 2


def test_a_place_lies_between_the_numbers_of_a_list(js):
    axis = [-1.0, 0.0, 0.5, 4.0]
    at = np.linspace(0, 3, 13)
    found = [js(f"dldnaPage.between({axis}, {a})") for a in at]
    np.testing.assert_allclose(found, np.interp(at, range(4), axis))


def test_settings_come_back_from_an_address(js):
    settings = {"a": "1 2", "β": "x~y:z&=#%", "n": 0.25}
    code = (
        "(s => { const parts = new Map([['play1', dldnaPage.written(s)],"
        " ['map2', 'mu=1']]), hash = dldnaPage.packed(parts);"
        " const back = dldnaPage.unpacked(hash);"
        " return [hash, [...back.keys()], dldnaPage.read(back.get('play1'))];"
        f" }})({json.dumps(settings)})"
    )
    hash_, names, back = js(code)
    assert names == ["play1", "map2"]
    assert back == {k: str(v) for k, v in settings.items()}
    assert hash_.startswith("#play1:")
    assert hash_.count("~") == 1
    assert " " not in hash_


@pytest.mark.parametrize("hash_", ["", "#section-two", "#~:~=", "#a:%E0%A4%A"])
def test_another_address_is_no_harm(js, hash_):
    code = f"[...dldnaPage.unpacked({hash_!r})].map(p => dldnaPage.read(p[1]))"
    assert js(code) in ([], [{}])


def test_what_came_by_an_address_stays_within_bounds(js):
    assert js("dldnaPage.within('0.5', 0, 1, 9)") == 0.5
    for text in ("'2'", "'NaN'", "''", "undefined", "'1e999'", "'x'"):
        assert js(f"dldnaPage.within({text}, 0, 1, 9)") == 9
    assert js("dldnaPage.oneOf('8', [4, 8], 4)") == 8
    assert js("dldnaPage.oneOf('constructor', ['a'], 'b')") == "b"
