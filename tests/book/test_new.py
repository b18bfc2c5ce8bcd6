"""One of each by the tool, in a copy: the files touched, and their tests."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOUCHED = {
    ("optimizer", "NewDescent"): {
        "dldna/optim/new_descent.py",
        "dldna/optim/__init__.py",
        "tests/optim/test_new_descent.py",
    },
    ("direction", "new-way"): {
        "dldna/landscape/space/new_way_direction.py",
        "dldna/landscape/space/named.py",
        "tests/landscape/test_new_way_direction.py",
    },
    ("chapter", "new_topic"): {
        "notebooks/new_topic.ipynb",
        "dldna/exercises/new_topic.py",
        "_toc.yml",
    },
}


@pytest.fixture
def copy(tmp_path):
    home = tmp_path / "copy"
    home.mkdir()
    ignore = shutil.ignore_patterns("__pycache__", "_vendor", "vendor")
    for name in ("dldna", "book", "notebooks", "tests"):
        shutil.copytree(ROOT / name, home / name, ignore=ignore)
    for name in ("_toc.yml", "pyproject.toml"):
        shutil.copy(ROOT / name, home / name)
    return home


def files(home):
    return {
        path.relative_to(home).as_posix(): path.read_bytes()
        for path in home.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def run(home, *command):
    return subprocess.run(
        [sys.executable, *command], cwd=home, capture_output=True, text=True,
        check=False, env={"PYTHONPATH": str(home), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(what, marks=() if "chapter" in what else pytest.mark.full)
        for what in TOUCHED
    ],
    ids="-".join,
)
def test_what_the_tool_touches(copy, what):
    before = files(copy)
    done = run(copy, "book/tools/new.py", *what)
    assert done.returncode == 0, done.stderr
    after = files(copy)
    changed = {k for k in after if before.get(k) != after[k]}
    assert changed == TOUCHED[what]
    again = run(copy, "book/tools/new.py", *what)
    assert again.returncode != 0
    assert "is there already" in again.stderr
    assert files(copy) == after
    tests = {
        "optimizer": ["tests/optim/test_new_descent.py",
                      "dldna/optim/new_descent.py"],
        "direction": ["tests/landscape/test_new_way_direction.py",
                      "tests/landscape/test_directions.py", "-k",
                      "new_way or every_way or new-way"],
        "chapter": ["tests/exercises", "tests/book/test_notebooks.py", "-k",
                    "new_topic or begins_with_its_page",
                    "--deselect", "tests/book/test_notebooks.py::"
                    "test_a_chapter_has_five_exercises[new_topic]"],
    }  # fmt: skip
    done = run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider",
               *tests[what[0]])  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize(
    ("what", "says"),
    [
        (("optimizer", "lower"), "begins"),
        (("direction", "New_way"), "some-name"),
        (("chapter", "18_topic"), "some_topic"),
        (("theorem", "X"), "new.py"),
    ],
)
def test_what_makes_no_sense_is_refused(what, says):
    done = run(ROOT, "book/tools/new.py", *what)
    assert done.returncode != 0
    assert says in done.stderr
