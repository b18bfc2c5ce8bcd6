"""The live network and the matrix playground in a browser."""

import pytest

from dldna import pages

pytestmark = pytest.mark.page
RUN = "Object.values(dldnaLiveNetworks)[0].run()"
MATRIX = "Object.values(dldnaMatrixPlaygrounds)[0]"


@pytest.fixture
def live(widget_page):
    page = widget_page(pages.live_network("moons").html)
    page.wait_for_function(f"() => {RUN}.look")
    return page


def test_it_learns_and_looks_again_and_says_so(live):
    assert "Step 0" in live.inner_text("[data-live=says]")
    live.click("[data-live=play]")
    live.wait_for_function(f"() => {RUN}.look.step > 0 && {RUN}.t > 20")
    live.click("[data-live=play]")
    assert live.evaluate(f"{RUN}.loss < {RUN}.first")
    assert "largest curvature" in live.inner_text("[data-live=says]")
    assert "Loss by step" in live.get_attribute(
        "[data-live=loss]", "aria-label"
    )
    live.click("text=The numbers")
    assert live.locator("tbody tr").count() == 3
    live.click("[data-live=reset]")
    assert live.evaluate(f"{RUN}.t") == 0


def test_every_choice_can_be_made_by_keyboard(live):
    for name in ("depth", "width", "activation", "start", "optimizer",
                 "batch", "speed", "plane"):  # fmt: skip
        live.focus(f"[data-live={name}]")
        before = live.evaluate("document.activeElement.value")
        live.keyboard.press("End")
        if live.evaluate("document.activeElement.value") == before:
            live.keyboard.press("Home")
        assert live.evaluate("document.activeElement.value") != before
        live.focus("[data-live=once]")
        live.keyboard.press("Enter")
    assert live.evaluate(f"{RUN}.t") > 0
    live.wait_for_function(f"() => {RUN}.look && !{RUN}.task")
    before = live.evaluate(f"{RUN}.loss")
    live.focus("[data-live=map]")
    live.keyboard.press("Shift+ArrowRight")
    assert live.evaluate(f"{RUN}.shadow().at[0]") != 0
    assert before == live.evaluate(f"{RUN}.loss")


def test_missions_are_ticked_and_divergence_is_said(live):
    live.focus("[data-live=lr]")
    live.keyboard.press("End")
    live.select_option("[data-live=activation]", "linear")
    live.click("[data-live=play]")
    live.wait_for_function(f"() => {RUN}.over !== null")
    live.wait_for_function("() => document.querySelector('.dldna-done')")
    assert "Make SGD fail" in live.text_content(".dldna-done")
    assert "diverges at step" in live.inner_text("[data-live=says]")


LINKS = {
    "live": (
        lambda: pages.live_network("moons").html,
        "live1:data=0&depth=3&width=8&activation=relu&start=orthogonal"
        "&optimizer=muon&lr=-1.5&batch=32&speed=10&plane=path&seed=7",
    ),
    "matrix": (
        lambda: pages.matrix_playground().html,
        "matrix1:problem=target&steps=50&seed=2&who=soap"
        "&rates=soap*0.02!sgd*0.5",
    ),
    "play": (
        lambda: pages.playground(["golden", "double-well"]).html,
        "play1:surface=1&start=0.5*0.25&steps=200"
        "&with=adam*0.1*betas.0*0.5!sgd*0.02",
    ),
    "map": (lambda: pages.momentum_map().html, "map1:a=1.5&mu=0.4&kappa=10"),
}


@pytest.mark.parametrize("figure", LINKS)
def test_a_link_brings_the_figure_back(offline, tmp_path, figure):
    make, part = LINKS[figure]
    path = tmp_path / "figure.html"
    path.write_text(f"<!doctype html><meta charset=utf-8>{make()}", "utf-8")
    page = offline.new_page()
    page.goto(f"{path.as_uri()}#{part}~other:x=1")
    page.click("text=Copy link")
    kept = page.evaluate("location.hash").removeprefix("#").split("~")
    assert kept == [part, "other:x=1"]
    page.goto("about:blank")
    page.goto(f"{path.as_uri()}#{figure}1:a=9e9&lr=x&surface=-1&with=no*1")
    page.click("text=Copy link")  # nonsense is not taken, nothing breaks
    assert page.inner_text(f"[data-figure={figure}]")
    page.close()


def test_an_address_stays_as_it_is_until_a_setting_changes(live):
    live.click("summary >> nth=0")
    live.wait_for_timeout(800)
    assert live.evaluate("location.hash") == ""
    live.focus("[data-live=lr]")
    live.keyboard.press("ArrowLeft")
    live.wait_for_function("() => location.hash.startsWith('#live1:')")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_accessible_and_fits_a_phone(live, theme, fits_all):
    fits_all(live, theme, width=390)


@pytest.fixture
def matrix(widget_page):
    page = widget_page(pages.matrix_playground().html)
    page.wait_for_function(f"() => {MATRIX}.told()")
    return page


def test_a_matrix_walks_and_its_shadow_says_so(matrix):
    text = matrix.inner_text("[data-matrix=map-says]")
    assert text.startswith("A shadow: the weights have 36 numbers")
    matrix.focus("[data-rule=shampoo] input")
    matrix.keyboard.press("End")
    matrix.wait_for_function(f"() => {MATRIX}.told()")
    matrix.select_option("[data-matrix=who]", "muon")
    label = matrix.get_attribute("[data-matrix=updates]", "aria-label")
    assert label.startswith("Singular values of Muon's steps")
    matrix.click("text=Choose optimizers")
    matrix.locator("fieldset input[value=soap]").click()
    assert "Four walks" in matrix.inner_text("[data-matrix=says]")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_matrix_playground_fits_all(matrix, theme, fits_all):
    fits_all(matrix, theme, width=390)
