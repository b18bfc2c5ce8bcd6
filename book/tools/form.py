"""What a chapter looks like: its opening, its end, what of its code is seen.

python book/tools/form.py          a table of all chapters, and what each owes
python book/tools/form.py adaptive what this one owes, in full
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from itertools import pairwise

import notebooks

# Chapters whose form is still to come; the list only gets shorter.
UNFINISHED: frozenset[str] = frozenset()
PART_III = {s for s, part in notebooks.chapters().items() if part == 3}
# A number to change, first in its cell; the words before it ask what will be.
CHANGE = re.compile(r"\A\w+ = .*# .*\btry ")
LEVELS = ("Warm-up", "Middle", "Study")
QUESTIONS = 6
# What a student would not type: it stands in folded cells.
PLUMBING = re.compile(
    r"\b(?:glue|claim)\(|^(?:import|from) |\bplt\.|\bax(?:es)?\b[.\[]"
    r"|\balt \+?=|plotting\.(?:show|use)\(|# fmt",
    re.MULTILINE,
)

# A figure that is left open at a cell's end is shown there.
MADE = re.compile(r"^\w.*= plt\.(?:subplots|figure)\(", re.MULTILINE)
SHOWN = re.compile(r"plotting\.show\(|plt\.close\(")


@dataclass
class Form:
    """What was counted in a chapter, and what it owes."""

    words: int = 0
    prose: int = 0
    shown: int = 0
    folded: int = 0
    questions: int = 0
    hints: int = 0
    captions: int = 0
    levels: dict[str, int] = field(default_factory=dict)
    owes: list[str] = field(default_factory=list)


def lines(cell: dict) -> int:
    return sum(bool(s.strip()) for s in notebooks.source(cell).splitlines())


def seen(cell: dict) -> bool:
    """Whether a reader of the page meets a cell's code without a click."""
    hidden = {"hide-input", "hide-cell", "remove-input", "remove-cell"}
    return not ({*hidden, "solution", "teacher"} & set(notebooks.tags(cell)))


def form(notebook: dict, stem: str) -> Form:
    """Count a chapter, and say what keeps it from its form."""
    found = Form()
    cells = notebook["cells"]
    for cell in cells:
        source = notebooks.source(cell)
        if cell["cell_type"] == "markdown":
            found.words += len(source.split())
            aside = {"solution", "teacher"} & set(notebooks.tags(cell))
            found.prose += 0 if aside else lines(cell)
            found.hints += "hint" in notebooks.tags(cell)
            if "exercise" in notebooks.tags(cell):
                level = re.search(r"^\*([\w-]+)\.\*", source, re.MULTILINE)
                name = level[1] if level else "none"
                found.levels[name] = found.levels.get(name, 0) + 1
            continue
        if MADE.search(source) and not SHOWN.search(source):
            found.owes.append(f"cell {cell['id']} shows its figure twice")
        found.questions += len(re.findall(r'\bquiz\("[\w-]+"\)', source))
        found.captions += len(re.findall(r"\bcaption=", source))
        if not seen(cell):
            found.folded += lines(cell)
            continue
        found.shown += lines(cell)
        for word in sorted(set(PLUMBING.findall(source))):
            found.owes.append(f"cell {cell['id']} shows {word.strip()!r}")
    found.owes += ends(cells, stem) + counts(found, cells)
    return found


def ends(cells: list[dict], stem: str) -> list[str]:
    """What is missing at a chapter's two ends."""
    text = "\n".join(
        notebooks.source(c) for c in cells if c["cell_type"] == "markdown"
    )
    wanted = ["In three sentences", "You can now"]
    wanted += ["Before you use it"] * (stem in PART_III)
    owes = [
        f"no section {title!r}"
        for title in wanted
        if f"\n## {title}\n" not in text
    ]
    first = [c for c in cells if c["cell_type"] == "code"]
    before = []  # all up to the chapter's second section
    for cell in cells[1:]:
        before.append(cell)
        if notebooks.source(cell).startswith("## ") and before[1:]:
            break
    sources = [notebooks.source(c) for c in before if c in first]
    if not any("-predict" in s for s in sources):
        owes.append("no prediction before the first section")
    if not any("reveal=True" in notebooks.source(c) for c in first):
        owes.append("no section reveals the prediction")
    if not any(
        "*Change one number.*" in notebooks.source(words)
        and seen(cell)
        and CHANGE.search(notebooks.source(cell))
        for words, cell in pairwise(cells)
    ):
        owes.append("no cell that begins with a number to change")
    if not any(
        re.search(r"show|playground|viewer|_lab|_map", s) for s in sources[1:]
    ):
        owes.append("no picture before the first section")
    return owes


def counts(found: Form, cells: list[dict]) -> list[str]:
    owes = []
    if found.shown > found.prose:
        owes.append(f"{found.shown} lines of code, {found.prose} of prose")
    if found.questions < QUESTIONS:
        owes.append(f"{found.questions} questions, not {QUESTIONS}")
    shows = sum(notebooks.source(c).count("plotting.show(") for c in cells)
    if shows > found.captions:
        owes.append(f"{shows - found.captions} figures without a caption")
    exercises = sum(found.levels.values())
    if found.hints < exercises:
        owes.append(f"{found.hints} hints for {exercises} exercises")
    for level in (*LEVELS, "none"):
        if (level == "none") == (level in found.levels):
            owes.append(f"exercises of level {level!r}: wrong")
    return owes


def main(arguments: list[str]) -> int:
    head = ("chapter", "words", "prose", "code", "folded", "quiz", "captions")
    print(("{:24}" + "{:>9}" * 6).format(*head), " warm-up/middle/study, owes")
    for path in notebooks.paths():
        if path.stem not in notebooks.chapters():
            continue
        if arguments and path.stem not in arguments:
            continue
        f = form(notebooks.read(path), path.stem)
        row = (f.words, f.prose, f.shown, f.folded, f.questions, f.captions)
        levels = "/".join(str(f.levels.get(level, 0)) for level in LEVELS)
        print(("{:24}" + "{:>9}" * 6).format(path.stem, *row), levels, end=" ")
        print(*(f.owes if arguments else [len(f.owes)]), sep="\n  ")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
