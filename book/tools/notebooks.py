"""Keep the chapters' notebooks in one form.

python book/tools/notebooks.py check          every notebook as it should be
python book/tools/notebooks.py fix            strip outputs, put the set-up in
python book/tools/notebooks.py student FOLDER blanks instead of solutions
"""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path

import yaml

BOOK = Path(__file__).resolve().parents[1]
ROOT = BOOK.parent
SETUP = (BOOK / "setup_cell.py").read_text(encoding="utf-8").strip()
SETUP_METADATA = {"cellView": "form", "tags": ["remove-cell"]}
COLOPHON = "dldna.book.colophon("
KERNEL = {
    "display_name": "Python 3",
    "language": "python",
    "name": "python3",
}
HIDDEN = {"source_hidden": True}
ASKED = re.compile(r'quiz\("[\w-]+"(, reveal=True)?\)\s*')
MAX_LINES, MAX_WIDTH = 25, 79
TAGS = {  # what a cell may be tagged with, so that a typo is found
    *("exercise", "hint", "solution", "teacher", "raises-exception"),
    *("remove-cell", "remove-input", "remove-output"),
    *("hide-cell", "hide-input", "hide-output"),
    *("skip-execution", "slide", "full-width", "margin"),
}


def chapters() -> dict[str, int]:
    """The chapters in the book's order, each with the number of its part."""
    found, part = {}, 0
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    for group in toc["parts"]:
        if group.get("numbered"):
            part += 1
            found |= {Path(c["file"]).stem: part for c in group["chapters"]}
    return found


def paths(folder: Path = ROOT / "notebooks") -> list[Path]:
    """All notebooks: the chapters in the book's order, then the others."""
    place = {stem: number for number, stem in enumerate(chapters())}
    return sorted(
        folder.glob("*.ipynb"),
        key=lambda path: (place.get(path.stem, len(place)), path.stem),
    )


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def write(path: Path, notebook: dict) -> None:
    text = json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8")


def source(cell: dict) -> str:
    return "".join(cell["source"])


def tags(cell: dict) -> list[str]:
    return cell["metadata"].get("tags", [])


def problems(notebook: dict) -> list[str]:
    """All that keeps a notebook from being a chapter, in plain words."""
    found = []
    form = (notebook.get("nbformat"), notebook.get("nbformat_minor"))
    if form != (4, 5):
        found.append(f"nbformat is {form}, not (4, 5)")
    if notebook["metadata"].get("kernelspec") != KERNEL:
        found.append(f"kernelspec must be {KERNEL}")
    cells = notebook["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    if not code or source(code[0]) != SETUP:
        found.append("the first code cell is not book/setup_cell.py")
    elif code[0]["metadata"] != SETUP_METADATA:
        found.append(f"the set-up cell's metadata must be {SETUP_METADATA}")
    if not code or COLOPHON not in source(code[-1]):
        found.append(f"the last code cell does not call {COLOPHON}...)")
    ids = [cell.get("id") for cell in cells]
    if None in ids or len(set(ids)) != len(ids):
        found.append("cells need ids, each its own")
    for number, cell in enumerate(cells):
        found += [f"cell {number}: {what}" for what in cell_problems(cell)]
    return found


def cell_problems(cell: dict) -> list[str]:
    found = [f"unknown tag {tag!r}" for tag in tags(cell) if tag not in TAGS]
    if cell["cell_type"] != "code":
        return found
    text = source(cell)
    if cell.get("outputs") or cell.get("execution_count") is not None:
        found.append("has outputs: run `python book/tools/notebooks.py fix`")
    lines = text.splitlines()
    if len(lines) > MAX_LINES:
        found.append(f"{len(lines)} lines, at most {MAX_LINES}")
    found += [
        f"line {k} is {len(line)} wide, at most {MAX_WIDTH}"
        for k, line in enumerate(lines, 1)
        if len(line) > MAX_WIDTH
    ]
    if any(line.startswith(("%", "!")) for line in lines):
        found.append("no magics: a reader's own script could not use it")
    else:
        try:
            ast.parse(text)
        except SyntaxError as error:
            found.append(f"does not parse: {error}")
    return found


def fixed(notebook: dict) -> dict:
    """Strip outputs and put the canonical set-up cell first."""
    cells = notebook["cells"]
    for number, cell in enumerate(cells):
        cell.setdefault("id", f"cell-{number:02d}")
        for key in ("execution", "collapsed", "scrolled", "trusted"):
            cell["metadata"].pop(key, None)
        cell["source"] = source(cell).splitlines(keepends=True)
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
            fold(cell)
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    if not code or "remove-cell" not in tags(code[0]):
        first = {
            "cell_type": "code",
            "id": "set-up",
            "execution_count": None,
            "outputs": [],
        }
        # After the title, so that a reader sees first what this is.
        cells.insert(1 if cells else 0, first)
        code.insert(0, first)
    code[0]["source"] = SETUP.splitlines(keepends=True)
    code[0]["metadata"] = dict(SETUP_METADATA)
    notebook["metadata"] = {
        "kernelspec": KERNEL,
        "language_info": {"name": "python"},
    }
    notebook["nbformat"], notebook["nbformat_minor"] = 4, 5
    return notebook


def fold(cell: dict) -> None:
    """What is folded in the pages is folded in Jupyter and Colab, too.

    And a question is asked in the pages, not typed.
    """
    if "remove-cell" in tags(cell):
        return
    if ASKED.fullmatch(source(cell)) and "remove-input" not in tags(cell):
        cell["metadata"]["tags"] = [*tags(cell), "remove-input"]
    folded = "hide-input" in tags(cell)
    for key, value in {"cellView": "form", "jupyter": HIDDEN}.items():
        if folded:
            cell["metadata"][key] = value
        elif cell["metadata"].get(key) == value:
            del cell["metadata"][key]


def student(notebook: dict) -> dict:
    """The notebook without solutions and teacher notes."""
    notebook["cells"] = [
        cell
        for cell in notebook["cells"]
        if not {"solution", "teacher"} & set(tags(cell))
    ]
    return notebook


def write_student(path: Path, target: Path) -> None:
    write(target, student(read(path)))


def main(arguments: list[str]) -> int:
    match arguments:
        case ["check"]:
            bad = [
                f"{path.name}: {what}"
                for path in paths()
                for what in problems(read(path))
            ]
            print("\n".join(bad) or f"{len(paths())} notebooks are clean")
            return 1 if bad else 0
        case ["fix"]:
            for path in paths():
                write(path, fixed(read(path)))
            return main(["check"])
        case ["student", folder]:
            target = Path(folder)
            target.mkdir(parents=True, exist_ok=True)
            for path in paths():
                write_student(path, target / path.name)
            return 0
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
