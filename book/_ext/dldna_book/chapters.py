"""Exercises, solutions and teacher notes; a student's and a teacher's book.

A chapter marks its cells by tags, so that a notebook reads well in Colab
too, where no directive is understood:

=============  ============================  ============================
tag            students' edition             instructors' edition
=============  ============================  ============================
``exercise``   a box, with an anchor         the same
``hint``       folded away                   folded away
``solution``   folded away                   open
``teacher``    left out                      a box
=============  ============================  ============================

An exercise starts with a line such as ``### Exercise 2: Warm-up``; on the
page ``momentum`` its anchor is then ``momentum-ex2``, the name that
:func:`dldna.exercises.check` knows. Execution sees neither tags nor editions:
both share one cache.
"""

import json
import os
import re
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive

EXERCISE = re.compile(r"#+\s*(Exercise (\d+)\b(?!\.\d).*)\n?")
FENCE = ":" * 8
SHOW = "Show the solution's code"
HIDE = "Hide the solution's code"


def instructor() -> bool:
    return os.environ.get("DLDNA_EDITION", "student") == "instructor"


def directive(name: str, title: str, body: str, *options: str) -> str:
    lines = [f"{FENCE}{{{name}}} {title}", *options, "", body.strip(), FENCE]
    return "\n".join(lines) + "\n"


def exercise(text: str, page: str) -> str:
    match = EXERCISE.match(text)
    if match is None:
        raise ValueError(
            "an exercise cell starts with '### Exercise 2: its title', "
            f"this one with {text[:40]!r}"
        )
    title, number = match.groups()
    return directive(
        "admonition",
        title,
        text[match.end() :],
        ":class: dldna-exercise",
        f":name: {page}-ex{number}",
    )


def hint(text: str, page: str = "") -> str:
    return directive("dropdown", "Hint", text, ":icon: light-bulb")


def solution(text: str, page: str = "") -> str:
    open_ = (":open:",) if instructor() else ()
    return directive("dropdown", "Solution", text, ":icon: check", *open_)


def teacher(text: str, page: str = "") -> str:
    if not instructor():
        return ""
    return directive("admonition", "For teachers", text, ":class: note")


RENDER = {
    "exercise": exercise,
    "hint": hint,
    "solution": solution,
    "teacher": teacher,
}


def rewrite(notebook: dict, page: str) -> dict:
    """The notebook with its tagged Markdown cells put into directives."""
    for cell in notebook["cells"]:
        if cell["cell_type"] != "markdown":
            continue
        for tag in cell["metadata"].get("tags", ()):
            if tag in RENDER:
                cell["source"] = RENDER[tag]("".join(cell["source"]), page)
    return notebook


def on_source(app, docname, source) -> None:
    if str(app.env.doc2path(docname)).endswith(".ipynb"):
        page = Path(docname).name
        source[0] = json.dumps(rewrite(json.loads(source[0]), page))


def on_doctree(app, doctree) -> None:
    """Fold the solution's code cells; drop the teacher's for students."""
    for cell in list(doctree.findall(nodes.container)):
        if cell.get("nb_element") != "cell_code":
            continue
        tags = cell.get("cell_metadata", {}).get("tags", ())
        if "solution" in tags and not instructor():
            cell["hide_mode"] = "all"
            cell["prompt_show"], cell["prompt_hide"] = SHOW, HIDE
        elif "teacher" in tags and not instructor():
            cell.parent.remove(cell)


def write_student_notebooks(app, exception) -> None:
    """Notebooks with blanks, beside the pages."""
    if exception or app.builder.format != "html":
        return
    import notebooks  # book/tools

    target = Path(app.outdir) / "student"
    target.mkdir(exist_ok=True)
    for path in sorted((Path(app.srcdir) / "notebooks").glob("*.ipynb")):
        if f"notebooks/{path.stem}" in app.env.found_docs:
            notebooks.write_student(path, target / path.name)


def add_buttons(app, pagename, templatename, context, doctree) -> None:
    """The download menu offers blanks and slides, too."""
    if not pagename.startswith("notebooks/"):
        return
    name = pagename.removeprefix("notebooks/")
    blanks = {
        "type": "link",
        "url": context["pathto"](f"student/{name}.ipynb", 1),
        "text": ".ipynb, exercises open",
        "icon": "fas fa-pencil-alt",
        "tooltip": "Download the notebook without solutions",
        "label": "download-student-button",
    }
    slides = {
        "type": "link",
        "url": f"{name}.html?slides",
        "text": "slides",
        "icon": "fas fa-expand",
        "tooltip": "One section at a time; arrow keys turn",
        "label": "slides-button",
    }
    for button in context.get("header_buttons", ()):
        if button.get("label") == "download-buttons":
            button["buttons"][1:1] = [blanks]
            button["buttons"].append(slides)


class Teacher(Directive):
    """``{teacher}``: a note in a page of prose, for instructors only."""

    has_content = True

    def run(self):
        if not instructor():
            return []
        note = nodes.admonition(classes=["note"])
        note += nodes.title("", "For teachers")
        self.state.nested_parse(self.content, self.content_offset, note)
        return [note]


def setup(app) -> None:
    import sys

    sys.path.append(str(Path(__file__).parents[2] / "tools"))
    app.add_config_value("dldna_edition", "student", "env")
    app.connect(
        "config-inited",
        lambda app, config: setattr(
            config,
            "dldna_edition",
            "instructor" if instructor() else "student",
        ),
    )
    app.add_directive("teacher", Teacher)
    app.connect("source-read", on_source)
    app.connect("doctree-read", on_doctree)
    app.connect("html-page-context", add_buttons, priority=900)
    app.connect("build-finished", write_student_notebooks)
