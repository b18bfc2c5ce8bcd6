"""Signs behind sentences, the list they lead to, and empty sentences."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "book" / "_ext"))
nodes = pytest.importorskip("docutils.nodes")
page = pytest.importorskip("dldna_book.claims")


def test_a_mark_becomes_a_sign_that_leads_to_the_list():
    text = "A is less. <!-- claim: it, w-* --> B. <!-- given: derived -->"
    assert page.signs("A.\n<!-- given: derived -->\nB", "x") == "A.\nB"
    shown = page.signs(text, "01_x")
    assert "<!--" not in shown
    assert 'id="claim-it"' in shown
    assert 'href="../book/claims.html#01_x-claim-it"' in shown
    assert 'id="claim-w-all"' in shown
    assert shown.startswith("A is less.<a ")
    assert shown.endswith("</a> B.")


def test_a_claim_of_two_sentences_has_one_place():
    cells = [
        {"cell_type": "markdown", "source": [f"{k}. <!-- claim: it -->"]}
        for k in "ABC"
    ]
    source = [json.dumps({"cells": cells})]
    page.on_source(None, "notebooks/01_x", source)
    assert source[0].count("✓".encode("unicode_escape").decode()) == 3
    assert source[0].count("id=") == 1
    rows = [("it", SimpleNamespace(text=k)) for k in "ABC"]
    _, listed = page.chapter("01_x", rows, {"it": 3})
    places = [p["ids"] for p in listed.findall(nodes.paragraph)]
    assert places == [["01_x-claim-it"], [], []]


def test_only_markdown_cells_of_chapters_are_turned():
    cells = [
        {"cell_type": kind, "source": ["A. <!-- claim: it -->"]}
        for kind in ("markdown", "code")
    ]
    for name, turned in (("notebooks/01_x", True), ("book/x", False)):
        source = [json.dumps({"cells": cells})]
        page.on_source(None, name, source)
        first, second = json.loads(source[0])["cells"]
        assert ("✓" in first["source"]) is turned
        assert "<!--" in second["source"][0]


def test_a_cell_that_asserts_can_be_linked_to():
    source = 'claim("it", 1, "<", 2)\nbook.claim(\n  f"w-{k}", a, "<", b)'
    cell = nodes.container("", nodes.literal_block(source, source))
    cell["nb_element"] = "cell_code"
    tree = nodes.section("", nodes.paragraph("", "x"), cell)
    page.on_doctree(None, tree)
    [target] = tree.findall(nodes.target)
    assert target["ids"] == ["cell-claim-it", "cell-claim-w-all"]
    assert tree.index(target) == tree.index(cell) - 1


def test_the_list_leads_to_sentence_and_cell():
    sentence = SimpleNamespace(text="*A* is ⟨gap⟩ ahead.")
    _, listed = page.chapter("01_x", [("it", sentence)], {"it": 3})
    assert listed.astext().startswith("A is # ahead.")
    links = [link["refuri"] for link in listed.findall(nodes.reference)]
    assert links == [
        "../notebooks/01_x.html#claim-it",
        "../notebooks/01_x.html#cell-claim-it",
    ]
    [line] = listed.findall(nodes.paragraph)
    assert line["ids"] == ["01_x-claim-it"]


def test_each_chapter_has_a_row_that_counts_its_exceptions():
    book = {
        "cells": [
            {
                "cell_type": "markdown",
                "metadata": {},
                "source": ["A is a word. <!-- given: definition -->"],
            }
        ]
    }
    here = page.tools().ledger(book)
    table = page.tally({"01_x": here, "02_y": here})
    head, *rows = [
        [entry.astext() for entry in row.findall(nodes.entry)]
        for row in table.findall(nodes.row)
    ]
    assert head[:3] == ["chapter", "claims", "definition"]
    assert rows[0] == ["01 x", "0", "1", *["0"] * (len(head) - 3)]
    assert rows[1][0] == "02 y"


# Sentences as they once came out, in part.
EMPTY = """
the clearer difference is at the largest rate: 2.30 against 2.30.
the barrier is 0.00 to 0.00.
they agree on 98 to 98 % of the images.
from 2.1 to 2.1 times the width.
the final losses differ by at most 0.000.
the eigenvalue grows by at most 0 % there.
a share of 1.00 to 1.00.
errors of about 0.0 %.
1,200 against 1,200 steps.
""".strip().splitlines()
FULL = """
2.30 against 2.31, or 12.30 against 2.30.
0.05 to 0.16, in 0 of 21 pairs; at most 0.01.
from 0 to 2.1 times; from 10 to 100.
by 0.05 and at most 0.001, about 100 %.
1.5 to 1.52 and 3 to 3,000.
""".strip().splitlines()


@pytest.mark.parametrize("text", EMPTY)
def test_a_sentence_that_says_nothing_is_found(text):
    assert page.empty(text)


@pytest.mark.parametrize("text", FULL)
def test_a_sentence_that_says_something_is_not(text):
    assert not page.empty(text)


def test_the_build_says_so(monkeypatch):
    said = []
    warn = lambda text, **_: said.append(text)  # noqa: E731
    monkeypatch.setattr(page.log, "warning", warn)
    tree = nodes.section("", nodes.paragraph("", EMPTY[0]))
    page.check_words(None, tree, "book/x")
    assert not said
    page.check_words(None, tree, "notebooks/x")
    assert "2.30 against 2.30" in said[0]
    tool = page.tools()
    monkeypatch.setattr(tool, "problems", lambda: ["01: 3 unmarked"])
    page.check_debts(None)
    assert said[1:] == ["01: 3 unmarked"]
