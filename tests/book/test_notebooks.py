"""Notebooks in one form; the book's list of pages; the address in one place.

The chapters' own claims are asserted in the chapters, when the book is
built. Here is what their files look like.
"""

import json
import re
import runpy
import sys
from pathlib import Path

import pytest

import dldna.book
from dldna import exercises

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "book" / "tools"))
import notebooks as tool  # noqa: E402

PATHS = tool.paths()
each_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)


def cell(kind, source, **metadata):
    made = {
        "cell_type": kind,
        "id": f"c-{kind}-{len(source)}-{source[:4].strip(' #%')}",
        "metadata": metadata,
        "source": source.splitlines(keepends=True),
    }
    if kind == "code":
        made |= {"outputs": [], "execution_count": None}
    return made


def chapter(*cells):
    return tool.fixed(
        {
            "cells": [
                cell("markdown", "# A title"),
                *cells,
                cell("code", "dldna.book.colophon()"),
            ],
            "metadata": {},
            "nbformat": 4,
            "nbformat_minor": 5,
        }
    )


@each_notebook
def test_notebook_is_in_form(path):
    assert tool.problems(tool.read(path)) == []


@each_notebook
def test_a_figure_of_a_cell_has_no_path_for_words(path):
    for one in tool.read(path)["cells"]:
        options = one["metadata"].get("mystnb", {}).get("image", {})
        assert len(options.get("alt", "long enough")) >= 10


@each_notebook
def test_exercises_are_numbered_and_named_by_their_page(path):
    page = path.stem
    known = exercises.names()
    for one in tool.read(path)["cells"]:
        if "exercise" in tool.tags(one):
            first = tool.source(one).splitlines()[0]
            assert re.match(r"#+ Exercise \d+:", first), first
        asked = r"\b(check|quiz)\(\s*['\"]([\w-]+)"
        for call, name in re.findall(asked, tool.source(one)):
            assert name.rpartition("-")[0] == page
            assert call == "quiz" or name in known


@each_notebook
def test_a_chapter_has_five_exercises(path):
    if path.stem not in tool.chapters():
        return
    cells = tool.read(path)["cells"]
    asked = sum("exercise" in tool.tags(one) for one in cells)
    solved = sum("solution" in tool.tags(one) for one in cells)
    assert asked >= 5
    assert solved >= 1


# --- the tool finds what it should -------------------------------------


def test_a_clean_chapter_is_clean():
    assert tool.problems(chapter(cell("code", "x = 1"))) == []


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("\n".join(["x = 1"] * 26), "26 lines"),
        ("x = '" + "a" * 80 + "'", "86 wide"),
        ("%matplotlib inline", "no magics"),
        ("x = (", "does not parse"),
    ],
)
def test_a_bad_cell_is_named(source, complaint):
    found = tool.problems(chapter(cell("code", source)))
    assert len(found) == 1
    assert complaint in found[0]
    assert found[0].startswith("cell 2:")


def test_outputs_tags_ids_and_kernel_are_checked():
    notebook = chapter(cell("code", "x = 1", tags=["soluton"]))
    notebook["cells"][2]["outputs"] = [{"output_type": "stream"}]
    notebook["cells"][2]["id"] = notebook["cells"][0]["id"]
    notebook["metadata"]["kernelspec"] = {"name": "other"}
    found = " / ".join(tool.problems(notebook))
    for word in ("unknown tag", "outputs", "each its own", "kernelspec"):
        assert word in found


def test_what_is_folded_is_folded_everywhere_and_questions_are_asked():
    drawn = cell("code", "plot()", tags=["hide-input"])
    asked = cell("code", 'quiz("adaptive-predict", reveal=True)')
    seen = cell("code", 'found = quiz("adaptive-q1")')
    notebook = chapter(drawn, asked, seen)
    drawn, asked, seen = (c["metadata"] for c in notebook["cells"][2:5])
    assert drawn["cellView"] == "form"
    assert drawn["jupyter"] == {"source_hidden": True}
    assert asked == {"tags": ["remove-input"]}
    assert seen == {}
    drawn["tags"] = []
    tool.fixed(notebook)
    assert drawn == {"tags": []}


def test_the_set_up_cell_is_held_to_its_text():
    notebook = chapter()
    notebook["cells"][1]["source"][-1] += "# changed"
    assert "setup_cell.py" in tool.problems(notebook)[0]
    assert tool.problems(tool.fixed(notebook)) == []


def test_the_colophon_must_be_last():
    notebook = chapter()
    notebook["cells"].append(cell("code", "x = 1"))
    assert "colophon" in tool.problems(notebook)[0]


def test_students_get_blanks(tmp_path):
    notebook = chapter(
        cell("markdown", "### Exercise 5.1: Why", tags=["exercise"]),
        cell("code", "answer = ..."),
        cell("markdown", "Because.", tags=["solution"]),
        cell("code", "answer = 42", tags=["solution"]),
        cell("markdown", "Ask them why.", tags=["teacher"]),
    )
    path = tmp_path / "05_x.ipynb"
    tool.write(path, notebook)
    tool.write_student(path, tmp_path / "blank.ipynb")
    text = (tmp_path / "blank.ipynb").read_text()
    assert "Exercise 5.1" in text
    assert "answer = ..." in text
    assert "Because" not in text
    assert "answer = 42" not in text
    assert "Ask them" not in text
    assert tool.problems(json.loads(text)) == []


# --- set-up cell -------------------------------------------------------


def test_set_up_leaves_a_good_install_alone(monkeypatch):
    monkeypatch.setattr("subprocess.run", lambda *a, **k: pytest.fail(str(a)))
    names = runpy.run_path(str(ROOT / "book" / "setup_cell.py"))
    assert names["dldna"].book is dldna.book


@pytest.mark.parametrize("there", ["0.1.6", None])
def test_set_up_installs_when_it_must(monkeypatch, there):
    """Another package of this name, or none: the repository's is taken."""
    calls = []
    monkeypatch.setattr("subprocess.run", lambda pip, **k: calls.append(pip))
    before = {
        name: module
        for name, module in sys.modules.items()
        if name.split(".")[0] == "dldna"
    }
    try:
        if there:
            monkeypatch.setattr(dldna, "__version__", there)
        else:
            monkeypatch.setitem(sys.modules, "dldna", None)
        runpy.run_path(str(ROOT / "book" / "setup_cell.py"))
    finally:
        for name in list(sys.modules):
            if name.split(".")[0] == "dldna":
                del sys.modules[name]
        sys.modules.update(before)
    assert calls[0][1:4] == ["-m", "pip", "install"]
    assert dldna.book.REPOSITORY in calls[0][-1]


# --- the rest of the shell ---------------------------------------------


def test_every_page_listed_is_there_once():
    text = (ROOT / "_toc.yml").read_text()
    listed = re.findall(r"^ *- file: *(\S+)$", text, re.MULTILINE)
    assert listed
    assert len(set(listed)) == len(listed)
    for name in listed:
        assert (ROOT / name).is_file(), name
        if name.startswith("notebooks/"):
            assert name.endswith(".ipynb")


def test_every_notebook_is_listed():
    text = (ROOT / "_toc.yml").read_text()
    for path in PATHS:
        assert f"\n      - file: notebooks/{path.name}" in text, path.name


@pytest.mark.parametrize(
    "name",
    [
        "_config.yml",
        "pyproject.toml",
        "README.md",
        "CITATION.cff",
        "book/setup_cell.py",
        "book/how_to_use.md",
    ],
)
def test_the_repository_has_one_address(name):
    text = (ROOT / name).read_text()
    owner = dldna.book.REPOSITORY.rpartition("/")[0]
    found = set(re.findall(r"https://github\.com/[\w.-]+/[\w-]+", text))
    assert found == {dldna.book.REPOSITORY}, owner


def test_bibliography_is_sorted_and_all_that_is_cited_is_there():
    text = (ROOT / "book" / "references.bib").read_text()
    keys = re.findall(r"^@\w+\{([\w-]+),$", text, re.MULTILINE)
    assert keys == sorted(set(keys))
    pages = [*PATHS, *(ROOT / "book").rglob("*.md")]
    for page in pages:
        cited = re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", page.read_text())
        for key in ",".join(cited).split(","):
            assert key.strip() in {*keys, ""}, (page.name, key)


def test_version_is_the_package_s():
    text = (ROOT / "CITATION.cff").read_text()
    assert f"version: {dldna.__version__}\n" in text
