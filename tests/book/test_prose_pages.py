"""The pages between the chapters: each sentence that compares says why.

They hold no cells, so that no assertion can stand behind a sentence: it is
marked as a definition, a setting, advice and so on, or it does not compare.
"""

import json
import re
import sys
from pathlib import Path

import pytest
from mdit_py_plugins.anchors.index import slugify as default_slugify

BOOK = Path(__file__).parents[2] / "book"
sys.path.insert(0, str(BOOK / "tools"))
from claims import GIVEN, needs_mark  # noqa: E402
from sentences import split  # noqa: E402

COUNTED = re.compile(r"<!-- (\w+): begin -->.*?<!-- \1: end -->", re.DOTALL)
PAGES = sorted(path.name for path in BOOK.glob("*.md"))


def told(text: str) -> list:
    """The sentences of a page, what a tool has counted left out."""
    return list(split(COUNTED.sub("", text)))


@pytest.mark.parametrize("page", PAGES)
def test_each_sentence_that_compares_is_marked(page):
    found = told((BOOK / page).read_text(encoding="utf-8"))
    assert not [s.text for s in found if needs_mark(s)]


@pytest.mark.parametrize("page", PAGES)
def test_marks_say_why_and_name_no_cell(page):
    for sentence in told((BOOK / page).read_text(encoding="utf-8")):
        assert set(sentence.given) <= set(GIVEN), sentence.text
        assert not sentence.claims, sentence.text


def test_an_unmarked_sentence_is_found():
    bare = "Adam is better than SGD. <!-- counted: begin -->It is faster."
    first, *rest = told(bare + "<!-- counted: end -->")
    assert needs_mark(first)
    assert not rest
    (marked,) = told("Adam is better than SGD. <!-- given: cited -->")
    assert not needs_mark(marked)


SECTION = re.compile(r"notebooks/(\w+)\.ipynb#([\w-]+)")


def missing_sections(text: str) -> list[str]:
    """Links to sections of chapters that have no such heading."""
    missing = []
    for stem, anchor in SECTION.findall(text):
        path = BOOK.parent / "notebooks" / f"{stem}.ipynb"
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        prose = "\n".join(
            "".join(c["source"]) for c in cells if c["cell_type"] == "markdown"
        )
        headings = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
        slugs = {default_slugify(heading) for heading in headings}
        if anchor not in slugs:
            missing.append(f"{stem}#{anchor}")
    return missing


def test_links_lead_to_sections_that_stand():
    for page in PAGES:
        text = (BOOK / page).read_text(encoding="utf-8")
        assert not missing_sections(text), page
    lost = "[](../notebooks/planes.ipynb#no-such-heading)"
    assert missing_sections(lost) == ["planes#no-such-heading"]
