"""The map of momentum in a browser: dragged, by keyboard, light and dark."""

from pathlib import Path

import pytest

from dldna import pages

pytestmark = pytest.mark.page

AXE = Path(__file__).parent / "vendor" / "axe" / "axe.min.js"
AXE_RUN = """() => axe.run('article', {resultTypes: ['violations']})
  .then(r => r.violations.map(v => v.id + ': ' + v.help))"""
PHONE = {"width": 390, "height": 844}
PAGE = """<!doctype html><html lang="en" data-theme="light"><head>
<meta charset="utf-8"><title>map</title><style>
html[data-theme="dark"] { background: #121212; color: #ddd;
  --pst-color-text-base: #ddd; --pst-color-background: #121212; }</style>
</head><body><article><h1>Map</h1>%s</article></body></html>"""


@pytest.fixture
def momentum(offline, tmp_path):
    path = tmp_path / "map.html"
    html = pages.momentum_map(0.5, 0.8, kappa=10).html
    path.write_text(PAGE % html, encoding="utf-8")
    page, errors, requests = offline.new_page(), [], []
    page.on("console", lambda m: errors.append(m.text))
    page.on("pageerror", lambda e: errors.append(str(e)))
    page.on("request", lambda r: requests.append(r.url))
    page.goto(path.as_uri())
    yield page
    page.close()
    assert not errors
    assert requests == [path.as_uri()]


def says(page):
    return page.inner_text("[data-mm=says]")


def test_the_point_is_dragged(momentum):
    assert says(momentum).startswith("Regime: ripples")
    momentum.locator("[data-mm=map]").scroll_into_view_if_needed()
    box = momentum.locator("[data-mm=map]").bounding_box()
    x = box["x"] + 0.85 * box["width"]
    momentum.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50)
    momentum.mouse.down()
    momentum.mouse.move(x, box["y"] + 0.7 * box["height"])
    assert says(momentum).startswith("Regime: diverging")
    momentum.mouse.up()
    momentum.mouse.move(box["x"] + 60, box["y"] + 60)
    assert says(momentum).startswith("Regime: diverging")


def test_the_keyboard_moves_it_and_buttons_name_the_regimes(momentum):
    for name in ("monotone", "critical", "ripples", "zigzag", "diverging"):
        momentum.locator(f"[data-go={name}]").press("Enter")
        assert says(momentum).startswith(f"Regime: {name}")
    momentum.focus("[data-mm=a]")
    momentum.keyboard.press("Home")
    assert momentum.get_attribute("[data-mm=a]", "aria-valuetext") == "0.01"
    assert says(momentum).startswith("Regime: monotone")
    assert momentum.locator("[data-mm=path] circle").count() == 41


def test_the_best_setting_makes_both_directions_critical(momentum):
    momentum.click("[data-go=best]")
    size = (10**0.5 - 1) / (10**0.5 + 1)
    text = says(momentum)
    assert text.count("critical") == 2
    assert text.count(f"of size {size:.3g}") == 2
    row = momentum.locator("tbody tr").nth(1).locator("td")
    momentum.click("summary")
    assert float(row.nth(1).inner_text()) == pytest.approx(
        1 - (1 + size) ** 2, rel=1e-3
    )


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_accessible_and_fits_a_phone(momentum, theme, still):
    momentum.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
    momentum.evaluate(AXE.read_text())
    assert momentum.evaluate(AXE_RUN) == []
    momentum.set_viewport_size(PHONE)
    still(momentum)
    wide = "() => document.documentElement.scrollWidth"
    assert momentum.evaluate(wide) <= PHONE["width"]
