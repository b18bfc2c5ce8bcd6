"""The sentences of a chapter's prose, and the marks behind them.

A mark is an HTML comment behind the sentence it belongs to, so that a
notebook reads the same in Colab:

    SGD is ahead at {glue:text}`rate`. <!-- claim: sgd-ahead -->
    The loss falls like $1/t$. <!-- given: derived -->
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

ANSWERS = ("solution", "teacher")  # tags of cells beside the argument

MARK = re.compile(r"<!--\s*(claim|given):\s*([^>]*?)\s*-->")
FENCE = re.compile(r"^(`{3,}|~{3,}|:{3,})(.*)$")
# A sentence ends where the next begins with a capital, a symbol or a role.
END = re.compile(
    r"""[.!?]["'”*_)]*(?=\s+(?:["“*_(]*[A-Z0-9]|⟦|[•|]|$)|\s*$)"""
)
ABBREVIATIONS = ("e.g.", "i.e.", "vs.", "cf.", "et al.", "Fig.", "Eq.")


@dataclass
class Sentence:
    """One sentence of a chapter.

    Args:
        text: as a reader sees it, with ``⟨name⟩`` for a glued number,
            ``∎`` for a formula, ``‹code›`` for code and ``[cite]``.
        cell: its cell's place in the notebook.
        claims: names in its ``claim:`` marks.
        given: words in its ``given:`` marks.
        beside: ``"solution"`` or ``"teacher"`` where it stands in one of
            those, and not in the argument.
    """

    text: str
    cell: int
    claims: list[str] = field(default_factory=list)
    given: list[str] = field(default_factory=list)
    beside: str = ""


def sentences(notebook: dict) -> list[Sentence]:
    """All sentences of a notebook's prose; exercises only ask."""
    found = []
    for number, cell in enumerate(notebook["cells"]):
        tags = cell["metadata"].get("tags", ())
        if cell["cell_type"] != "markdown" or "exercise" in tags:
            continue
        beside = next((tag for tag in ANSWERS if tag in tags), "")
        for sentence in split("".join(cell["source"]), number):
            found.append(replace(sentence, beside=beside))
    return found


def split(text: str, cell: int = 0) -> Iterator[Sentence]:
    """The sentences of a piece of Markdown."""
    for block in blocks(plain(text)):
        start = 0
        while start < len(block):
            end = _end(block, start)
            piece = block[start:end]
            marks = re.findall(r"⟦(\w+): ([^⟧]*)⟧", piece)
            words = re.sub(r"⟦[^⟧]*⟧", "", piece).strip(" |•")
            if words:
                names = {"claim": [], "given": []}
                for kind, listed in marks:
                    names[kind] += re.split(r"\s*,\s*", listed)
                yield Sentence(words, cell, names["claim"], names["given"])
            start = end


def _end(block: str, start: int) -> int:
    """Where the sentence ends that begins at ``start``, marks included."""
    at = start
    while (found := END.search(block, at)) is not None:
        at = found.end()
        if not block[:at].endswith(ABBREVIATIONS):
            marks = re.compile(r"(?:\s*⟦[^⟧]*⟧)*\s*").match(block, at)
            return marks.end()
    return len(block)


def plain(text: str) -> str:
    """Markdown with formulas, code, roles and links put into one sign."""
    text = MARK.sub(r"⟦\1: \2⟧", text)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"\$\$.*?\$\$", "∎", text, flags=re.DOTALL)
    text = re.sub(r"\{glue:text\}`([^`]*)`", r"⟨\1⟩", text)
    text = re.sub(r"\{cite[:\w]*\}`[^`]*`", "[cite]", text)
    text = re.sub(r"\{[\w:-]+\}`[^`]*`", "[ref]", text)
    text = re.sub(r"`[^`\n]+`", "‹code›", text)
    text = re.sub(r"\$[^$]*\$", "∎", text)
    return re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)


def blocks(text: str) -> Iterator[str]:
    """Paragraphs, items, rows; headings, options and inserted code go."""
    block: list[str] = []
    skipping = ""
    for line in [*text.splitlines(), ""]:
        fence = FENCE.match(line.strip())
        if skipping:
            skipping = "" if line.strip() == skipping else skipping
            continue
        if fence and not fence[2].strip().startswith("{admon"):
            # Code, or the end of a box whose text was kept.
            if fence[2].strip() and not fence[2].startswith("{dropdown"):
                skipping = fence[1]
            line = ""
        elif fence or re.match(r"\s*(:\w+:|#+ |\|[\s:|-]+\|$)", line):
            line = ""
        new = re.match(r"\s*([-*]|\d+\.|\|)\s", line)
        if block and (new or not line.strip()):
            yield " ".join(block)
            block = []
        if line.strip():
            sign = "|" if line.strip().startswith("|") else "•"
            line = re.sub(r"^\s*([-*]|\d+\.)\s", "", line) if new else line
            block.append(line.strip() if not new else f"{sign} {line.strip()}")
