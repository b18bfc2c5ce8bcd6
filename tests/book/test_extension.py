"""The book's own Sphinx extension, part by part."""

import gc
import json
import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "book" / "_ext"), str(ROOT / "book" / "tools")]
from dldna_book import access, api, chapters, execution  # noqa: E402


@pytest.fixture
def plotly():
    """Imported here: it brings MyST-NB along, which takes its time."""
    from dldna_book import plotly

    return plotly


def notebook(*cells):
    return {
        "cells": [
            {"cell_type": kind, "metadata": {"tags": [tag]}, "source": text}
            for kind, tag, text in cells
        ]
    }


CELLS = (
    ("markdown", "exercise", ["### Exercise 12: Why?\n", "Say *why*."]),
    ("markdown", "solution", ["Because $x$."]),
    ("markdown", "teacher", ["Ask twice."]),
    ("code", "solution", ["x = 1"]),
)


@pytest.fixture
def edition(monkeypatch):
    return lambda name: monkeypatch.setenv("DLDNA_EDITION", name)


def test_an_old_address_knows_a_page_of_the_book():
    from dldna_book import moved

    import notebooks

    known = {path.stem for path in notebooks.paths()}
    assert set(moved.FORMERLY.values()) <= known
    assert not set(moved.FORMERLY) & known


def test_an_old_exercise_leads_to_where_it_stands_now():
    """By its title: the old ones that moved, and the number of all."""
    from dldna_book import moved

    titles = {}
    for name in set(moved.FORMERLY.values()) | {"starts", "scales", "wells"}:
        text = (ROOT / "notebooks" / f"{name}.ipynb").read_text()
        for number, title in re.findall(r"### Exercise (\d+): (.*?)\\n", text):
            titles[f"{name}-ex{number}"] = title
    counts = (7, 7, 5, 5, 5, 7, 5, 6, 5, 5, 6, 6, 6, 6, 7, 6, 6)
    found = {}
    for (old, name), count in zip(moved.FORMERLY.items(), counts, strict=True):
        for number in range(1, count + 1):
            there = moved.ELSEWHERE.get(old, {}).get(
                f"ch{old[:2]}-ex{number}", f"{name}#{name}-ex{number}"
            )
            page, anchor = there.split("#")
            assert anchor.startswith(page), there
            found[f"{old[:2]}.{number}"] = titles[anchor]
    assert found["02.4"] == "Fixup's factor"
    assert found["14.4"] == "Components from the Gram matrix"
    assert found["14.6"] == "A walk in a bowl"
    assert found["15.6"] == "How far does a random walk get?"
    assert found["15.7"] == "When do two runs part?"
    assert found["16.4"] == "Haar by hand"
    assert found["16.5"] == "The bound of a well"
    assert found["16.6"] == "More images, fewer valleys?"


def test_students_see_a_box_a_fold_and_no_notes(edition):
    edition("student")
    box, fold, note, code = (
        cell["source"]
        for cell in chapters.rewrite(notebook(*CELLS), "adaptive")["cells"]
    )
    assert "{admonition} Exercise 12: Why?" in box
    assert ":name: adaptive-ex12" in box
    assert "Say *why*." in box
    assert "{dropdown} Solution" in fold
    assert ":open:" not in fold
    assert note == ""
    assert code == ["x = 1"]


def test_instructors_see_all(edition):
    edition("instructor")
    _, fold, note, _ = (
        cell["source"]
        for cell in chapters.rewrite(notebook(*CELLS), "adaptive")["cells"]
    )
    assert ":open:" in fold
    assert "For teachers" in note
    assert "Ask twice." in note


def test_a_caption_makes_a_figure_with_a_number_and_a_name():
    from dldna_book import figures
    from docutils import nodes, utils

    document = utils.new_document("page")
    words = {"caption": "Loss of $w^2$ here.", "name": "fig-Loss"}
    figure = figures.numbered(document, [nodes.image(uri="a.png")], words)
    assert figure["ids"] == ["fig-loss"]
    caption = figure.children[1]
    assert caption.astext() == "Loss of w^2 here."
    assert [type(c).__name__ for c in caption] == ["Text", "math", "Text"]


def test_a_figure_brings_four_pictures_that_are_fetched_when_seen():
    from dldna_book import figures
    from docutils import nodes
    from myst_nb.core.render import MimeData

    drawn = []

    def render_image(data):
        drawn.append((data.content, data.output_metadata["image/png"]))
        return [nodes.image(uri=data.content)]

    words = {"alt": "A bowl.", "width": 600, "phone": 360}
    words["variants"] = {"dark": "D", "phone-light": "P", "phone-dark": "Q"}
    found = figures.ImageMime.handle_mime(
        SimpleNamespace(render_image=render_image),
        MimeData("image/png", "L", {}, {"image/png": words}),
        inline=False,
    )
    assert [content for content, _ in drawn] == ["L", "D", "P", "Q"]
    assert [meta["width"] for _, meta in drawn] == [600, 600, 360, 360]
    names = ["light", "dark", "phone-light", "phone-dark"]
    assert [n["classes"] for n in found] == [[f"dldna-{n}"] for n in names]
    assert {n["loading"] for n in found} == {"lazy"}
    assert {n["alt"] for n in found} == {"A bowl."}


@pytest.mark.parametrize("who", ["student", "instructor"])
def test_a_hint_is_folded_for_all(edition, who):
    edition(who)
    cells = notebook(("markdown", "hint", ["Draw it."]))
    (cell,) = chapters.rewrite(cells, "adaptive")["cells"]
    assert "{dropdown} Hint" in cell["source"]
    assert "Draw it." in cell["source"]
    assert ":open:" not in cell["source"]


def test_an_exercise_without_a_number_is_an_error():
    with pytest.raises(ValueError, match="Exercise 2"):
        chapters.exercise("What is this?", "adaptive")


def test_an_exercise_of_a_page_without_a_number_has_the_page_s_name():
    box = chapters.exercise("### Exercise 12: Why?\nSay.", "playground")
    assert "{admonition} Exercise 12: Why?" in box
    assert ":name: playground-ex12" in box


def test_a_figure_cannot_end_its_script_early(plotly):
    figure = {
        "data": [{"name": "</script><b>"}],
        "layout": {"height": 333},
        "frames": [{"name": "1"}],
        "config": {"plotlyServerURL": "https://elsewhere"},
    }
    html = plotly.markup(figure, {"alt": 'A "deep" <valley>'})
    assert html.count("</script>") == 1
    assert 'aria-label="A &quot;deep&quot; &lt;valley&gt;"' in html
    assert "elsewhere" not in html
    assert "min-height:333px" in html
    data = html.partition('json">')[2].partition("</script>")[0]
    assert json.loads(data)["data"][0]["name"] == "</script><b>"


def test_a_figure_that_turns_is_numbered_by_its_caption(plotly):
    from docutils import nodes
    from docutils.utils import new_document
    from myst_nb.core.render import MimeData

    document = new_document("page")
    renderer = SimpleNamespace(
        get_cell_level_config=lambda *_, **__: {}, document=document
    )
    around = SimpleNamespace(renderer=renderer)
    words = {"alt": "A bowl.", "caption": "Turn $w$.", "name": "fig-bowl"}
    for meta, kind in ((words, nodes.figure), ({"alt": "A bowl."}, nodes.raw)):
        content = {"data": [{"type": "surface"}], "layout": {"meta": meta}}
        (found,) = plotly.PlotlyMime.handle_mime(
            around, MimeData(plotly.MIME, content, {}, {}), inline=False
        )
        assert type(found) is kind
        if kind is nodes.figure:
            assert found["ids"] == ["fig-bowl"]
            assert "dldna-plotly" in found.children[0].astext()
            assert found.children[1].astext() == "Turn w."


def test_a_figure_that_the_pages_cannot_draw_stops_the_build(plotly):
    with pytest.raises(ValueError, match="heatmap"):
        plotly.markup({"data": [{"type": "heatmap"}]}, None)


def test_the_cache_follows_package_requirements_and_scale(
    tmp_path, monkeypatch
):
    monkeypatch.delenv("DLDNA_SCALE", raising=False)
    (tmp_path / "dldna" / "__pycache__").mkdir(parents=True)
    (tmp_path / "dldna" / "a.py").write_text("x = 1")
    (tmp_path / "requirements.txt").write_text("torch")
    seen = [execution.fingerprint(tmp_path)]
    (tmp_path / "dldna" / "__pycache__" / "a.pyc").write_text("new")
    assert execution.fingerprint(tmp_path) == seen[0]
    (tmp_path / "dldna" / "a.py").write_text("x = 2")
    seen.append(execution.fingerprint(tmp_path))
    (tmp_path / "requirements.txt").write_text("torch==2")
    seen.append(execution.fingerprint(tmp_path))
    monkeypatch.setenv("DLDNA_SCALE", "full")
    seen.append(execution.fingerprint(tmp_path))
    assert len(set(seen)) == 4


def test_old_caches_go_and_the_latest_stay(tmp_path, monkeypatch):
    names = ("PLOTLY_RENDERER", "IPYTHONDIR", "DLDNA_PROGRESS", "DLDNA_BOOK")
    for name in names:
        monkeypatch.setenv(name, "")
    app = SimpleNamespace(srcdir=str(tmp_path))
    config = SimpleNamespace(nb_execution_cache_path="")
    for key in ("a", "b", "c", "d", "e"):
        monkeypatch.setattr(execution, "fingerprint", lambda root, k=key: k)
        execution.prepare(app, config)
    caches = tmp_path / "_build" / ".jupyter_cache"
    kept = sorted(path.name for path in caches.iterdir())
    assert len(kept) == execution.KEPT
    assert config.nb_execution_cache_path == str(caches / "e")
    assert "e" in kept
    assert os.environ["DLDNA_BOOK"] == "1"  # pages have all four pictures


def test_an_object_is_documented_where_it_is_defined():
    def skip(room, home):
        env = SimpleNamespace(temp_data={"autodoc:module": room})
        obj = SimpleNamespace(__module__=home)
        app = SimpleNamespace(env=env)
        return api.skip_foreign(app, "module", "x", obj, False, None)

    assert skip("dldna.landscape", "dldna.records") is True
    assert skip("dldna.landscape", "dldna.landscape.space.plane") is None
    assert skip("dldna.landscape", "torch.nn") is None


def test_a_bibliography_is_no_list_of_items():
    context = {"body": '<p><div role="list" class="citation-list">'}
    access.repair(None, "", "", context, None)
    assert "role" not in context["body"]


def test_chapters_are_run_ahead_and_once(tmp_path):
    """What runs is kept, also where another fails; it is not run again."""
    import nbformat
    from jupyter_cache import get_cache

    seen = tmp_path / "seen"
    sources = {
        "good": f"open({str(seen)!r}, 'a').write('x')\nprint(6 * 7)",
        "bad": "1 / 0",
    }
    for name, source in sources.items():
        cells = [nbformat.v4.new_code_cell(source)]
        made = nbformat.v4.new_notebook(cells=cells)
        made.metadata["kernelspec"] = {"name": "python3", "display_name": "x"}
        nbformat.write(made, tmp_path / f"{name}.ipynb")
    config = SimpleNamespace(
        nb_execution_mode="cache",
        nb_execution_timeout=60,
        nb_execution_cache_path=str(tmp_path / "cache"),
    )
    env = SimpleNamespace(doc2path=lambda name: tmp_path / f"{name}.ipynb")
    app = SimpleNamespace(config=config)
    for _ in "ab":
        execution.run_ahead(app, env, ["good", "bad"])
    assert seen.read_text() == "x"
    cache = get_cache(config.nb_execution_cache_path)
    good = nbformat.read(tmp_path / "good.ipynb", as_version=4)
    _, ran = cache.merge_match_into_notebook(good)
    assert ran.cells[0].outputs[0].text == "42\n"
    assert len(cache.list_cache_records()) == 1


def test_a_kernel_looks_rarely_at_what_stays_and_names_nothing(tmp_path):
    folder = execution.ipython_folder(tmp_path) / "profile_default"
    kernel, names = SimpleNamespace(), {}
    config = SimpleNamespace(IPKernelApp=kernel)
    text = (folder / "ipython_kernel_config.py").read_text()
    exec(text, {"get_config": lambda: config})
    before = gc.get_threshold()
    try:
        for line in kernel.exec_lines:
            exec(line, names)
        assert gc.get_threshold() == (10_000, 10, 100)
    finally:
        gc.set_threshold(*before)
    assert set(names) == {"__builtins__"}
