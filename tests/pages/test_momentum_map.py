"""The map of momentum in a browser: dragged, by keyboard, light and dark."""

import pytest

from dldna import pages

pytestmark = pytest.mark.page


@pytest.fixture
def momentum(widget_page):
    return widget_page(pages.momentum_map(0.5, 0.8, kappa=10).html)


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


def test_the_ravine_is_walked_across_and_along(momentum):
    dots = momentum.locator("[data-mm=ravine] .mm-dot-0")
    momentum.click("[data-go=best]")
    assert dots.count() == 41
    momentum.click("summary")
    row = momentum.locator("tbody tr").nth(7).locator("td")
    start = momentum.locator("[data-mm=ravine] .mm-start")
    goal = momentum.locator("[data-mm=ravine] ellipse").first
    for side, column in (("cy", 1), ("cx", 2)):
        begin, end, at = (
            float(one.get_attribute(side))
            for one in (start, goal, dots.nth(7))
        )
        share = (at - end) / (begin - end)
        assert share == pytest.approx(
            float(row.nth(column).inner_text()), abs=2e-3
        )
    told = momentum.locator("[data-mm=ravine]")
    assert "leaves" not in told.inner_html()
    momentum.click("[data-go=diverging]")
    assert "leaves" in told.inner_html()


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
def test_it_is_accessible_and_fits_a_phone(momentum, theme, fits_all):
    fits_all(momentum, theme, width=390)
