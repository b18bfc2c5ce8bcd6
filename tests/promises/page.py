"""Parts of the page *What we promise* that scripts write."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "book" / "promises.md"


def parts(text: str, name: str) -> tuple[str, str, str]:
    """What stands before, between and after the two marks of a name."""
    begin, end = f"<!-- {name}: begin -->\n", f"\n<!-- {name}: end -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"the marks of {name!r} must stand there once")
    before, _, rest = text.partition(begin)
    made, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"the marks of {name!r} stand in the wrong order")
    return before + begin, made, end + after


def replaced(text: str, name: str, made: str) -> str:
    """The text with something else between the marks, and no other change."""
    before, _, after = parts(text, name)
    return before + made + after


def in_page(name: str) -> str:
    """What the page has between the marks."""
    return parts(PAGE.read_text(encoding="utf-8"), name)[1]


def write(name: str, made: str) -> None:
    """Put something between the page's marks."""
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(replaced(text, name, made), encoding="utf-8")
