"""The playground in a browser: from disk, by hand, keyboard and finger."""

import math
from pathlib import Path

import pytest

from dldna import plotting
from dldna.landscape import Slice, toy_network

pytestmark = pytest.mark.page

AXE = Path(__file__).parent / "vendor" / "axe" / "axe.min.js"
AXE_RUN = """() => axe.run('article', {resultTypes: ['violations']})
  .then(r => r.violations.map(v => v.id + ': ' + v.help + ' '
    + v.nodes.map(n => n.html.slice(0, 120)).join(' | ')))"""
PHONE = {"width": 390, "height": 844}
PAGE = """<!doctype html><html lang="en" data-theme="light"><head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>playground</title><style>
html[data-theme="dark"] { background: #121212; color: #ddd; }</style></head>
<body><article><h1>Playground</h1>%s</article></body></html>"""
PLAY = "Object.values(dldnaPlayground)[2]"
PATHS = f"{PLAY}.walks()"


@pytest.fixture
def opened(offline, tmp_path):
    """Open a playground from disk, and see that it stays quiet."""
    pages, errors, requests, wanted = [], [], [], []

    def open_one(*given, **more):
        path = tmp_path / f"play{len(pages)}.html"
        html = plotting.playground(*given, **more).html
        path.write_text(PAGE % html, encoding="utf-8")
        page = offline.new_page()
        pages.append(page)
        wanted.append(path.as_uri())
        page.on("console", lambda m: errors.append(m.text))
        page.on("pageerror", lambda e: errors.append(str(e)))
        page.on("request", lambda r: requests.append(r.url))
        page.goto(path.as_uri())
        told(page)
        return page

    yield open_one
    for page in pages:
        page.close()
    assert not errors
    assert requests == wanted


def told(page):
    """Wait until the words fit what is drawn, and give them."""
    page.wait_for_function(f"() => {PLAY}.told()")
    return page.inner_text("[data-play=says]")


def start(page):
    return page.evaluate(f"{PLAY}.start()")


def test_a_drag_moves_the_start_and_all_paths(opened):
    page = opened(["golden", "beale"])
    before, first = told(page), start(page)
    box = page.locator("[data-play=map]").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for k in range(30):
        page.mouse.move(x + 60 * math.sin(k / 5), y + 50 * math.cos(k / 5))
    page.mouse.up()
    assert start(page) != first
    assert told(page) != before
    begins = page.evaluate(f"Object.values({PATHS}).map(p => p.points[0])")
    assert len(begins) == 4
    for point in begins:
        assert point == pytest.approx(start(page))
    assert page.evaluate("dldnaPlayground.frames.length") > 3


def test_the_keyboard_moves_start_rate_and_time(opened):
    page = opened("golden", ["sgd"], settings={"sgd": {"lr": 0.1}})
    assert "SGD at rate 0.1" in told(page)
    page.focus("[data-play=map]")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    assert start(page) == pytest.approx([1.05, -1.75])
    page.focus("[data-rule=sgd] input")
    for _ in range(8):
        page.keyboard.press("ArrowRight")
    assert "diverges" in told(page) or "above the start" in told(page)
    page.focus("[data-play=at]")
    page.keyboard.press("Home")
    page.wait_for_function(  # the next frame, however busy the machine is
        "document.querySelector('[data-play=at-shown]').innerText === '0'"
    )
    page.fill("[data-play=x]", "2")
    page.keyboard.press("Enter")
    assert start(page)[0] == 2
    page.click("[data-play=reset]")
    assert "SGD at rate 0.1" in told(page)


def test_a_finger_drags_near_the_start_only(browser, tmp_path, still):
    path = tmp_path / "touch.html"
    html = plotting.playground("golden").html
    path.write_text(PAGE % html, encoding="utf-8")
    context = browser.new_context(viewport=PHONE, has_touch=True)
    page = context.new_page()
    page.goto(path.as_uri())
    told(page)
    first = start(page)
    box = page.locator("[data-play=map]").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + 150
    page.touchscreen.tap(x, y)
    tapped = start(page)
    assert tapped != first
    hand = context.new_cdp_session(page)

    def touch(kind, *at):
        points = [{"x": at[0], "y": at[1]}] if at else []
        hand.send(
            "Input.dispatchTouchEvent", {"type": kind, "touchPoints": points}
        )

    def swipe(from_y):
        touch("touchStart", x, from_y)
        for k in range(1, 8):
            touch("touchMove", x + 2 * k, from_y + 12 * k)
        touch("touchEnd")
        still(page)

    swipe(y + 5)  # within reach of the ring
    dragged = start(page)
    assert dragged[1] < tapped[1] - 0.5
    assert page.evaluate("window.scrollY") == 0
    swipe(y - 90)  # far from it: the page's own
    assert start(page) == dragged
    context.close()


def test_divergence_is_said(opened):
    page = opened("golden", ["sgd"], settings={"sgd": {"lr": 3.0}})
    assert "diverges: no number is left at step" in told(page)
    assert "diverges" in page.get_attribute("[data-play=map]", "aria-label")


def test_optimizers_come_and_go(opened):
    page = opened("rosenbrock", ["adam"])
    page.click("text=Choose optimizers")
    for name in plotting.PLAYERS:
        page.locator(f"fieldset input[value={name}]").click()
    assert "Eight paths are the most" in page.inner_text("[data-play=says]")
    assert page.locator(".play-card").count() == 8
    page.locator("fieldset input[value=sgd]").click()
    assert page.locator(".play-card").count() == 7
    page.click("text=The numbers")
    told(page)
    assert page.locator("tbody tr").count() == 7


def test_every_surface_opens(opened):
    page = opened("all")
    select = page.locator("select[data-play=surface]")
    seen = set()
    for k in range(select.locator("option").count()):
        select.select_option(str(k))
        seen.add(told(page))
    assert len(seen) == select.locator("option").count()


def test_a_network_s_free_weights_can_be_chosen(opened):
    part = Slice.of(toy_network("tanh", seed=1))
    page = opened(part, batch_size=64)
    before = told(page)
    page.select_option("[data-play=free1]", "2,1,-1")
    assert "b3[2]" in page.inner_text("[data-play=name1]")
    assert start(page)[1] == pytest.approx(part.biases[2][1].item())
    after = told(page)
    assert after != before
    page.select_option("[data-play=batch]", "1000")
    assert told(page) != after
    page.click("[data-play=tune]")
    page.wait_for_function(
        "() => document.querySelector('[data-play=says]')"
        ".textContent.includes('after 100 steps')"
    )


def test_play_stops_at_the_end_and_respects_still_readers(opened):
    page = opened("golden", ["sgd"], steps=50)
    page.emulate_media(reduced_motion="reduce")
    page.click("[data-play=play]")
    page.click("[data-play=play]")
    page.wait_for_function(
        "document.querySelector('[data-play=at-shown]').innerText === '5'"
    )
    page.emulate_media(reduced_motion="no-preference")
    page.click("[data-play=play]")
    page.wait_for_function(
        "() => document.querySelector('[data-play=play]').textContent"
        " === 'Play'"
    )
    assert page.inner_text("[data-play=at-shown]") == "50"


def test_it_can_be_heard_and_silenced(opened):
    page = opened("golden", ["sgd", "adam"])
    page.click("[data-play=listen]")
    assert page.inner_text("[data-play=listen]") == "Stop"
    assert "Low pitch is low loss" in page.inner_text("[data-play=says]")
    page.click("[data-play=listen]")
    assert page.inner_text("[data-play=listen]") == "Listen"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_accessible_and_fits_a_phone(opened, theme, still):
    page = opened("golden")
    page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
    page.evaluate("document.querySelectorAll('details')"
                  ".forEach(d => { d.open = true; })")  # fmt: skip
    page.evaluate(AXE.read_text())
    assert page.evaluate(AXE_RUN) == []
    page.set_viewport_size(PHONE)
    still(page)
    wide = "() => document.documentElement.scrollWidth"
    assert page.evaluate(wide) <= PHONE["width"]
