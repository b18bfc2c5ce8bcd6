"""The init lab in a browser: from disk, by keyboard, light and dark."""

import pytest

from dldna import init, plotting

pytestmark = pytest.mark.page


@pytest.fixture(scope="module")
def grid():
    return init.lab_grid(
        [3, 6],
        activations=["relu", "tanh"],
        schemes=["lecun_normal", "kaiming_normal", "constant_variance"],
        width=32,
        samples=8,
        seeds=2,
    )


@pytest.fixture
def lab(widget_page, grid):
    return widget_page(plotting.init_lab(grid).html)


def says(page):
    return page.inner_text("[data-lab=says]")


def test_it_draws_every_layer_and_the_keyboard_moves_it(lab, grid):
    for side in ("forward", "backward"):
        assert lab.locator(f"[data-lab={side}] circle").count() == 6
    first = says(lab)
    lab.focus("[data-lab=scheme]")
    lab.keyboard.press("End")
    assert says(lab) != first
    assert "exploded" in says(lab)
    shown = lab.get_attribute("[data-lab=scheme]", "aria-valuetext")
    assert shown == "constant variance"
    lab.focus("[data-lab=depth]")
    lab.keyboard.press("Home")
    assert lab.locator("[data-lab=backward] circle").count() == 3
    assert says(lab).startswith("After 3 layers")


def test_the_table_holds_the_grid_s_numbers(lab, grid):
    lab.click("summary")
    row = lab.locator("tbody tr").first.locator("td").all_inner_texts()
    forward = grid["cells"]["lecun_normal/relu"]["forward"]
    assert row[0] == "1"
    assert float(row[1]) == pytest.approx(
        10 ** forward["measured"][0], rel=0.06
    )


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_accessible_and_fits_a_phone(lab, theme, fits_all):
    fits_all(lab, theme, width=360)
