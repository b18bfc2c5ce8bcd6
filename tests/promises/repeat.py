"""Every chapter twice, and once on two threads: are its numbers the same?

    python tests/promises/repeat.py           # all chapters; half an hour
    python tests/promises/repeat.py lines     # those whose names start so
    python tests/promises/repeat.py --write   # put the rows into the page

Each run is a process of its own, in an empty folder, with its own order of
hashes. What a reader sees is compared: the numbers handed to the prose, to
the last digit; what is printed; the figures, byte for byte, with their words
and tables. Left out is what a chapter marks as a figure of the machine, by
``glue(..., machine=True)``, and the printed times that LINES, SECONDS and
COLUMN name. ``make test-repeat`` runs this.
"""

import argparse
import ast
import contextlib
import hashlib
import io
import json
import math
import os
import re
import subprocess
import sys
import tempfile
from itertools import zip_longest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from page import ROOT, in_page, write

sys.path.insert(0, str(ROOT / "book" / "tools"))
import notebooks

CHAPTERS = notebooks.paths()
# What is printed of the machine: by the colophon, by the published training,
# and in the last column of the published table.
LINES = re.compile(r"^(Run time|Threads): .*$", re.MULTILINE)
SECONDS = re.compile(r"(Execution time = )[\d.]+(?= secs$)", re.MULTILINE)
COLUMN = re.compile(r"(?<=Execution Time \(s\)\n)(?:.*\|.*\n)+")
# Where an object lies in memory.
ADDRESS = re.compile(r" at 0x[0-9a-f]+")


# --- one run, in a process of its own ----------------------------------


def play(notebook: Path) -> dict:
    """Run a chapter's cells; what it glued, what it showed, what failed."""
    import IPython.display
    import matplotlib

    matplotlib.use("Agg")
    import dldna.book

    glued, shown = {}, []

    def glue(name, value, form="{:.3g}", machine=False, **_):
        glued[name] = {
            "text": form.format(value),
            "value": repr(value),
            "number": number(value),
            "machine": machine,
        }

    def display(*values, metadata=None, **_):
        shown.extend([here, *look(v, metadata)] for v in values)

    dldna.book.glue, IPython.display.display = glue, display
    space = {"__name__": "__main__", "display": display}
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    failed = None
    for here, cell in enumerate(cells):
        if cell["cell_type"] != "code":
            continue
        out = io.StringIO()
        try:
            with contextlib.redirect_stdout(out):
                last = run_cell("".join(cell["source"]), space)
        except Exception as error:
            text = f"{type(error).__name__}: {error}".strip()
            failed = f"cell {here}: {text}"
        if out.getvalue():
            shown.append([here, "printed", without_times(out.getvalue())])
        if failed:
            break
        display(*([] if last is None else [last]))
        shown.extend([here, "figure", picture] for picture in drawn())
    return {"glued": glued, "shown": shown, "failed": failed}


def run_cell(source: str, space: dict) -> object:
    """Run a cell; the value of its last line, if it is an expression."""
    tree = ast.parse(source)
    last = None
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        last = ast.Expression(tree.body.pop().value)
    exec(compile(tree, "cell", "exec"), space)
    return last and eval(compile(last, "cell", "eval"), space)


def without_times(text: str) -> str:
    """Printed text with dots for what is of the machine."""
    text = SECONDS.sub(r"\1...", LINES.sub(r"\1: ...", text))
    dots = re.compile(r"[\d.]+$", re.MULTILINE)
    return COLUMN.sub(lambda rows: dots.sub("...", rows[0]), text)


def number(value: object) -> float | None:
    """A number, if it is one."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def look(value: object, metadata: dict | None) -> list[str]:
    """What a reader sees of a value, and its kind."""
    if isinstance(value, dict) and "image/png" in value:
        picture = hashlib.sha256(value["image/png"]).hexdigest()
        return ["figure", f"{value['text/plain']}\n{metadata}\n{picture}"]
    for how in ("to_json", "_repr_html_"):
        if hasattr(value, how) and (text := getattr(value, how)()):
            return ["value", text]
    return ["value", ADDRESS.sub("", repr(value))]


def drawn() -> list[str]:
    """Figures that a cell left open; they are closed."""
    from matplotlib import pyplot as plt

    found = []
    for k in plt.get_fignums():
        file = io.BytesIO()
        plt.figure(k).savefig(file, format="png")
        found.append(hashlib.sha256(file.getvalue()).hexdigest())
    plt.close("all")
    return found


def run(notebook: Path, threads: int = 1, hashes: int = 1) -> dict:
    """A chapter in a process and a folder of its own."""
    count = str(threads)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.json"
        done = subprocess.run(
            [sys.executable, __file__, "--child", notebook, out],
            cwd=folder,
            env={
                **os.environ,
                "PYTHONHASHSEED": str(hashes),
                "OMP_NUM_THREADS": count,
                "MKL_NUM_THREADS": count,
                "OPENBLAS_NUM_THREADS": count,
                "OMP_WAIT_POLICY": "passive",  # on a busy machine
                "DLDNA_PROGRESS": "0",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        if not out.exists():
            says = f"ended with {done.returncode}: {done.stderr[-500:]}"
            return {"glued": {}, "shown": [], "failed": says}
        return json.loads(out.read_text())


# --- what two runs differ in -------------------------------------------


def differences(a: dict, b: dict) -> list[str]:
    """What a reader would see differ; figures of the machine may."""
    found = []
    for name in sorted(a["glued"].keys() | b["glued"].keys()):
        one, two = a["glued"].get(name), b["glued"].get(name)
        if one is None or two is None:
            found.append(f"{name} was glued once only")
        elif one != two and not (one["machine"] and two["machine"]):
            found.append(f"{name}: {one['value']} and {two['value']}")
    for one, two in zip_longest(a["shown"], b["shown"]):
        if one != two:
            here, kind, _ = one or two
            found.append(f"cell {here}, {kind}: {first(one, two)}")
    return found


def first(one: list | None, two: list | None, width: int = 60) -> str:
    """Where two texts begin to differ."""
    if one is None or two is None:
        return "shown once only"
    pairs = enumerate(zip(one[2], two[2], strict=False))
    at = next((k for k, (x, y) in pairs if x != y), width)
    start = max(0, at - width // 2)
    return " and ".join(repr(s[2][start : start + width]) for s in (one, two))


def apart(a: dict, b: dict) -> tuple[float, str, list[str]]:
    """Largest relative difference of numbers, its name; texts that differ."""
    most, where, other = 0.0, "", []
    for name, one in a["glued"].items():
        two = b["glued"].get(name)
        if two is None or one["machine"]:
            continue
        if one["text"] != two["text"]:
            other.append(f"{name} {one['text']} or {two['text']}")
        if None not in (one["number"], two["number"]):
            off = relative(one["number"], two["number"])
            if off > most:
                most, where = off, name
    return most, where, other


def relative(a: float, b: float) -> float:
    """Difference over the larger of two numbers; nan equals nan."""
    if a == b or (math.isnan(a) and math.isnan(b)):
        return 0.0
    if not (math.isfinite(a) and math.isfinite(b)):
        return math.inf
    return abs(a - b) / max(abs(a), abs(b))


# --- the table ----------------------------------------------------------

HEAD = """\
| chapter | glued numbers | of the machine | equal twice | two threads: \
claims hold | largest relative difference | shown otherwise |
|---|---:|---:|---|---|---:|---:|"""


def row(name: str, runs: list[dict]) -> tuple[str, list[str]]:
    """A chapter's row of the table, and what went wrong."""
    one, again, two = runs
    bad = [f"failed: {r['failed']}" for r in (one, again) if r["failed"]]
    bad += differences(one, again)
    of_machine = sum(g["machine"] for g in one["glued"].values())
    most, where, other = apart(one, two)
    cells = [
        f"`{name}`",
        str(len(one["glued"]) - of_machine),
        str(of_machine),
        "no" if bad else "yes",
        "no" if two["failed"] else "yes",
        f"{most:.0e} (`{where}`)" if where else "0",
        str(len(other)),
    ]
    if two["failed"]:
        bad.append(f"on two threads: {two['failed']}")
    return f"| {' | '.join(cells)} |", bad


def put(line: str) -> None:
    """Put a row into the page's table, in the order of chapters."""
    rows = {r.split("`")[1]: r for r in in_page("repeated").splitlines()[2:]}
    rows[line.split("`")[1]] = line
    kept = [rows[c.stem] for c in CHAPTERS if c.stem in rows]
    write("repeated", "\n".join([HEAD, *kept]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("chapters", nargs="*")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--child", nargs=2, type=Path)
    given = parser.parse_args()
    if given.child:
        notebook, out = given.child
        out.write_text(json.dumps(play(notebook)))
        return 0
    wanted = tuple(given.chapters) or ("",)
    good = True
    print(HEAD)
    for notebook in CHAPTERS:
        if not notebook.name.startswith(wanted):
            continue
        runs = [run(notebook, 1, 1), run(notebook, 1, 2), run(notebook, 2, 3)]
        line, bad = row(notebook.stem, runs)
        print(line, flush=True)
        for what in bad:
            print(f"    {what}", flush=True)
        for what in apart(runs[0], runs[2])[2]:
            print(f"    two threads: {what}", flush=True)
        if given.write:
            put(line)
        good &= not bad
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
