"""One browser for all page tests; each page is visited once."""

import functools
import http.server
import os
import shutil
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

sys.path.insert(0, os.path.dirname(__file__))  # for v8
ROOT = Path(__file__).parents[2]
HTML = ROOT / "_build" / "html"
AXE = (Path(__file__).parent / "vendor" / "axe" / "axe.min.js").read_text()
FLAGS = [
    "--no-sandbox",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # 3-D figures without a graphics card.
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]
DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
PATIENCE = 300_000  # ms for a condition, on a machine that others use too

# What a page says about itself, asked in one go.
FACTS = """() => {
  const all = (css) => [...document.querySelectorAll(css)];
  return {
    rawMath: all('.math').filter(e => !e.querySelector('mjx-container'))
      .map(e => e.textContent.slice(0, 60)),
    mathErrors: all('mjx-merror, mjx-container [data-mjx-error]')
      .map(e => e.textContent.slice(0, 60)),
    brokenImages: all('img').filter(e => e.getClientRects().length)
      .filter(e => !e.complete || !e.naturalWidth)
      .map(e => e.getAttribute('src')),
    badAlts: all('article img').filter(e => {
      const alt = e.getAttribute('alt');
      return alt === null || /\\.(png|svg|jpe?g|gif)$/i.test(alt)
        || (alt === '' && e.getAttribute('role') !== 'presentation');
    }).map(e => e.getAttribute('src') + ' alt=' + e.getAttribute('alt')),
    undrawn: all('.dldna-plotly').filter(e => e.dataset.drawn !== 'yes')
      .length,
    figures3d: all('.dldna-plotly').length,
    emptyFigures: all('.dldna-plotly[data-drawn=yes]')
      .filter(e => !e.querySelector('canvas, svg.main-svg')).length,
    title: document.title,
    h1: all('article h1').length,
  };
}"""

# Still figures in view: which of the four pictures, and how far it is shrunk
# (asked of its attributes: it may not have been fetched yet).
PICTURES = """() => [...document.querySelectorAll('img[class*="dldna-"]')]
  .filter(e => e.getClientRects().length)
  .map(e => [
    e.className.split(' ').find(c => c.startsWith('dldna-')).slice(6),
    e.getBoundingClientRect().width / parseFloat(
      e.getAttribute('width') || e.style.width),
  ])"""

# The elements that stick out, for the message.
WIDE = """() => {
  const room = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= room + 1) return [];
  return [...document.querySelectorAll('body *')]
    .filter(e => e.getBoundingClientRect().right > room + 1)
    .filter(e => {
      for (let p = e.parentElement; p !== document.body; p = p.parentElement)
        if (getComputedStyle(p).overflowX !== 'visible') return false;
      return true;
    })
    .slice(0, 8)
    .map(e => e.tagName + '.' + e.className + ' '
      + Math.round(e.getBoundingClientRect().right) + ' of ' + room);
}"""

AXE_RUN = """rules => axe
  .run('article', {preload: false, resultTypes: ['violations'],
    ...(rules ? {runOnly: rules} : {})})
  .then(r => r.violations
    .filter(v => ['serious', 'critical'].includes(v.impact))
    .map(v => v.id + ': ' + v.help + ' '
      + v.nodes.slice(0, 3).map(n => n.html.slice(0, 160)).join(' | ')))"""


@dataclass
class Visit:
    """What one visit of a page brought to light."""

    requests: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)
    facts: dict = field(default_factory=dict)
    faults_light: list[str] = field(default_factory=list)
    faults_dark: list[str] = field(default_factory=list)
    weighed: list[str] = field(default_factory=list)
    pictures: dict = field(default_factory=dict)
    wide_phone: list[str] = field(default_factory=list)
    wide_desktop: list[str] = field(default_factory=list)


def watch(page, visit: Visit) -> None:
    page.on("request", lambda r: visit.requests.append(r.url))
    page.on(
        "requestfailed",
        lambda r: visit.failed.append(f"{r.url} {r.failure}"),
    )
    page.on(
        "response",
        lambda r: (
            visit.failed.append(f"{r.url} {r.status}")
            if r.status >= 400
            else None
        ),
    )
    page.on(
        "console",
        lambda m: visit.console.append(m.text) if m.type == "error" else None,
    )
    page.on("pageerror", lambda e: visit.console.append(str(e)))


def settle(page) -> None:
    """Wait until formulas are set and figures in view are drawn."""
    page.wait_for_load_state("load")
    page.evaluate(
        "() => window.MathJax && MathJax.startup && MathJax.startup.promise"
    )


# Resolves when the page's size has been the same for so many frames.
STILL = """frames => new Promise(done => {
  let same = 0, last = '';
  const look = () => {
    const root = document.documentElement;
    const now = [innerWidth, root.scrollWidth, root.scrollHeight].join();
    same = now === last ? same + 1 : 0;
    last = now;
    if (same >= frames) done();
    else requestAnimationFrame(look);
  };
  look();
})"""


@pytest.fixture(scope="session")
def still():
    """Wait until a page has been laid out and drawn, however slowly."""
    return lambda page: page.evaluate(STILL, 12)


def draw_figures(page) -> None:
    """Scroll to each figure and wait until it is drawn."""
    for box in page.query_selector_all(".dldna-plotly"):
        box.scroll_into_view_if_needed()
        page.wait_for_function("box => box.dataset.drawn", arg=box)


def fetch_pictures(page) -> None:
    """Fetch the figures that are shown, as a reader who scrolls does."""
    page.evaluate(
        "() => document.querySelectorAll('img').forEach("
        "e => { if (e.getClientRects().length) e.loading = 'eager'; })"
    )
    page.wait_for_function(
        "() => [...document.images].every("
        "e => !e.getClientRects().length || e.complete)"
    )


@pytest.fixture(scope="session")
def browser():
    """Chromium, without a window."""
    from playwright.sync_api import sync_playwright

    wanted = os.environ.get("CHROMIUM", "")
    found = shutil.which(wanted or "chromium") or shutil.which(
        "chromium-browser"
    )
    if found is None:
        pytest.fail(
            "page tests need Chromium: apt install chromium, or name one "
            "by the variable CHROMIUM",
            pytrace=False,
        )
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found, args=FLAGS)
        plain = running.new_context

        def patient(**options):
            context = plain(**options)
            context.set_default_timeout(PATIENCE)
            return context

        running.new_context = patient
        yield running
        running.close()


@pytest.fixture(scope="session")
def offline(browser):
    """A context with the network off: pages are opened from disk."""
    context = browser.new_context(viewport=DESKTOP, color_scheme="light")
    context.set_offline(True)
    yield context
    context.close()


@pytest.fixture(scope="session")
def served():
    """The address of a server for the built book."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Quiet, directory=HTML)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def visits(offline, still):
    """Visit a page from disk, once, and keep what was seen."""

    @functools.cache
    def visit(name: str) -> Visit:
        seen = Visit()
        page = offline.new_page()
        watch(page, seen)
        page.goto((HTML / name).as_uri())
        settle(page)
        draw_figures(page)
        seen.weighed = list(seen.requests)  # the rest comes when it is seen
        fetch_pictures(page)
        seen.facts = page.evaluate(FACTS)
        seen.pictures["desk, light"] = page.evaluate(PICTURES)
        seen.wide_desktop = page.evaluate(WIDE)
        page.evaluate(AXE)
        seen.faults_light = page.evaluate(AXE_RUN)
        page.emulate_media(color_scheme="dark", reduced_motion="reduce")
        page.wait_for_function(
            "() => document.documentElement.dataset.theme === 'dark'"
        )
        if "/api/" not in name:  # thousands of words in the same colours
            seen.faults_dark = page.evaluate(AXE_RUN, ["color-contrast"])
        seen.pictures["desk, dark"] = page.evaluate(PICTURES)
        page.set_viewport_size(PHONE)
        still(page)
        seen.pictures["phone, dark"] = page.evaluate(PICTURES)
        seen.wide_phone = page.evaluate(WIDE)
        page.close()
        return seen

    return visit


@pytest.fixture(scope="session")
def served_visits(browser, served):
    """Visit a page over http, once: requests and the console only."""
    context = browser.new_context(viewport=DESKTOP, color_scheme="light")

    @functools.cache
    def visit(name: str) -> Visit:
        seen = Visit()
        page = context.new_page()
        watch(page, seen)
        page.goto(f"{served}/{name}")
        settle(page)
        page.close()
        return seen

    yield visit
    context.close()


# --- one widget on a page of its own ------------------------------------

WIDGET_PAGE = """<!doctype html><html lang="en" data-theme="light"><head>
<meta charset="utf-8"><title>widget</title><style>
html[data-theme="dark"] { background: #121212; color: #ddd;
  --pst-color-text-base: #ddd; --pst-color-background: #121212; }</style>
</head><body><article><h1>Widget</h1>%s</article></body></html>"""
AXE_ALL = """() => axe.run('article', {resultTypes: ['violations']})
  .then(r => r.violations.map(v => v.id + ': ' + v.help))"""


@pytest.fixture
def widget_page(offline, tmp_path):
    """Opens a widget's HTML; nothing else is asked for, nothing goes wrong."""
    opened = []

    def show(html: str):
        path = tmp_path / "widget.html"
        path.write_text(WIDGET_PAGE % html, encoding="utf-8")
        page, errors, requests = offline.new_page(), [], []
        page.on("console", lambda m: errors.append(m.text))
        page.on("pageerror", lambda e: errors.append(str(e)))
        page.on("request", lambda r: requests.append(r.url))
        page.goto(path.as_uri())
        opened.append((page, errors, requests, path.as_uri()))
        return page

    yield show
    for page, errors, requests, address in opened:
        page.close()
        assert not errors
        assert requests == [address]


@pytest.fixture
def fits_all(still):
    """Holds that a widget can be used by all, in a theme and on a phone."""

    def check(page, theme: str, width: int) -> None:
        page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        page.evaluate(AXE)
        assert page.evaluate(AXE_ALL) == []
        page.set_viewport_size({"width": width, "height": 800})
        still(page)
        wide = "() => document.documentElement.scrollWidth"
        assert page.evaluate(wide) <= width

    return check
