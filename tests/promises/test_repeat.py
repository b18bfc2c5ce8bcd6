"""A chapter that is run twice says the same numbers.

One chapter here; ``make test-repeat`` runs all of them.
"""

import json

import pytest
from page import in_page
from repeat import CHAPTERS, apart, differences, relative, row, run


@pytest.mark.slow
def test_a_chapter_says_the_same_twice():
    """To the last digit, in another process and another hash order."""
    [chapter] = [c for c in CHAPTERS if c.stem == "10_schedules"]
    first = run(chapter, hashes=1)
    assert first["failed"] is None
    assert len(first["glued"]) >= 3
    assert {kind for _, kind, _ in first["shown"]} >= {"printed", "figure"}
    assert differences(first, run(chapter, hashes=2)) == []


SOURCES = [
    "import random, time\nfrom dldna.book import glue",
    "glue('same', 1 / 3)\nglue('other', random.random())",
    "glue('seconds', time.time(), machine=True)",
    "print('Run time: ', time.time())\nprint('Run time: 1 s')",
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


@pytest.mark.slow
def test_whatever_differs_is_found(twice):
    found = [text.split(":")[0] for text in differences(*twice)]
    assert found == [
        "other",
        "cell 3, printed",
        "cell 4, printed",
        "cell 5, value",
        "cell 5, figure",
        "cell 6, value",
    ]
    assert differences(twice[0], twice[0]) == []


@pytest.mark.slow
def test_a_claim_that_does_not_hold_is_told(twice):
    assert twice[0]["failed"] == "cell 7: AssertionError: too tight"
    line, bad = row("00_bad", [*twice, twice[0]])
    assert line.startswith("| `00_bad` | 2 | 1 | no | no | 0 | 0 |")
    assert len(bad) == 2 + 6 + 1


def glued(**numbers):
    return {
        "glued": {
            name: {"text": f"{x:.2f}", "number": x, "machine": name == "t"}
            for name, x in numbers.items()
        }
    }


def test_the_largest_relative_difference_is_named():
    a, b = glued(x=1.0, y=2.0, t=1.0), glued(x=1.001, y=2.02, t=9.0)
    assert apart(a, b) == (0.02 / 2.02, "y", ["y 2.00 or 2.02"])


def test_relative_differences():
    nan, inf = float("nan"), float("inf")
    assert relative(2.0, 1.0) == relative(-1.0, -2.0) == 0.5
    assert relative(nan, nan) == relative(inf, inf) == relative(0, 0) == 0
    assert relative(nan, 1.0) == relative(1.0, inf) == inf


def test_the_page_has_a_row_for_every_chapter():
    rows = in_page("repeated").splitlines()[2:]
    assert [r.split("`")[1] for r in rows] == [c.stem for c in CHAPTERS]
    assert all(r.split(" | ")[3:5] == ["yes", "yes"] for r in rows)
