"""The page *What we promise* says what is there."""

import re

from table import PAGE, PROMISES, ROOT, in_page, table


def test_the_page_holds_the_counted_table():
    assert in_page() == table(), "run: python tests/promises/table.py --write"


def test_what_the_page_points_to_exists():
    for promise in PROMISES:
        for test in promise.tests:
            assert (ROOT / "tests" / test.partition("::")[0]).exists(), test
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make ([\w-]+)`", PAGE.read_text()):
        assert f"\n{target}:" in makefile, target
