"""Hold every sentence that compares to an assertion of its own.

python book/tools/claims.py            what each chapter owes and excepts
python book/tools/claims.py show NAME    its sentences, one by one
python book/tools/claims.py check      fail where a chapter owes more
python book/tools/claims.py lower      keep what was gained
python book/tools/claims.py count      set the counts anew

A sentence that compares, ranks or quantifies carries a mark behind it, in
the argument as in solutions and teachers' notes:
``<!-- claim: NAME -->`` names the assertion ``claim("NAME", ...)`` of its
page; ``<!-- given: WHY -->`` says why it needs none: WHY is one of the words
in GIVEN. Questions need no mark, nor do sentences that cite a paper. A
number typed into prose is listed unless its sentence is marked ``given``. An
``assert`` that compares two measured values needs a margin.
"""

import ast
import json
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from sentences import MARK, Sentence, sentences
from words import compares, typed

import notebooks

BOOK = Path(__file__).resolve().parents[1]
NOTEBOOKS = BOOK.parent / "notebooks"
BASELINE = BOOK / "tools" / "claims_baseline.json"
ASTRAY = re.compile(rf"^[ \t]*{MARK.pattern}", re.MULTILINE)
OWED = ("unmarked", "typed", "no margin", "in answers")
# Why a sentence that compares needs no assertion of its own.
GIVEN = {
    "definition": "it says what a word or a symbol means",
    "setting": "it says what was done, or the size of the data",
    "derived": "the text proves it, or a formula says it",
    "cited": "a source says it; the box or the sentence names it",
    "advice": "it says what to do",
    "outlook": "it says what will come, or was left open",
}


@dataclass
class Ledger:
    """The claims of one chapter.

    Args:
        sentences: those of its prose.
        asserted: each claim's name, and its cell's place.
        owed: for each kind of debt, what it is and in which cell.
        broken: what is wrong whatever the counts: dead marks, claims
            without a sentence, names used twice.
    """

    sentences: list[Sentence]
    asserted: dict[str, int]
    owed: dict[str, list[str]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        return {kind: len(self.owed[kind]) for kind in OWED}

    def exceptions(self) -> dict[str, int]:
        """Sentences marked as given, by why; those with a claim apart."""
        alone = Counter(
            why for s in self.sentences if not s.claims for why in set(s.given)
        )
        both = sum(bool(s.claims and s.given) for s in self.sentences)
        return {why: alone[why] for why in GIVEN} | {"beside a claim": both}


def read(path: Path) -> Ledger:
    """The ledger of a notebook."""
    return ledger(json.loads(path.read_text(encoding="utf-8")))


def ledger(notebook: dict) -> Ledger:
    told = sentences(notebook)
    astray = [
        f"cell {number}: a mark that begins a line parts the paragraph"
        for number, cell in enumerate(notebook["cells"])
        if cell["cell_type"] == "markdown"
        and ASTRAY.search("".join(cell["source"]))
    ]
    found = Ledger(told, {}, {kind: [] for kind in OWED}, astray)
    for number, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "code":
            _read_code("".join(cell["source"]), number, found)
    marked = Counter(name for s in told for name in s.claims)
    for sentence in told:
        where = f"cell {sentence.cell}: {sentence.text}"
        unknown = [w for w in sentence.given if w not in GIVEN]
        if unknown:
            known = f"given: {unknown[0]!r}, not one of {', '.join(GIVEN)}"
            found.broken.append(f"{known}; {where}")
        for name in sentence.claims:
            if name not in found.asserted:
                found.broken.append(f"no cell asserts {name!r}: {where}")
        owes = {
            "unmarked": needs_mark(sentence),
            "typed": bool(typed(sentence.text)) and not sentence.given,
        }
        if sentence.beside:
            owes = {"in answers": any(owes.values())}
        for kind, does in owes.items():
            found.owed[kind] += [where] * does
    for name, cell in found.asserted.items():
        if name not in marked:
            found.broken.append(f"cell {cell}: no sentence says {name!r}")
    return found


def needs_mark(sentence: Sentence) -> bool:
    """Whether a sentence compares, and nothing holds it."""
    if sentence.claims or sentence.given:
        return False
    if sentence.text.endswith("?") or "[cite]" in sentence.text:
        return False
    return bool(compares(sentence.text))


def _read_code(source: str, cell: int, found: Ledger) -> None:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assert) and without_margin(node.test):
            text = ast.unparse(node.test)
            found.owed["no margin"].append(f"cell {cell}: assert {text}")
        if isinstance(node, ast.Call) and is_claim(node):
            name = name_of(node)
            if name is None:
                found.broken.append(f"cell {cell}: a claim's name is a text")
                continue
            if name in found.asserted:
                found.broken.append(f"cell {cell}: {name!r} is claimed twice")
            found.asserted[name] = cell
            if not any(k.arg == "margin" for k in node.keywords):
                text = f"cell {cell}: claim {name!r}"
                found.owed["no margin"].append(text)


def is_claim(node: ast.Call) -> bool:
    func = node.func
    name = func.attr if isinstance(func, ast.Attribute) else None
    name = func.id if isinstance(func, ast.Name) else name
    return name == "claim"


def name_of(node: ast.Call) -> str | None:
    """A claim's name; of one made in a loop, with a star for each field."""
    match node.args[:1]:
        case [ast.Constant(value=str() as name)]:
            return name
        case [ast.JoinedStr(values=parts)]:
            return "".join(
                getattr(part, "value", "")
                if isinstance(part, ast.Constant)
                else "*"
                for part in parts
            )
    return None


def without_margin(test: ast.expr) -> bool:
    """Whether it orders two values, and no number stands beside them."""
    for node in ast.walk(test):
        if not isinstance(node, ast.Compare):
            continue
        orders = (ast.Lt, ast.Gt, ast.LtE, ast.GtE)
        if any(isinstance(op, orders) for op in node.ops):
            sides = [node.left, *node.comparators]
            if not any(_has_number(side) for side in sides):
                return True
    return False


def _has_number(side: ast.expr) -> bool:
    """A number by itself or in arithmetic; not as an index or argument."""
    match side:
        case ast.Constant(value=int() | float()):
            return True
        case ast.BinOp():
            return _has_number(side.left) or _has_number(side.right)
        case ast.UnaryOp():
            return _has_number(side.operand)
    return False


def paths() -> list[Path]:
    return notebooks.paths(NOTEBOOKS)


def baseline() -> dict[str, dict[str, int]]:
    return json.loads(BASELINE.read_text(encoding="utf-8"))


def write(counts: dict[str, dict[str, int]]) -> None:
    rows = ",\n".join(f' "{k}": {json.dumps(v)}' for k, v in counts.items())
    BASELINE.write_text(f"{{\n{rows}\n}}\n", encoding="utf-8")


def problems() -> list[str]:
    """What keeps the book from being built, in plain words."""
    allowed, found = baseline(), []
    for path in paths():
        here = read(path)
        found += [f"{path.name}: {what}" for what in here.broken]
        for kind, n in here.counts().items():
            most = allowed.get(path.stem, {}).get(kind, 0)
            if n > most:
                newest = "\n    ".join(here.owed[kind])
                found.append(
                    f"{path.name}: {n} {kind}, where at most {most} may be; "
                    f"all of them:\n    {newest}"
                )
    return found


def main(arguments: list[str]) -> int:
    counts = {path.stem: read(path).counts() for path in paths()}
    match arguments:
        case []:
            heads = (*OWED, "claims", *GIVEN, "beside a claim")
            print(f"{'':22s}", *heads, sep="  ")
            for path in paths():
                here = read(path)
                row = [*here.counts().values(), len(here.asserted)]
                row += here.exceptions().values()
                cells = (
                    f"{n:{len(h)}d}" for h, n in zip(heads, row, strict=True)
                )
                print(f"{path.stem:22s}", *cells, sep="  ")
            return 0
        case ["show", start]:
            for path in paths():
                if path.stem.startswith(start):
                    for kind, rows in read(path).owed.items():
                        print(f"== {path.name}, {kind}: {len(rows)}")
                        print("\n".join(rows))
            return 0
        case ["check"]:
            print("\n".join(problems()) or "no chapter owes more than before")
            return 1 if problems() else 0
        case ["lower"]:
            old = baseline()
            write(
                {
                    name: {k: min(n, old.get(name, row).get(k, n))
                           for k, n in row.items()}
                    for name, row in counts.items()
                }
            )  # fmt: skip
            return 0
        case ["count"]:
            write(counts)
            return 0
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
