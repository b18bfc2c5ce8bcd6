"""What the explorer's page computes: tiles, values between, scales, links."""

import base64
import json
import math
from importlib import resources

import numpy as np
import py_mini_racer
import pytest
from scipy.interpolate import RegularGridInterpolator

from dldna.explorer.addresses import Address
from dldna.explorer.messages import packed

EXTENT = 0.7


def loss(a, b):
    return 1 + a * a + 3 * b * b + 0.2 * np.sin(9 * a) * b


def tile(at, step=1):
    a, b = (axis[::step] for axis in at.axes(EXTENT))
    return loss(a[:, None], b[None])


@pytest.fixture(scope="module")
def js():
    engine = py_mini_racer.MiniRacer()
    home = resources.files("dldna.pages")
    for name in ("page.js", "explorer_rules.js"):
        engine.eval((home / name).read_text(encoding="utf-8"))
    engine.eval("const E = dldnaExplorer, say = v => String(v);")
    yield lambda code: json.loads(
        engine.eval(f"(() => {{ {code} }})()") or "null"
    )
    engine.close()


def stored(tiles):
    """A store with tiles: JavaScript that makes it."""
    lines = ["const S = E.tileStore();"]
    for at, step in tiles:
        z = json.dumps(tile(at, step).ravel().tolist())
        lines.append(f"S.put({at.level},{at.i},{at.j},{step},0,{z});")
    return "".join(lines)


def test_numbers_arrive_as_they_were_sent(js):
    values = np.array([[1.5, -2.25e-7], [np.inf, 3e38]])
    raw = base64.b64decode(packed(values)).hex()
    atob = (
        "globalThis.atob = h => h.match(/../g).map(x => "
        "String.fromCharCode(parseInt(x, 16))).join('');"
    )
    found = js(f"{atob} return JSON.stringify([...E.unpacked('{raw}')]"
               ".map(String))")  # fmt: skip
    np.testing.assert_array_equal(
        np.array(found, dtype=float), values.ravel().astype("f4")
    )


def test_a_window_knows_its_tiles(js):
    view = "{x: 0.1, y: -0.2, span: 0.5}"
    for level in (0, 1, 3, 6):
        box = js(f"return JSON.stringify(E.tilesIn({view}, {level}, 0.7))")
        low = Address(level, box["i0"], box["j0"])
        high = Address(level, box["i1"], box["j1"])
        for k, middle in enumerate((0.1, -0.2)):
            first, last = low.axes(EXTENT)[k], high.axes(EXTENT)[k]
            assert first[0] <= middle - 0.25 < first[0] + box["width"]
            assert last[0] < middle + 0.25 <= last[0] + box["width"] + 1e-12


def test_the_level_follows_the_zoom_and_stays_in_its_range(js):
    found = [
        js(f"return JSON.stringify(E.levelFor({{span: {1.4 / 2**k}}}, 400, "
           "0.7, -4, 6))")
        for k in range(-7, 9)
    ]  # fmt: skip
    assert found == [min(6, max(-4, k)) for k in range(-7, 9)]


def test_coarse_tiles_are_asked_for_first_and_the_middle_first(js):
    code = stored([(Address(2, 1, 1), 4), (Address(2, 2, 2), 1)])
    view = "{x: 0, y: 0, span: 1.4}"
    found = js(
        f"{code} return JSON.stringify(E.wanted({view}, 2, 0.7, S, [4, 1]))"
    )
    assert len(found) == 15
    assert [t["stride"] for t in found] == [4] * 14 + [1]
    far = [t["far"] for t in found[:-1]]
    assert far == sorted(far)
    assert (found[-1]["i"], found[-1]["j"]) == (1, 1)
    assert (2, 2) not in {(t["i"], t["j"]) for t in found}


def test_values_between_are_bilinear(js):
    at = Address(1, 0, 1)
    code = stored([(at, 1)])
    axes = at.axes(EXTENT)
    oracle = RegularGridInterpolator(axes, tile(at))
    draw = np.random.default_rng(0)
    places = [[draw.uniform(x[0], x[-1]) for x in axes] for _ in range(20)]
    found = js(
        f"{code} return JSON.stringify({json.dumps(places)}.map(([a, b]) => "
        "E.valueAt(S, 1, a, b, 0.7, -4)))"
    )
    np.testing.assert_allclose(found, oracle(places), rtol=1e-9)


def test_a_cut_is_as_long_as_in_parameter_space(js):
    code = stored([(Address(1, 0, 1), 1)])
    axes = Address(1, 0, 1).axes(EXTENT)
    ends = [[float(x[k]) for x in axes] for k in (3, 20)]
    d = np.array([[3.0, 0.0], [1.0, 2.0]])  # two oblique directions
    plane = {
        "lengths": np.linalg.norm(d, axis=1).tolist(),
        "product": float(d[0] @ d[1]),
    }
    found = js(
        f"{code} return JSON.stringify(E.cutBetween(S, {json.dumps(plane)}, "
        f"1, 0.7, -4, {ends}, 5))"
    )
    t = np.linspace(0, 1, 5)
    step = np.subtract(ends[1], ends[0])
    np.testing.assert_allclose(
        found["distances"], t * np.linalg.norm(step @ d)
    )
    places = np.array(ends[0]) + t[:, None] * step
    oracle = RegularGridInterpolator(axes, tile(Address(1, 0, 1)))
    np.testing.assert_allclose(found["losses"], oracle(places), rtol=1e-9)


def test_what_is_not_there_yet_comes_from_coarser_tiles(js):
    coarse, above = Address(1, 0, 0), Address(0, 0, 0)
    code = stored([(coarse, 4), (above, 1)])
    inside = [float(coarse.axes(EXTENT)[k][9]) for k in (0, 1)]
    outside = [float(Address(1, 1, 1).axes(EXTENT)[k][8]) for k in (0, 1)]
    nowhere = [3.0, 3.0]
    found = js(
        f"{code} return JSON.stringify([{inside}, {outside}, {nowhere}]"
        ".map(([a, b]) => { const v = E.valueAt(S, 1, a, b, 0.7, -4);"
        " return v === undefined ? null : v; }))"
    )
    axes = [axis[::4] for axis in coarse.axes(EXTENT)]
    between = RegularGridInterpolator(axes, tile(coarse, 4))(inside)
    assert found[0] == pytest.approx(between[0])
    assert found[1] == pytest.approx(loss(*outside))
    assert found[2] is None


def test_a_mosaic_has_each_point_in_its_place(js):
    code = stored([(Address(1, i, j), 1) for i in (0, 1) for j in (0, 1)])
    view = "{x: 0, y: 0, span: 1.4}"
    found = js(
        f"{code} const m = E.mosaic(S, {view}, 1, 0.7, 0);"
        "m.rows = m.rows.map(r => [...r]); return JSON.stringify(m)"
    )
    rows = np.array(found["rows"], dtype=float)
    assert rows.shape == (found["h"], found["w"]) == (65, 65)
    a = found["a0"] + found["step"] * np.arange(64)
    b = found["b0"] + found["step"] * np.arange(64)
    np.testing.assert_allclose(rows[:64, :64], loss(a, b[:, None]), rtol=1e-9)
    np.testing.assert_array_equal(rows[64], rows[63])
    np.testing.assert_array_equal(rows[:, 64], rows[:, 63])


def test_a_loss_that_is_no_number_stays_one_in_a_mosaic(js):
    code = (
        "const S = E.tileStore(); const z = new Float32Array(1024);"
        "z[0] = NaN; z[1] = Infinity; S.put(0, 0, 0, 1, 0, z);"
    )
    view = "{x: 0, y: 0, span: 1.4}"
    rows = js(
        f"{code} const m = E.mosaic(S, {view}, 0, 0.7, 0);"
        "return JSON.stringify(m.rows.map(r => [...r]))"
    )
    assert rows[0][0] is None
    assert rows[1][0] is None
    assert rows[0][1] == rows[2][0] == 0


VALUES = [3.0, 0.01, 1.0, 40.0, math.nan, 2.0, 5.0, 1.5, 1.2, 9.0, 7.0]


@pytest.mark.parametrize("kind", ["linear", "log", "clip"])
def test_a_scale_goes_from_0_to_1_and_back(js, kind):
    values = json.dumps(VALUES)
    found = js(f"const s = E.scaleOf({values}, '{kind}', say); return JSON."
               f"stringify([s.low, s.high, {values}.map(s.height), "
               "[0, .5, 1].map(s.at), s.words])")  # fmt: skip
    low, high, heights, ends, words = found
    finite = np.sort([v for v in VALUES if not math.isnan(v)])
    top = finite[int(0.9 * (len(finite) - 1))] if kind == "clip" else 40.0
    assert (low, high) == (0.01, top)
    if kind == "log":
        true = np.log(np.array(VALUES) / low) / np.log(high / low)
        middle = math.sqrt(low * high)
    else:
        true = (np.array(VALUES) - low) / (high - low)
        middle = (low + high) / 2
    np.testing.assert_allclose(
        np.array(heights, dtype=float), np.clip(true, 0, 1)
    )
    np.testing.assert_allclose(ends, [low, middle, high])
    assert str(high).removesuffix(".0") in words


def test_the_usual_scale_is_that_of_figures(js):
    for values, kind in (([0.1, 3], "log"), ([1, 3], "linear"),
                         ([-1, 50], "linear")):  # fmt: skip
        code = f"return JSON.stringify(dldnaPage.usualScale({values}))"
        assert js(code) == kind


def test_a_link_brings_a_view_back(js):
    view = {"x": 0.125, "y": -3e-5, "span": 1e-4, "seed": 7,
            "directions": "gradient,random", "scale": "log"}  # fmt: skip
    choices = {"directions": ["random", "gradient,random"],
               "scale": ["linear", "log"]}  # fmt: skip
    found = js(f"return JSON.stringify(E.fromLink(E.toLink("
               f"{json.dumps(view)}), {json.dumps(choices)}))")  # fmt: skip
    assert found == view


def test_what_makes_no_sense_in_a_link_is_left_out(js):
    bad = (
        "#x=NaN&y=Infinity&span=-1&seed=1.5&directions=../etc&scale=%E0%A4%A"
        "&__proto__=1&constructor=random&toString=log&=&x&scale=alert(1)"
    )
    choices = {"directions": ["random"], "scale": ["log"]}
    found = js(f"return JSON.stringify(E.fromLink({json.dumps(bad)}, "
               f"{json.dumps(choices)}))")  # fmt: skip
    assert found == {}


def test_between_the_points_of_a_first_stage_the_map_has_no_steps(js):
    """A plane through four tiles' first points is that plane again."""
    code = "const S = E.tileStore(), f = (p, q) => 1 + 2 * p - 3 * q;"
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        code += (
            f"S.put(1,{i},{j},16,0,[0,1,2,3].map(k => f({32 * i} + 16 * "
            f"Math.floor(k / 2), {32 * j} + 16 * (k % 2))));"
        )
    code += "S.put(1,0,0,4,0,[f(0, 0), f(0, 4), f(0, 8)]);"
    found = js(
        f"{code} const rows = [];"
        "for (let p = 0; p <= 48; p++) for (let q = 0; q <= 48; q += 3) "
        "rows.push(E.sample(S, 1, p, q, 0) - f(p, q));"
        "return JSON.stringify([rows, E.sample(S, 1, 63, 63, 0), "
        "E.sample(S, 1, 64, 5, 0) === undefined, "
        "S.first(1, 0, 0, 4), S.whole(1, 0, 0, 4), S.whole(1, 0, 0, 16)])"
    )
    np.testing.assert_allclose(found[0], 0, atol=1e-9)
    assert found[1] == 1 + 2 * 48 - 3 * 48
    assert found[2:] == [True, 3, False, True]
