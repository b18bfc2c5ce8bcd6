"""The camera of a page's 3-D figures lives in its address."""

import json
import shutil
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.page

ROOT = Path(__file__).parents[2]
FIGURE = {
    "data": [{"type": "surface", "z": [[0, 1], [1, 3]], "colorbar": {}}],
    "layout": {
        "height": 400,
        "scene": {"camera": {"eye": {"x": 1.0, "y": 1.5, "z": 1.0}}},
        "meta": {"alt": "A bowl."},
    },
}
PAGE = """<!doctype html><html lang="en" data-theme="light"><head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>scenes</title><script src="_static/scene.js"></script>
<script src="_static/dldna.js"></script></head>
<body>%s<div style="height:3000px"></div>%s</body></html>"""
EYE = """k => { const eye = document.querySelectorAll('.dldna-plotly')[k]
  ._fullLayout.scene.camera.eye; return [eye.x, eye.y, eye.z]; }"""


@pytest.fixture
def scenes(tmp_path):
    sys.path.insert(0, str(ROOT / "book" / "_ext"))
    from dldna_book import plotly, vendor

    static = tmp_path / "_static"
    static.mkdir()
    for script in ("scene.js", "dldna.js"):
        shutil.copy(ROOT / "book" / "_static" / script, static)
    (static / "vendor").mkdir()
    (static / "vendor" / "plotly").symlink_to(ROOT / "book/_vendor/plotly")
    shutil.copy(vendor.PAGE, static / "vendor")
    one, other = (
        plotly.markup(json.loads(json.dumps(FIGURE)), None) for _ in "ab"
    )
    path = tmp_path / "page.html"
    path.write_text(PAGE % (one, other))
    sys.path.pop(0)
    return path.as_uri()


def drawn(context, address, figure):
    page, wrong = context.new_page(), []
    page.on("pageerror", lambda e: wrong.append(str(e)))
    page.goto(address)
    page.wait_for_function(
        "k => document.querySelectorAll('.dldna-plotly')[k].dataset.drawn",
        arg=figure,
    )
    assert not wrong
    return page


def test_a_camera_is_written_into_the_address_and_comes_back(offline, scenes):
    page = drawn(offline, scenes, 0)
    assert page.evaluate(EYE, 0) == pytest.approx([1, 1.5, 1])
    assert page.evaluate("location.hash") == ""
    box = page.locator(".dldna-plotly canvas").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y + 20, steps=4)
    page.mouse.up()
    page.wait_for_function("() => location.hash.includes('scene1:eye=')")
    turned = page.evaluate(EYE, 0)
    assert turned != pytest.approx([1, 1.5, 1], abs=0.1)
    link = page.evaluate("location.href")
    page.close()
    again = drawn(offline, link, 0)
    assert again.evaluate(EYE, 0) == pytest.approx(turned, abs=2e-3)
    again.close()


def test_a_link_opens_the_figure_it_speaks_of(offline, scenes):
    page = drawn(offline, scenes + "#scene2:eye=0.5*-1*2&up=no*1*0", 1)
    assert page.evaluate(EYE, 1) == pytest.approx([0.5, -1, 2])
    assert page.evaluate("scrollY") > 1000
    assert page.locator(".dldna-scene button").last.inner_text() == "Copy link"
    page.close()


def test_a_phone_s_eye_is_further_away_and_the_link_the_same(browser, scenes):
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = drawn(context, scenes + "#scene1:eye=1*1*1", 0)
    assert page.evaluate(EYE, 0) == pytest.approx([1.3, 1.3, 1.3])
    page.locator(".dldna-scene button").first.click()
    assert "scene1:eye=1*1*1" in page.evaluate("location.hash")
    context.close()
