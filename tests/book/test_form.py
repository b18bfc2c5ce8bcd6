"""A chapter's form: how it opens and ends, and what of its code is seen."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "book" / "tools"))
import form as tool  # noqa: E402

import notebooks  # noqa: E402

FINISHED = [
    path
    for path in notebooks.paths()
    if path.stem in notebooks.chapters() and path.stem not in tool.UNFINISHED
]
ENDS = (
    "\n## In three sentences\nSo.\n",
    "\n## You can now\n- see\n",
    "\n## Before you use it\nA table.\n",
)
ASKED = "*Change one number.* What will a rate of 1 do?"


def cell(kind, source, *tags):
    return {
        "cell_type": kind,
        "id": source[:6],
        "metadata": {"tags": list(tags)},
        "source": source,
    }


def chapter(*more, quizzes=6):
    words = "A line.\n" * 30
    return {
        "cells": [
            cell("markdown", "# What is it?"),
            cell("code", "import dldna.book", "remove-cell"),
            cell("code", "plotting.playground()"),
            cell("code", 'quiz("planes-predict")'),
            cell("markdown", f"## How it is\n{words}"),
            *(cell("code", f'quiz("planes-q{k}")') for k in range(1, quizzes)),
            cell("code", 'quiz("planes-predict", reveal=True)'),
            cell("markdown", ASKED),
            cell("code", "rate = 0.1  # try 1 and 3"),
            *more,
            cell("markdown", "\n" + "".join(ENDS)),
            *(
                one
                for level in tool.LEVELS
                for one in (
                    cell("markdown", f"### E\n*{level}.* Do.", "exercise"),
                    cell("markdown", "Think.", "hint"),
                )
            ),
        ]
    }


@pytest.mark.parametrize("path", FINISHED, ids=lambda p: p.stem)
def test_a_chapter_has_its_form(path):
    assert tool.form(notebooks.read(path), path.stem).owes == []


def test_a_chapter_that_is_unfinished_owes_something():
    for stem in tool.UNFINISHED:
        path = ROOT / "notebooks" / f"{stem}.ipynb"
        assert tool.form(notebooks.read(path), stem).owes, stem


def test_a_good_chapter_owes_nothing():
    found = tool.form(chapter(), "planes")
    assert found.owes == []
    assert (found.questions, found.hints, found.shown) == (6, 3, 9)


@pytest.mark.parametrize(
    "source",
    ["import torch", 'glue("a", 1)', "plt.plot(x)", "ax.plot(x)",
     "axes[0].plot(x)", 'alt = "x"', 'claim("a", 1, "<", 2)', "f(x)  # fmt"],
)  # fmt: skip
def test_plumbing_is_found_where_it_is_seen(source):
    assert len(tool.form(chapter(cell("code", source)), "planes").owes) == 1
    folded = cell("code", source, "hide-input")
    assert tool.form(chapter(folded), "planes").owes == []


def test_a_figure_that_two_cells_would_show_is_found():
    drawn = "fig, ax = plt.subplots()\nax.plot(x)\n"
    open_ = cell("code", drawn, "hide-input")
    (owes,) = tool.form(chapter(open_), "planes").owes
    assert "twice" in owes
    closed = cell("code", drawn + "plt.close(fig)", "hide-input")
    assert tool.form(chapter(closed), "planes").owes == []


def test_more_code_than_prose_is_found():
    found = tool.form(chapter(cell("code", "x = 1\n" * 60)), "planes")
    assert "of prose" in found.owes[0]


@pytest.mark.parametrize("end", range(3))
def test_a_missing_end_is_found(end):
    made = chapter()
    for one in made["cells"]:
        one["source"] = one["source"].replace(ENDS[end], "")
    owes = tool.form(made, "planes").owes
    assert len(owes) == 1
    assert ENDS[end].splitlines()[1][3:] in owes[0]
    if end == 2:
        assert tool.form(made, "momentum").owes == []


@pytest.mark.parametrize("at", [2, 3])
def test_a_missing_opening_is_found(at):
    made = chapter(cell("code", 'quiz("planes-q9")'))
    made["cells"][at]["source"] = "x = 1"
    (owes,) = tool.form(made, "planes").owes
    assert ("picture" if at == 2 else "prediction") in owes


@pytest.mark.parametrize(
    ("old", "new"),
    [(ASKED, "Run it."), ("rate = 0.1  # try 1 and 3", "rate = 0.1")],
)
def test_a_chapter_without_a_number_to_change_is_found(old, new):
    made = chapter()
    for one in made["cells"]:
        one["source"] = one["source"].replace(old, new)
    (owes,) = tool.form(made, "planes").owes
    assert "to change" in owes


def test_a_guess_that_nothing_answers_is_found():
    made = chapter()
    for one in made["cells"]:
        one["source"] = one["source"].replace(", reveal=True", "")
    assert "reveals" in tool.form(made, "planes").owes[0]


def test_questions_hints_levels_and_captions_are_counted():
    made = chapter(cell("code", "plotting.show(fig)", "hide-input"), quizzes=4)
    made["cells"][-1]["metadata"]["tags"] = []
    made["cells"][-2]["source"] = "### E\nDo."
    owes = " / ".join(tool.form(made, "planes").owes)
    for word in ("4 questions", "1 figures", "2 hints", "'Study'", "'none'"):
        assert word in owes
