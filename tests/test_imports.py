"""Who may import whom: the house keeps its floors.

Imports run downwards only, rooms on one floor do not know each other, and a
plain ``import`` needs no more than torch, numpy, matplotlib and tqdm.
"""

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "dldna"

GROUND = {
    "params",
    "records",
    "checks",
    "files",
    "progress",
    "batches",
    "guard",
    "objective",
    "book",
    "export",
    "stored",
}
THINGS = {"data", "models", "problems", "graph", "_torchvision"}
MEANS = {"optim", "init", "landscape"}
# Each room, and the rooms it may import. A new room needs a line here.
ALLOWED = {
    **dict.fromkeys(GROUND, GROUND),
    **dict.fromkeys(THINGS, GROUND | THINGS),
    **dict.fromkeys(MEANS, GROUND | THINGS),
    "training": GROUND | THINGS | MEANS,
    "plotting": {"records", "checks", "files", "problems", "optim"},
}
BELOW = GROUND | THINGS | MEANS | {"training", "plotting"}
TOP = {"cli", "exercises", "walks"}
ALLOWED |= dict.fromkeys(TOP, BELOW | TOP)
# The published chapters' functions: nobody builds on them. The chapters'
# paths lead there and hold no work, and one command makes what they load.
PATHS = {"chapter_04", "chapter_05"}
ALLOWED |= {"published": BELOW, "cli": ALLOWED["cli"] | {"published"}}
ALLOWED |= {path: {"published", "models"} for path in PATHS}

# The last three come with matplotlib, which cannot work without them.
LIGHT = {"torch", "numpy", "matplotlib", "tqdm"} | {
    "PIL",
    "cycler",
    "mpl_toolkits",
}
ALLOWED_OUTSIDE = {
    "plotting": LIGHT | {"plotly"},
}
FILES = sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    """The room a file belongs to; '' for the package itself."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py").removeprefix("__init__")


def imports(path: Path) -> list[tuple[str, bool]]:
    """Full names of what a file imports, and whether at its top level."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    parts = ("dldna", *path.relative_to(PACKAGE).with_suffix("").parts)
    here = parts[:-1]  # the folder's package, also for an __init__
    found = []

    def visit(node: ast.AST, top: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                found.extend((alias.name, top) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = here[: len(here) - child.level + 1]
                prefix = ".".join(base) if child.level else ""
                name = ".".join(x for x in (prefix, child.module) if x)
                found.extend(
                    (f"{name}.{alias.name}", top) for alias in child.names
                )
            elif not is_type_checking(child):
                inside = isinstance(
                    child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
                )
                visit(child, top and not inside)

    visit(tree, True)
    return found


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("path", FILES, ids=name)
def test_rooms_import_downwards_only(path):
    here = room(path)
    if not here:
        return
    assert here in ALLOWED, f"{here} is a new room: give it a floor above"
    upwards = [
        full
        for full, _ in imports(path)
        if full.startswith("dldna.")
        and full.split(".")[1] not in ALLOWED[here] | {here, "__version__"}
    ]
    assert not upwards


@pytest.mark.parametrize(
    "path", [f for f in FILES if room(f) in PATHS], ids=name
)
def test_an_import_path_holds_no_work(path):
    """A docstring, imports, and the names that are imported: no more."""
    doc, *rest = ast.parse(path.read_text(encoding="utf-8")).body
    assert isinstance(doc, ast.Expr)
    led = [a.name for n in rest if isinstance(n, ast.ImportFrom)
           for a in n.names]  # fmt: skip
    said = [n for n in rest if not isinstance(n, ast.ImportFrom)]
    if path.name == "__init__.py":
        assert not rest
        return
    [listed] = said
    assert ast.unparse(listed.targets[0]) == "__all__"
    assert sorted(ast.literal_eval(listed.value)) == sorted(led)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_light_install_is_enough_to_import(path):
    allowed = ALLOWED_OUTSIDE.get(room(path), LIGHT) | {"dldna"}
    heavy = [
        full
        for full, top in imports(path)
        if top
        and full.split(".")[0] not in allowed
        and full.split(".")[0] not in sys.stdlib_module_names
    ]
    assert not heavy, "import these in the function, by checks.need"


def test_the_reader_of_imports_sees_what_it_should(tmp_path, monkeypatch):
    source = (
        "import numpy.linalg\n"
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n"
        "    import scipy\n"
        "def f():\n"
        "    import sklearn\n"
        "try:\n"
        "    from dldna import training\n"
        "except ImportError:\n"
        "    pass\n"
        "from ..records import Line\n"
    )
    folder = tmp_path / "dldna" / "optim"
    folder.mkdir(parents=True)
    (folder / "a.py").write_text(source)
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path / "dldna")
    assert imports(folder / "a.py") == [
        ("numpy.linalg", True),
        ("typing.TYPE_CHECKING", True),
        ("sklearn", False),
        ("dldna.training", True),
        ("dldna.records.Line", True),
    ]
