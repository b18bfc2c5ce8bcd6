"""A chapter that is run twice says the same numbers.

One chapter here; ``make test-repeat`` runs all of them.
"""

import json

import pytest
from page import in_page
from repeat import (
    CHAPTERS,
    apart,
    differences,
    relative,
    row,
    run,
    without_times,
)


@pytest.mark.full
def test_a_chapter_says_the_same_twice():
    """To the last digit, in another process and another hash order."""
    [chapter] = [c for c in CHAPTERS if c.stem == "schedules"]
    first = run(chapter, hashes=1)
    assert first["failed"] is None
    assert len(first["glued"]) >= 3
    assert {kind for _, kind, _ in first["shown"]} >= {"printed", "figure"}
    assert differences(first, run(chapter, hashes=2)) == []


SOURCES = [
    "import random, time\nfrom dldna.book import glue",
    "glue('same', 1 / 3)\nglue('other', random.random())",
    "glue('seconds', time.time(), machine=True)",
    "print('Run time:', time.time())",
    "print({'a', 'b', 'c', 'd', 'e', 'f', 'g'})",
    "from matplotlib import pyplot as plt\nplt.plot([random.random()])",
    "random.random()",
    "assert random.random() > 2, 'too tight'",
    "print('not reached')",
]


@pytest.fixture(scope="module")
def twice(tmp_path_factory):
    """Two runs of a chapter that cannot repeat."""
    notebook = tmp_path_factory.mktemp("chapter") / "00_bad.ipynb"
    cells = [{"cell_type": "code", "source": [s]} for s in SOURCES]
    notebook.write_text(json.dumps({"cells": cells}))
    return [run(notebook, hashes=k) for k in (1, 2)]


@pytest.mark.full
def test_whatever_differs_is_found(twice):
    found = [text.split(":")[0] for text in differences(*twice)]
    assert found == [
        "other",
        "cell 4, printed",
        "cell 5, figure",
        "cell 6, value",
    ]
    assert differences(twice[0], twice[0]) == []


@pytest.mark.full
def test_a_claim_that_does_not_hold_is_told(twice):
    assert twice[0]["failed"] == "cell 7: AssertionError: too tight"
    line, bad = row("00_bad", [*twice, twice[0]])
    assert line.startswith("| `00_bad` | 2 | 1 | no | no | 0 | 0 |")
    assert len(bad) == 2 + 4 + 1


def test_printed_times_and_no_other_numbers_are_left_out():
    text = (
        "loss 1.5\nExecution completed for X, Execution time = {t} secs\n"
        "A | Execution Time (s)\n---|---\n2.50 | {t}\n3.50 | {t}\n"
        "after 4.5\nRun time: {t} s\nSeed: 0\nThreads: 1\n"
    )
    said = without_times(text.format(t="1.25"))
    assert said == without_times(text.format(t="31.5"))
    for number in ("1.5", "2.50", "3.50", "4.5", "Seed: 0"):
        assert number in said


def glued(**numbers):
    return {
        "glued": {
            name: {"text": f"{x:.2f}", "number": x, "machine": name == "t"}
            for name, x in numbers.items()
        }
    }


def test_the_largest_relative_difference_is_named():
    a, b = glued(x=1.0, y=3.0, t=1.0), glued(x=1.001, y=4.0, t=9.0)
    assert apart(a, b) == (0.25, "y", ["y 3.00 or 4.00"])


def test_relative_differences():
    nan, inf = float("nan"), float("inf")
    assert relative(2.0, 1.0) == relative(-1.0, -2.0) == 0.5
    assert relative(nan, nan) == relative(inf, inf) == relative(0, 0) == 0
    assert relative(nan, 1.0) == relative(1.0, inf) == inf


def test_the_page_has_a_row_for_every_chapter():
    rows = in_page("repeated").splitlines()[2:]
    assert [r.split("`")[1] for r in rows] == [c.stem for c in CHAPTERS]
    assert all(r.split(" | ")[3:5] == ["yes", "yes"] for r in rows)
