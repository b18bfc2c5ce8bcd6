"""Who may import whom: the house keeps its floors.

Imports run downwards only and make no circle, rooms on one floor do not know
each other, and a plain ``import`` needs no more than torch, numpy, matplotlib
and tqdm. One thing has one name, and one name is one thing.
"""

import ast
import functools
import graphlib
import sys
from collections import Counter, defaultdict
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "dldna"

GROUND = {
    "params",
    "records",
    "checks",
    "files",
    "progress",
    "batches",
    "guard",
    "said_once",
    "module_state",
    "objective",
    "book",
    "export",
    "stored",
    "old_paths",
    "arrays",
    "on_demand",
    "torch_internals",
}
THINGS = {"data", "models", "problems", "graph", "_torchvision"}
MEANS = {"optim", "init", "landscape"}
# Each room, and the rooms it may import. A new room needs a line here.
ALLOWED = {
    **dict.fromkeys(GROUND, GROUND),
    **dict.fromkeys(THINGS, GROUND | THINGS),
    **dict.fromkeys(MEANS, GROUND | THINGS),
    "training": GROUND | THINGS | MEANS,
    "integrations": GROUND | THINGS | MEANS | {"training"},
    "plotting": {"records", "checks", "files", "old_paths"},
}
BELOW = GROUND | THINGS | MEANS | {"training", "integrations", "plotting"}
TOP = {"cli", "exercises", "explorer", "model_page", "pages", "walks"}
ALLOWED |= dict.fromkeys(TOP, BELOW | TOP)
# The published chapters' functions: nobody builds on them, and one command
# makes what they load. The chapters' paths lead there, by a table.
PATHS = {"chapter_04", "chapter_05"}
ALLOWED |= {"published": BELOW, "cli": ALLOWED["cli"] | {"published"}}
ALLOWED |= {path: set() for path in PATHS}

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


@functools.cache
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


def test_rooms_import_downwards_only():
    new = {room(path) for path in FILES} - {""} - set(ALLOWED)
    assert not new, "a new room: give it a floor above"
    upwards = [
        (name(path), full)
        for path in FILES
        for full, _ in imports(path)
        if full.startswith("dldna.")
        and (here := room(path))
        and full.split(".")[1] not in ALLOWED[here] | {here, "__version__"}
    ]
    assert not upwards


def test_a_light_install_is_enough_to_import():
    heavy = [
        (name(path), full)
        for path in FILES
        for full, top in imports(path)
        if top
        and full.split(".")[0]
        not in ALLOWED_OUTSIDE.get(room(path), LIGHT)
        | {"dldna"}
        | sys.stdlib_module_names
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


# Circles -------------------------------------------------------------------


def dotted(path: Path) -> str:
    """The full name of a file's module."""
    parts = ("dldna", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts).removesuffix(".__init__")


def imported(top_only: bool) -> dict[str, set[str]]:
    """Module -> the modules that it imports."""
    modules = {dotted(path) for path in FILES}

    def module(full: str) -> str:
        while full and full not in modules:
            full = full.rpartition(".")[0]
        return full

    return {
        dotted(path): {
            module(full)
            for full, top in imports(path)
            if full.startswith("dldna.") and (top or not top_only)
        }
        - {dotted(path), "dldna"}
        for path in FILES
    }


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Names that lead back to the first; empty if none do."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def test_no_modules_import_each_other():
    assert not circle(imported(top_only=True))


def test_no_rooms_import_each_other():
    """Not even inside a function."""
    rooms = defaultdict(set)
    for module, others in imported(top_only=False).items():
        here = module.split(".")[1:2] or [""]
        rooms[here[0]] |= {o.split(".")[1] for o in others} - {here[0]}
    assert not circle(rooms)


def test_a_circle_is_found():
    assert not circle({"a": {"b"}, "b": {"c"}})
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"b"}})) == {"b", "c"}


# Names ---------------------------------------------------------------------

# Modules that bear the name of something that their package exports. Where
# tests are collected, the module may stand in its place: no new ones.
BEARERS = {
    "init": {"fans", "fixup", "gradinit", "jacobian", "lsuv", "metainit",
             "mup", "orthogonal", "spectral", "tfixup"},
    "landscape.curvature": {"trace"},
    "landscape.evaluate": {"choose"},
    "optim": {"adabelief", "adafactor", "adagrad", "adam", "lion", "muon",
              "pal", "prodigy", "rmsprop", "sam", "sgd", "shampoo", "soap",
              "sophia"},
    "training": {"sweep"},
    "training.statistics": {"compare", "power"},
}  # fmt: skip


def classes(path: Path) -> list[str]:
    """Names of the classes at a file's top level."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return [node.name for node in body if isinstance(node, ast.ClassDef)]


def test_no_two_classes_bear_one_name():
    homes = defaultdict(list)
    for path in FILES:
        for each in classes(path):
            homes[each].append(name(path))
    assert not {k: v for k, v in homes.items() if len(v) > 1}


def test_a_file_name_says_which_file_it_is():
    """Six may stand twice, as those of the same part of two rooms.

    Answers are left out: their files bear the names of their pages.
    """
    named = (path for path in FILES if path.parent.name != "exercises")
    times = Counter(path.name for path in named if path.stem != "__init__")
    assert len([k for k, n in times.items() if n > 1]) <= 6, times


def test_no_new_module_bears_the_name_of_what_its_package_exports():
    for path in FILES:
        if path.stem != "__init__":
            continue
        body = ast.parse(path.read_text(encoding="utf-8")).body
        exported = {
            alias.asname or alias.name
            for node in body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        here = path.parent
        modules = {file.stem for file in here.glob("*.py")}
        modules |= {file.parent.name for file in here.glob("*/__init__.py")}
        known = BEARERS.get(dotted(path).removeprefix("dldna."), set())
        assert not (exported & modules) - known, name(path)


# Lengths -------------------------------------------------------------------

MOST_LINES = 350


def test_every_file_is_short_enough_to_be_read():
    lines = {
        name(path): len(path.read_text(encoding="utf-8").splitlines())
        for path in FILES
    }
    long = {path: n for path, n in lines.items() if n > MOST_LINES}
    assert not long, "part it by sense"


# What torch keeps private ----------------------------------------------------


def private(word: str) -> bool:
    return word.startswith("_") and not word.startswith("__")


def reached(node: ast.AST) -> str:
    """The dotted name that an expression spells, "" for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = reached(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return ""


def test_what_torch_keeps_private_is_imported_in_one_file():
    found = {
        name(path): hidden
        for path in FILES
        if path.stem != "torch_internals" and (hidden := names_hidden(path))
    }
    assert not found, "name it in torch_internals.py"


def names_hidden(path: Path) -> list[str]:
    """What a file takes of torch's private names."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute):
            names = [reached(node)]
        found += [
            each
            for each in names
            if each.split(".")[0] in ("torch", "nn")
            and any(map(private, each.split(".")))
        ]
    return found
