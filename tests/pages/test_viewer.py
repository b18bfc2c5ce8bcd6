"""A surface's page in a browser: by link, keyboard and fingers, on a phone."""

from pathlib import Path

import numpy as np
import pytest

from dldna import export

pytestmark = pytest.mark.page
LINK = (
    "#view1:scale=clip&show=accuracy&checkpoint=2&turn=30&tilt=50&zoom=1.2"
    "&alpha=0.5&beta=-1"
)
AXE = Path(__file__).parent / "vendor" / "axe" / "axe.min.js"
AXE_ALL = """() => axe.run(document, {resultTypes: ['violations']})
  .then(r => r.violations.map(v => v.id + ': ' + v.help))"""


@pytest.fixture
def opened(offline, tmp_path):
    a, b = np.linspace(-1, 1, 9), np.linspace(-2, 2, 5)
    x, y = np.meshgrid(a, b, indexing="ij")
    z = 0.1 + x**2 + y**2
    path = np.array([[1.0, 1.5], [0.5, 0.2], [0.0, 0.0]])
    file = tmp_path / "surface.html"
    more = {"metrics": {"accuracy": 1 / (1 + z)}, "path_coords": path}
    file.write_text(export.page(a, b, z, **more), encoding="utf-8")
    page, errors = offline.new_page(), []
    page.on("console", lambda m: errors.append(m.text))
    page.on("pageerror", lambda e: errors.append(str(e)))

    def show(link=""):
        page.goto(file.as_uri() + link)
        return page

    yield show
    page.close()
    assert not errors


def kept(page, setting):
    page.wait_for_function("word => location.hash.includes(word)", arg=setting)


def test_a_link_brings_the_view_back(opened):
    page = opened(LINK)
    assert page.input_value("#scale") == "clip"
    assert page.input_value("#what") == "accuracy"
    assert page.input_value("#step") == "1"
    page.wait_for_function(
        "() => document.querySelector('#reading').textContent"
        ".startsWith('alpha 0.5, beta -1 ·')"
    )
    page.press("#solid", "ArrowLeft")
    kept(page, LINK[1:].replace("turn=30", "turn=35"))
    page.press("#solid", "Control+ArrowLeft")  # the browser's
    page.evaluate("location.hash = 'view1:scale=cube&tilt=60'")
    page.press("#solid", "+")
    kept(page, "scale=clip&show=accuracy&checkpoint=2&turn=35&tilt=60")


def test_what_the_reader_does_is_kept(opened):
    page = opened()
    assert page.input_value("#scale") == "log"  # from .1 to 5.1
    page.select_option("#scale", "linear")
    kept(page, "scale=linear")
    page.click("#flat", position={"x": 60, "y": 30})
    kept(page, "alpha=-1&beta=2")
    page.hover("#solid")
    page.mouse.wheel(0, -200)
    kept(page, "zoom=1.22")


def test_two_fingers_zoom(opened):
    page = opened()
    box = page.locator("#solid").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    hand = page.context.new_cdp_session(page)
    for kind, gap in (("touchStart", 50), ("touchMove", 100), ("touchEnd", 0)):
        fingers = [
            {"x": x + side * gap, "y": y, "id": k}
            for k, side in enumerate((-1, 1) if gap else ())
        ]
        hand.send(
            "Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers}
        )
    kept(page, "turn=-40&tilt=34&zoom=2")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_accessible_and_fits_a_phone(opened, still, theme):
    page = opened()
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size({"width": 390, "height": 800})
    still(page)
    page.evaluate(AXE.read_text())
    assert page.evaluate(AXE_ALL) == []
    wide = "() => document.documentElement.scrollWidth"
    assert page.evaluate(wide) <= 390
