"""The rendered book, in a browser, from disk with the network off.

``make book`` first. Every page is visited once at desktop width in light
colours, then in dark ones and on a phone; the tests read what was seen.
"""

import gzip
import html.parser
import re
import sys
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlparse

import pytest
from v8 import Engine

pytestmark = pytest.mark.page

ROOT = Path(__file__).parents[2]
HTML = ROOT / "_build" / "html"
sys.path[:0] = [str(ROOT / "book" / "_ext"), str(ROOT / "book" / "tools")]
from dldna_book.moved import ELSEWHERE, FORMERLY  # noqa: E402

import notebooks  # noqa: E402

LOCAL = ("file:", "data:", "blob:", "about:", "http://127.0.0.1:")
PAGES = sorted(
    path.relative_to(HTML).as_posix()
    for path in HTML.rglob("*.html")
    if not {"_static", "_modules", "_sources"} & set(path.parts)
    and path.parent != HTML  # the indexes, the search, a redirect
    and path.stem not in FORMERLY
)
CONTENT = [page for page in PAGES if page.startswith(("book/", "notebooks/"))]
each_page = pytest.mark.parametrize("name", PAGES)


def test_the_book_is_built_and_no_page_is_missing():
    assert HTML.is_dir(), "first: make book"
    listed = re.findall(
        r"^ *-? *(?:file|root): *(\S+)$",
        (ROOT / "_toc.yml").read_text(),
        re.MULTILINE,
    )
    for name in listed:
        page = re.sub(r"\.(md|ipynb)$", "", name) + ".html"
        assert page in PAGES, f"{page} is in _toc.yml and was not built"


@each_page
def test_nothing_leaves_the_machine(name, visits):
    outside = [
        url for url in visits(name).requests if not url.startswith(LOCAL)
    ]
    assert not outside


@each_page
def test_no_request_fails_and_the_console_is_quiet(name, visits):
    seen = visits(name)
    assert not seen.failed
    assert not seen.console


@each_page
def test_the_same_over_http(name, served_visits):
    seen = served_visits(name)
    assert not [u for u in seen.requests if not u.startswith(LOCAL)]
    assert not seen.failed
    assert not seen.console


@each_page
def test_formulas_are_set(name, visits):
    facts = visits(name).facts
    assert not facts["rawMath"]
    assert not facts["mathErrors"]


@each_page
def test_images_are_there_and_described(name, visits):
    facts = visits(name).facts
    assert not facts["brokenImages"]
    assert not facts["badAlts"]


@each_page
def test_figures_that_turn_are_drawn(name, visits):
    facts = visits(name).facts
    assert facts["undrawn"] == 0
    assert facts["emptyFigures"] == 0


@each_page
def test_has_one_title(name, visits):
    facts = visits(name).facts
    assert facts["h1"] == 1
    assert facts["title"].strip()


@each_page
def test_can_be_used_by_all_in_light_colours(name, visits):
    assert not visits(name).faults_light


@each_page
def test_can_be_used_by_all_in_dark_colours(name, visits):
    assert not visits(name).faults_dark


@each_page
def test_never_scrolls_sideways(name, visits):
    seen = visits(name)
    assert not seen.wide_desktop
    assert not seen.wide_phone


@each_page
def test_still_figures_have_the_page_s_colours_and_letters_to_read(
    name, visits
):
    """A phone's picture is drawn for it, letters of 10.7 px: not shrunk."""
    pictures = visits(name).pictures
    counts = {where: len(seen) for where, seen in pictures.items()}
    assert len(set(counts.values())) == 1, counts
    if (
        name.removeprefix("notebooks/").removesuffix(".html")
        in notebooks.chapters()
    ):
        assert counts["desk, light"] > 0
    for where, kind in {
        "desk, light": "light",
        "desk, dark": "dark",
        "phone, dark": "phone-dark",
    }.items():
        assert {which for which, _ in pictures[where]} <= {kind}
    assert all(scale > 0.94 for _, scale in pictures["phone, dark"])


@each_page
def test_weight(name, visits):
    """When it opens: a text chapter at most 3 MB, one with 3-D 8 MB."""
    seen = visits(name)
    files = {
        Path(unquote(urlparse(url).path))
        for url in seen.weighed
        if url.startswith("file:")
    }
    total = sum(path.stat().st_size for path in files)
    wire = sum(len(gzip.compress(path.read_bytes(), 6)) for path in files)
    limit = 8e6 if seen.facts["figures3d"] else 3e6
    limit = 4e6 if "/api/" in name else limit  # looked up, not read
    assert wire <= total
    assert total <= limit, f"{total / 1e6:.1f} MB, {wire / 1e6:.1f} gzipped"


# --- links -------------------------------------------------------------


class Links(html.parser.HTMLParser):
    """A page's anchors, and where its links go."""

    def __init__(self, text: str):
        super().__init__()
        self.ids: set[str] = set()
        self.hrefs: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.ids |= {found.get("id") or "", found.get("name") or ""}
        href = found.get("href")
        if tag == "a" and href and not urlparse(href).scheme:
            self.hrefs.append(href)


@pytest.fixture(scope="module")
def links():
    return {
        path: Links(path.read_text(encoding="utf-8"))
        for path in HTML.rglob("*.html")
        if "_static" not in path.parts
    }


@each_page
def test_links_and_anchors_hold(name, links):
    page = HTML / name
    broken = []
    for href in links[page].hrefs:
        target, anchor = urldefrag(href)
        target = target.partition("?")[0]
        file = (page.parent / unquote(target)).resolve() if target else page
        if not file.exists() or (
            anchor
            and file.suffix == ".html"
            and unquote(anchor) not in links[file].ids
        ):
            broken.append(href)
    assert not broken


# --- what a page does --------------------------------------------------


@pytest.mark.parametrize("how", ["disk", "http"])
def test_search_finds_a_word(how, browser, offline, served):
    context = offline if how == "disk" else browser.new_context()
    page = context.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "console",
        lambda m: errors.append(m.text) if m.type == "error" else None,
    )
    base = (HTML / "search.html").as_uri()
    if how == "http":
        base = f"{served}/search.html"
    page.goto(f"{base}?q=optimizer")
    page.wait_for_selector("#search-results li a")
    hrefs = [
        a.get_attribute("href")
        for a in page.query_selector_all("#search-results li a")
    ]
    page.wait_for_load_state("networkidle")
    assert hrefs
    assert not errors
    page.close()


def test_a_quiz_answers_by_keyboard(offline):
    page = offline.new_page()
    page.goto((HTML / "book" / "how_to_use.html").as_uri())
    quiz = page.locator(".dldna-quiz").first
    quiz.locator("input").first.focus()
    page.keyboard.press("ArrowDown")
    assert quiz.locator("output").inner_text().startswith("Right.")
    page.keyboard.press("ArrowDown")
    assert quiz.locator("output").inner_text().startswith("Not yet:")
    page.close()


@pytest.mark.parametrize("old", FORMERLY)
def test_an_old_address_leads_to_the_new_one(old, offline):
    page = offline.new_page()
    address = (HTML / "notebooks" / f"{old}.html").as_uri()
    page.goto(f"{address}?slides#ch{old[:2]}-ex1")
    new = FORMERLY[old]
    page.wait_for_url(f"**/{new}.html?slides#{new}-ex1")
    page.close()


@pytest.mark.parametrize("old", ELSEWHERE)
def test_an_old_anchor_leads_to_where_its_text_stands(old):
    page = (HTML / "notebooks" / f"{old}.html").read_text(encoding="utf-8")
    script = page.split("<script>")[1].split("</script>")[0]
    engine = Engine(before="let gone; let location;")
    for anchor, there in ELSEWHERE[old].items():
        name, _, part = there.partition("#")
        engine.context.eval(
            f"location = {{hash: '#{anchor}', search: '?slides',"
            " replace(to) { gone = to; }};"
            f"(() => {{ {script} }})()"
        )
        assert engine("gone") == f"{name}.html?slides{'#' * bool(part)}{part}"
        text = (HTML / "notebooks" / f"{name}.html").read_text()
        assert not part or text.count(f'id="{part}"') == 1
    engine.close()


def test_folds_are_gathered_and_long_descriptions_wait(offline):
    page = offline.new_page()
    page.goto((HTML / "notebooks" / "initialization.html").as_uri())
    silent = ".cell.tag_hide-input:not(:has(> .cell_output)):has(> details)"
    assert page.locator(f"{silent} + .cell.tag_hide-input").count() == 0
    more = page.locator(".dldna-more")
    waiting = more.count()
    rule = page.locator("pre:has(.dldna-more)").first.element_handle()
    assert waiting
    assert "Args:" not in rule.inner_text()
    more.first.click()
    assert "Args:" in rule.inner_text()
    assert more.count() == waiting - 1
    page.close()


def test_a_chapter_turns_into_slides(offline):
    chapters = [page for page in PAGES if page.startswith("notebooks/")]
    if not chapters:
        pytest.skip("no chapter is in the book yet")
    page = offline.new_page()
    page.goto((HTML / chapters[0]).as_uri() + "?slides")
    page.wait_for_function("() => document.body.dataset.slides === 'ready'")
    seen = "document.querySelector('article').innerText"
    bar = page.locator(".dldna-slide-bar span")
    first = page.evaluate(seen)
    assert bar.inner_text().startswith("1 of ")
    page.keyboard.press("ArrowRight")
    assert bar.inner_text().startswith("2 of ")
    assert page.evaluate(seen) != first
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(seen) == first
    # Wherever it is cut, nothing hangs over the bar.
    for _ in range(int(bar.inner_text().split(" of ")[1]) - 1):
        page.keyboard.press("ArrowRight")
        assert page.evaluate(LOWEST) <= 0, bar.inner_text()
    page.keyboard.press("Escape")
    page.wait_for_url(lambda url: "?" not in url)
    page.close()


# By how many pixels the lowest block of a slide hangs over the bar.
LOWEST = """() => {
  const bar = document.querySelector(".dldna-slide-bar");
  const shown = [...document.querySelectorAll("article section > *")].filter(
    e => e.tagName !== "SECTION" && e.getClientRects().length);
  return Math.max(...shown.map(e => e.getBoundingClientRect().bottom))
    - bar.getBoundingClientRect().top;
}"""


def test_the_first_page_leads_to_the_landing_page(offline):
    page = offline.new_page()
    page.goto((HTML / "index.html").as_uri())
    page.wait_for_url("**/book/intro.html")
    page.close()


def test_the_theme_follows_the_reader(offline):
    page = offline.new_page()
    page.goto((HTML / "book" / "intro.html").as_uri())
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"() => {ground} !== {light!r}")
    page.close()
