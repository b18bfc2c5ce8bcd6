"""The explorer in a browser: a file from disk, a server, a notebook's view."""

import base64
import copy
import json
import re
import threading

import pytest
import torch
import uvicorn
from torch import nn

from dldna.explorer import Explorer, messages
from dldna.explorer.messages import about, answer
from dldna.explorer.notebook import widget
from dldna.explorer.offline import write_map
from dldna.explorer.served import application

pytestmark = pytest.mark.page


def maps(**options):
    x = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 0).long()
    nets = []
    for seed in (0, 1):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            nets.append(
                nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))
            )
    if options.pop("both", False):
        options["beside"] = nets[1]
    return Explorer(nets[0], nn.CrossEntropyLoss(), (x, y), **options)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("map")
    return maps(), write_map(maps(), folder / "map.html", depth=1)


class Watched:
    """A page of which every request and every complaint is noted."""

    def __init__(self, context, address):
        self.page = page = context.new_page()
        self.wrong, self.requests = [], []
        page.on("console", lambda m: self.wrong.append(m.text))
        page.on("pageerror", lambda e: self.wrong.append(str(e)))
        page.on("request", lambda r: self.requests.append(r.url))
        page.goto(address)
        self.settled()

    def settled(self):
        self.page.wait_for_function(
            "() => { const map = document.querySelector('.ex-map');"
            "return map && map.ariaLabel; }"
        )

    def says(self, start=""):
        self.page.wait_for_function(
            "s => document.querySelector('[data-ex=says]').textContent"
            ".startsWith(s)", arg=start,
        )  # fmt: skip
        return self.page.inner_text("[data-ex=says]")

    def label(self):
        self.page.wait_for_timeout(400)  # words follow the last frame
        return self.page.get_attribute(".ex-map", "aria-label")

    def at(self, x, y):
        """A place of the map on the screen, by shares of its sides."""
        shown = self.page.locator(".ex-map").first
        shown.scroll_into_view_if_needed()
        box = shown.bounding_box()
        return box["x"] + x * box["width"], box["y"] + y * box["height"]


@pytest.fixture
def opened(offline, written):
    made = []

    def open_(link=""):
        made.append(Watched(offline, written[1].as_uri() + link))
        return made[-1]

    yield open_
    for watched in made:
        watched.page.close()
        assert not watched.wrong
        documents = [u for u in watched.requests if not u.startswith("data:")]
        assert {u.partition("#")[0] for u in documents} == {
            written[1].as_uri()
        }


def test_a_file_is_probed_cut_and_moved_without_a_network(opened, written):
    here, watched = written[0].map(), opened()
    page = watched.page
    assert page.is_hidden("[data-ex=walking]")
    page.mouse.click(*watched.at(0.75, 0.25))
    said = watched.says("At (0.5, 0.5)")
    assert "interpolated" in said
    loss = float(re.search(r"loss ([\d.]+)", said)[1])
    assert loss == pytest.approx(here.losses([[0.5, 0.5]])[0], rel=2e-3)
    page.click("[data-ex=drawing]")
    page.mouse.move(*watched.at(0.25, 0.5))
    page.mouse.down()
    page.mouse.move(*watched.at(0.4, 0.5), steps=2)
    page.mouse.move(*watched.at(0.75, 0.5), steps=2)
    page.mouse.up()
    said = watched.says("Cut from (-0.5, 0) to (0.5, 0)")
    line = here.cut((-0.5, 0), (0.5, 0), 129)["losses"]
    ends = [float(v) for v in re.findall(r"([\d.]+)(?: to |,)", said)[-2:]]
    assert ends == pytest.approx([line.min(), line.max()], rel=2e-3)
    before = watched.label()
    page.mouse.move(*watched.at(0.5, 0.5))
    page.mouse.down()
    page.mouse.move(*watched.at(0.75, 0.5), steps=3)
    page.mouse.up()
    assert before != watched.label()
    page.wait_for_function(
        "() => document.querySelector('.ex-map').ariaLabel"
        ".includes('around (-0.5, 0)')"
    )


def test_two_fingers_move_the_map_and_zoom(opened):
    """What lies under the fingers stays under them."""
    watched = opened()
    page = watched.page
    (x, y), (right, _) = watched.at(0.5, 0.5), watched.at(1, 0.5)
    one = 1 / (right - x)  # half a window is 1 of the plane
    session = page.context.new_cdp_session(page)

    def touch(kind, *places):
        fingers = [{"x": a, "y": b, "id": n} for n, (a, b) in
                   enumerate(places)]  # fmt: skip
        session.send(
            "Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers}
        )

    touch("touchStart", (x - 40, y))
    touch("touchStart", (x - 40, y), (x + 40, y))
    for k in range(5):
        touch("touchMove", (x - 40 + 10 * k, y), (x + 40 + 10 * k, y))
    for k in range(5):
        touch("touchMove", (x - 10 * k, y), (x + 80 + 10 * k, y))
    touch("touchEnd")
    found = re.search(r"around \((\S+), 0\), (\S+) wide", watched.label())
    middle, span = map(float, found.groups())
    assert span == pytest.approx(1, rel=0.05)
    # (0, 0) was between the fingers, and now lies 40 pixels to the right
    assert middle == pytest.approx(-40 * one * span / 2, abs=0.02)
    session.detach()


def test_keys_do_all_of_it(opened):
    watched = opened()
    page = watched.page
    page.focus(".ex-map")
    for key in ("ArrowRight", "ArrowRight", "ArrowUp", "Enter"):
        page.keyboard.press(key)
    watched.says("At (0.1, 0.05)")
    for key in ("c", "ArrowLeft", "ArrowLeft", "c"):
        page.keyboard.press(key)
    watched.says("Cut from (0.1, 0.05) to (0, 0.05)")
    for key, word in (("+", "1.333 wide"), ("0", "2 wide"), ("-", "3 wide"),
                      ("Shift+ArrowRight", "around (0.375")):  # fmt: skip
        page.keyboard.press(key)
        page.wait_for_function(
            "w => document.querySelector('.ex-map').ariaLabel.includes(w)",
            arg=word,
        )


def test_the_link_brings_the_same_view_back(opened):
    first = opened()
    first.page.mouse.move(*first.at(0.3, 0.4))
    first.page.mouse.wheel(0, -150)
    first.page.select_option("[data-ex=scale]", "clip")
    first.page.check("[data-ex=deep]")
    first.page.wait_for_function(
        "() => location.hash.includes('clip') && "
        "location.hash.includes('deep=yes')"
    )
    link = first.page.evaluate("() => location.hash")
    again = opened(link)
    assert ", 2 wide" not in again.label()
    around = [w.label().partition(". Cursor")[0] for w in (first, again)]
    assert around[0] == around[1]
    assert again.page.input_value("[data-ex=scale]") == "clip"
    assert again.page.is_visible("[aria-label^='Surface in three']")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_accessible_and_fits_a_phone(opened, theme, fits_all):
    watched = opened()
    watched.page.emulate_media(color_scheme=theme)
    watched.page.check("[data-ex=deep]")
    fits_all(watched.page, theme, width=390)


def test_a_served_map_is_computed_where_one_looks(browser, tmp_path):
    here = maps(both=True, out=tmp_path / "maps")
    config = uvicorn.Config(lambda *_: None, port=0, log_level="warning")
    server = uvicorn.Server(config)
    import socket

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        port = listening.getsockname()[1]
        config.app = application(here, "secret", port)
        run = {"sockets": [listening]}
        thread = threading.Thread(target=server.run, kwargs=run)
        thread.start()
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        address = f"http://127.0.0.1:{port}/secret/"
        watched = Watched(context, address)
        page = watched.page
        page.mouse.click(*watched.at(0.75, 0.25))
        page.wait_for_function(
            "() => [...document.querySelector('[data-ex=readings] tbody')"
            ".rows].every(r => r.cells[4].textContent !== '–')"
        )
        true = here.map(1).probe(0.5, 0.5)
        text = page.locator("[data-ex=readings] tbody tr").nth(1).inner_text()
        cells = text.split("\t")
        assert cells[0] == "beside"
        assert float(cells[1]) == pytest.approx(true["loss"], rel=1e-3)
        assert float(cells[3]) == pytest.approx(true["gradient"], rel=1e-3)
        page.select_option("[data-ex=optimizer]", "Adam")
        page.click("[data-ex=walk]")
        watched.says("Adam from (0.5, 0.5)")
        page.wait_for_function(
            "() => document.querySelector('[data-ex=walks] tbody')"
            ".rows.length === 2"
        )
        page.click("[data-ex=save]")
        watched.says("Kept in view-")
        page.click("[data-ex=other]")
        watched.says("random")
        page.wait_for_function("() => location.hash.includes('seed=1')")
        page.wait_for_load_state("networkidle")
        assert not watched.wrong
        server.should_exit = True
        thread.join()
        listening.close()
        page.click("[data-ex=probe]")
        watched.says("Not probed: the explorer has ended. Start it again")
        context.close()
    known = {address, f"{address}ask"}
    asked = {u.partition("#")[0] for u in watched.requests}
    assert {u for u in asked if not u.startswith("data:")} == known


FAKE = """async ([module, html, about, live]) => {
  const { default: view } = await import(module);
  const heard = new Set();
  window.heard = heard;
  const model = { get: name => ({ html, about, view: '#x=0.5&span=1' })[name],
    on: (name, f) => heard.add(f), off: (name, f) => heard.delete(f),
    send: async content => {
      if (!live) return;
      const found = await reply(content);
      heard.forEach(f => f(found));
    } };
  window.show = () => {
    const el = document.createElement('div');
    document.body.append(el);
    return view.render({ model, el });
  };
  const before = Object.keys(window).length;
  window.end = show();
  return Object.keys(window).length - before;
}"""


class InNotebook:
    """A page that shows a widget and asks its kernel."""

    def __init__(self, browser, here, live):
        self.made, self.sent = widget(here), []
        self.made.send = self.sent.append
        module = base64.b64encode(self.made._esm.encode()).decode()
        self.context = browser.new_context()
        self.page, self.wrong = self.context.new_page(), []
        self.asked = []
        self.page.on("console", lambda m: self.wrong.append(m.text))
        self.page.on("pageerror", lambda e: self.wrong.append(str(e)))
        self.page.expose_function("reply", self.reply)
        module = f"data:text/javascript;base64,{module}"
        self.page.clock.install()
        given = [module, self.made.html, self.made.about, live]
        self.globals = self.page.evaluate(FAKE, given)
        if live:
            self.page.wait_for_function(
                "() => document.querySelector('.ex-map').ariaLabel"
            )

    def reply(self, content):
        self.asked.append(content)
        self.made._handle_custom_msg(content, [])
        return self.sent.pop()

    def says(self, text):
        self.page.wait_for_function(
            "s => document.querySelector('[data-ex=says]').textContent"
            ".includes(s)", arg=text,
        )  # fmt: skip


@pytest.fixture
def in_notebook(browser):
    shown = []

    def show(here, live=True):
        shown.append(InNotebook(browser, here, live))
        return shown[-1]

    yield show
    for one in shown:
        one.context.close()
        assert not one.wrong


def test_a_notebook_s_view_asks_its_kernel(in_notebook):
    here = maps()
    shown = in_notebook(here)
    page, made = shown.page, shown.made
    label = page.get_attribute(".ex-map", "aria-label")
    assert "around (0.5, 0), 1 wide" in label
    page.focus(".ex-map")
    page.keyboard.press("Enter")
    shown.says("At (0.5, 0)")
    assert json.loads(json.dumps(made.about)) == about(here)
    assert "error" in answer(here, {"ask": "quit"})


def test_a_walk_grows_and_is_stopped(in_notebook, monkeypatch):
    monkeypatch.setattr(messages, "PIECE", 0.0)
    here = maps(both=True)
    before = [copy.deepcopy(f.model.state_dict()) for f in here.objectives]
    page = in_notebook(here).page
    page.fill("[data-ex=steps]", "500")
    page.click("[data-ex=walk]")
    page.wait_for_function(
        "() => document.querySelector('[data-ex=progress]').value > 8"
    )
    rows = "[...document.querySelector('[data-ex=walks] tbody').rows]"
    taken = f"() => {rows}.map(r => parseInt(r.cells[2].textContent))"
    assert page.evaluate(f"({taken})().length") == 2
    page.click("[data-ex=stop]")
    page.wait_for_function(
        f"() => {rows}.every(r => r.cells[2].textContent.endsWith('stopped'))"
    )
    page.wait_for_selector("[data-ex=going]", state="hidden")
    assert all(0 < t < 500 for t in page.evaluate(taken))
    assert not here.walkers._kept
    for f, state in zip(here.objectives, before, strict=True):
        now = f.model.state_dict()
        assert all(torch.equal(now[k], state[k]) for k in state)
    page.fill("[data-ex=steps]", "3")
    page.click("[data-ex=walk]")
    page.wait_for_function(
        f"() => {rows}.length === 4 && {rows}.slice(2)"
        ".every(r => r.cells[2].textContent === '3')"
    )


def test_a_widget_is_shown_twice_and_cleared(in_notebook, monkeypatch):
    """What each view asks comes to it alone; a cleared one is silent."""
    monkeypatch.setattr(messages, "PIECE", 0.0)
    here = maps()
    shown = in_notebook(here)
    page = shown.page
    assert shown.globals == 1  # the test's own: the module leaves none
    page.evaluate("() => { window.other = show(); }")
    page.wait_for_function(
        "() => document.querySelectorAll('.ex-map')[1].ariaLabel"
    )
    ids = "() => [...document.querySelectorAll('[id]')].map(e => e.id)"
    found = page.evaluate(ids)
    assert len(found) == len(set(found))
    for k, key in enumerate(("ArrowRight", "ArrowLeft")):
        page.locator(".ex-map").nth(k).press(key)
        page.locator(".ex-map").nth(k).press("Enter")
    says = "document.querySelectorAll('[data-ex=says]')[%d].textContent"
    for k, place in enumerate(("At (0.525, 0)", "At (0.475, 0)")):
        page.wait_for_function(f"p => {says % k}.startsWith(p)", arg=place)
    page.locator("[data-ex=steps]").nth(1).fill("500")
    page.locator("[data-ex=walk]").nth(1).click()
    page.wait_for_function(
        "() => document.querySelectorAll('[data-ex=progress]')[1].value > 2"
    )
    assert page.evaluate("() => heard.size") == 2
    page.evaluate("() => { end(); other(); document.body.replaceChildren(); }")
    page.wait_for_timeout(300)
    assert page.evaluate("() => heard.size") == 0
    assert not here.walkers._kept
    asked = len(shown.asked)
    page.wait_for_timeout(300)
    assert len(shown.asked) == asked


def test_a_saved_view_without_a_kernel_says_what_to_do(in_notebook):
    shown = in_notebook(maps(), live=False)
    assert shown.page.is_visible("[data-ex=walk]")
    shown.page.clock.fast_forward(11_000)
    shown.says("run this cell again")
