"""What notebooks and scripts import stays importable under its old path."""

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import dldna
from dldna.old_paths import IN_PRINT, MODULES, NAMES

ROOT = Path(dldna.__file__).parents[1]
PRINTED = [
    f"{path}.{name}"
    for path, homes in IN_PRINT.items()
    for names in homes.values()
    for name in names.split()
]
# Imports each path by all three forms, in a process that has seen none.
FRESH = """
import importlib
for path, names in {paths}.items():
    exec(f"import dldna.{{path}}")
    exec(f"from dldna.{{path}} import {{', '.join(names) or '*'}}")
    found = eval(f"dldna.{{path}}")
    assert found is importlib.import_module(f"dldna.{{path}}"), path
    assert all(eval(n) is getattr(found, n) for n in names), path
    assert sorted(getattr(found, "__all__", [])) == sorted(names), path
print("all of them")
"""


def fresh(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True,
        check=False, cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("old", sorted(MODULES))
def test_a_moved_module_is_one_module(old):
    module = importlib.import_module(f"dldna.{old}")
    assert module is importlib.import_module(f"dldna.{MODULES[old]}")
    assert not (ROOT / "dldna" / f"{old.replace('.', '/')}.py").exists()


@pytest.mark.full
def test_an_old_path_takes_no_name_of_its_package():
    """``plotting.show`` is a function, and its module stood at that name."""
    code = (
        "from dldna.plotting.show import table_html\n"
        "import dldna.plotting.curves, dldna.plotting.walks\n"
        "from dldna import export, plotting\n"
        "import dldna.export.report\n"
        "print(callable(plotting.show), callable(plotting.curves),\n"
        "      callable(plotting.walks), callable(export.report))"
    )
    assert fresh(code).split() == ["True"] * 4


@pytest.mark.parametrize("old", sorted(NAMES))
def test_a_renamed_name_is_one_thing(old):
    found = []
    for full in (old, NAMES[old]):
        home, _, name = full.rpartition(".")
        found.append(getattr(importlib.import_module(f"dldna.{home}"), name))
    assert found[0] is found[1]


def test_what_never_was_is_no_name():
    with pytest.raises(AttributeError, match="has no attribute 'Blok'"):
        _ = importlib.import_module("dldna.init").Blok
    with pytest.raises(ImportError):
        importlib.import_module("dldna.chapter_05.optimizers.advance")
    with pytest.raises(ImportError):
        importlib.import_module("dldna.published.kept")
    with pytest.raises(ImportError, match="cannot import name 'SDG'"):
        exec("from dldna.chapter_05.optimizers.basic import SDG")


@pytest.mark.full
def test_each_path_in_print_opens_a_fresh_process():
    paths = {
        path: " ".join(homes.values()).split()
        for path, homes in IN_PRINT.items()
    } | {"chapter_04": [], "chapter_05.optimizers": []}
    assert len(PRINTED) == 37
    assert fresh(FRESH.format(paths=paths)).strip() == "all of them"


def test_an_import_of_the_package_opens_none_of_them():
    code = "import dldna, sys; print([m for m in sys.modules if 'torch' == m])"
    assert fresh(code).strip() == "[]"


def missing(source: str) -> set[str]:
    """What a program takes from dldna that is not there, by full name."""
    tree, names, lost = ast.parse(source), {}, set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "dldna":
                    importlib.import_module(alias.name)
                    names["dldna"] = dldna
        elif isinstance(node, ast.ImportFrom):
            if (node.module or "").split(".")[0] != "dldna":
                continue
            for alias in node.names:
                try:
                    found = importlib.import_module(
                        f"{node.module}.{alias.name}"
                    )
                except ImportError:
                    home = importlib.import_module(node.module)
                    found = getattr(home, alias.name, None)
                if found is None:
                    lost.add(f"{node.module}.{alias.name}")
                names[alias.asname or alias.name] = found
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            home = names.get(getattr(node.value, "id", None))
            if inspect.ismodule(home) and not hasattr(home, node.attr):
                lost.add(f"{home.__name__}.{node.attr}")
    return lost


def test_what_is_missing_is_found():
    source = (
        "import dldna.book\n"
        "from dldna import optim as o\n"
        "from dldna.plotting import walks, crawls\n"
        "o.SGD, o.SDG, dldna.book.glue, dldna.books"
    )
    assert missing(source) == {
        "dldna.plotting.crawls", "dldna.optim.SDG", "dldna.books"
    }  # fmt: skip


@pytest.mark.parametrize(
    "path",
    [
        *sorted((ROOT / "notebooks").glob("*.ipynb")),
        ROOT / "README.md",
        ROOT / "book" / "own_model.md",
    ],
    ids=lambda path: path.stem,
)
def test_what_pages_take_from_the_package_is_there(path):
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = [
            "".join(cell["source"])
            for cell in json.loads(text)["cells"]
            if cell["cell_type"] == "code"
        ]
    else:
        cells = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert cells
    assert not missing("\n".join(cells))
