"""Where the scripts put their tables: the file ``RESULTS.md``."""

import re
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")


def write_section(name: str, text: str) -> None:
    """Put a section between its markers, or at the end.

    Args:
        name: of the markers ``<!-- name -->`` and ``<!-- /name -->``.
        text: the section in Markdown.
    """
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    block = f"{start}\n{text.strip()}\n{end}"
    old = RESULTS.read_text() if RESULTS.exists() else "# Benchmarks\n"
    pattern = re.compile(f"{start}.*?{end}", re.S)
    if pattern.search(old):
        new = pattern.sub(lambda _: block, old)
    else:
        new = f"{old.rstrip()}\n\n{block}\n"
    RESULTS.write_text(new)
