"""The page *What we promise* says what is there."""

import re

import pytest
from page import PAGE, ROOT, in_page, parts, replaced
from table import FILES, PROMISES, table

TEXT = PAGE.read_text(encoding="utf-8")


@pytest.fixture
def names(request):
    """Tests of the files that the page names, if this run collects all."""
    config = request.config
    begin = config.invocation_params.dir
    places = [(begin / place).resolve() for place in config.args]
    for file in FILES:
        above = {ROOT / "tests" / file, *(ROOT / "tests" / file).parents}
        if not above & set(places):
            return None  # they are collected apart
    return request.session.collected


def test_the_page_holds_the_counted_table(names):
    made = table(names)
    assert in_page("counted") == made, (
        "run: python tests/promises/table.py --write"
    )
    assert TEXT.count(made) == 1
    for promise in PROMISES:
        assert TEXT.count(f"| {promise.words} |") == 1


def test_the_rows_of_a_table_are_as_long_as_its_head():
    for block in re.findall(r"(?:^\|.*\n)+", TEXT, re.MULTILINE):
        head, rule, *rows = block.splitlines()
        assert re.fullmatch(r"\|(:?-+:?\|)+", rule), rule
        for row in (rule, *rows):
            assert row.count("|") == head.count("|"), row


def test_what_the_page_points_to_exists():
    for promise in PROMISES:
        for test in promise.tests:
            assert (ROOT / "tests" / test.partition("::")[0]).exists(), test
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make ([\w-]+)`", TEXT):
        assert f"\n{target}:" in makefile, target


# --- what writes into the page -----------------------------------------

SMALL = "1 x 1\n<!-- a: begin -->\nx\n<!-- a: end -->\nx\n"


def test_only_what_is_between_the_marks_is_replaced():
    new = replaced(SMALL, "a", "y\nz")
    assert new == "1 x 1\n<!-- a: begin -->\ny\nz\n<!-- a: end -->\nx\n"
    assert replaced(new, "a", "x") == SMALL


@pytest.mark.parametrize(
    "text",
    [
        "",
        SMALL + SMALL,
        "".join(reversed(SMALL.splitlines(keepends=True))),
        SMALL.replace("begin", "end"),
    ],
)
def test_marks_that_are_not_there_once_are_refused(text):
    with pytest.raises(ValueError, match="marks"):
        parts(text, "a")
