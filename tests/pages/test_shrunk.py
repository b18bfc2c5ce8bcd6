"""What a slide shows smaller is still dragged where the pointer is."""

import pytest

from dldna import pages, plotting

pytestmark = pytest.mark.page
LIVE = "Object.values(dldnaLiveNetworks)[0].run()"
PLAY = "Object.values(dldnaPlayground)[2]"
SHRINK = """() => {
  document.querySelector("[data-figure]").style.zoom = 0.6;
  dispatchEvent(new Event("resize"));
}"""
WIDGETS = {  # its page, its map, where it is, when it has begun
    "momentum": (
        lambda: pages.momentum_map(0.5, 0.8).html,
        "[data-mm=map]",
        "['a', 'mu'].map(k => parseFloat(document.querySelector("
        "`[data-mm=${k}]`).value))",
        "true",
    ),
    "playground": (
        lambda: plotting.playground(["golden"]).html,
        "[data-play=map]",
        f"{PLAY}.start()",
        f"{PLAY}.told()",
    ),
    "live network": (
        lambda: pages.live_network("moons").html,
        "[data-live=map]",
        f"{LIVE}.shadow().at",
        f"{LIVE}.look",
    ),
}


@pytest.mark.parametrize("name", WIDGETS)
def test_the_pointer_means_the_same_place_at_any_size(widget_page, name):
    html, canvas, at, begun = WIDGETS[name]
    page = widget_page(html())
    page.wait_for_function(f"() => {begun}")

    def pressed(across, up):
        page.locator(canvas).scroll_into_view_if_needed()
        box = page.locator(canvas).bounding_box()
        page.mouse.click(
            box["x"] + across * box["width"], box["y"] + up * box["height"]
        )
        return page.evaluate(at)

    whole = pressed(0.7, 0.6)
    elsewhere = pressed(0.4, 0.35)
    page.evaluate(SHRINK)
    page.wait_for_function(
        f"document.querySelector({canvas!r}).getBoundingClientRect().width"
        f" < 0.7 * document.querySelector({canvas!r}).clientWidth"
    )
    shrunk = pressed(0.7, 0.6)
    for k in range(2):
        far = abs(elsewhere[k] - whole[k])
        assert abs(shrunk[k] - whole[k]) < 0.05 * far
