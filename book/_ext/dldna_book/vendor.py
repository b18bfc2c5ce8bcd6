"""JavaScript that the pages load, copied beside them.

Not through ``html_static_path``: every script found there would be put on
every page.
"""

import re
import shutil
from pathlib import Path

VENDOR = Path(__file__).parents[2] / "_vendor"
PAGE = Path(__file__).parents[3] / "dldna" / "pages" / "page.js"


def copy(app) -> None:
    if app.builder.format != "html":
        return
    target = Path(app.outdir) / "_static" / "vendor"
    shutil.copytree(VENDOR, target, dirs_exist_ok=True)
    shutil.copy(PAGE, target)


def drop_search_index(app, exception) -> None:
    """Searching is done on the page of results, which loads the index.

    The theme loads it on every page, to search while one types; that is not
    switched on here.
    """
    line = re.compile(r'\s*<script src="[^"]*searchindex\.js"></script>')
    for page in Path(app.outdir).rglob("*.html"):
        if page.name != "search.html":
            text = page.read_text()
            page.write_text(line.sub("", text))


def drop_icon_script(app, exception) -> None:
    """The icons come from the style sheet's fonts; 1.5 MB of script less."""
    script = Path(app.outdir) / "_static" / "scripts" / "fontawesome.js"
    if script.exists():
        script.write_text("// Icons: fonts named by the style sheet.\n")


def drop_thebe(app, pagename, templatename, context, doctree) -> None:
    """Live code is not offered; its scripts would name another server."""
    context["script_files"] = [
        script
        for script in context.get("script_files", ())
        if "thebe" not in (str(script) + str(attributes(script)))
    ]


def attributes(script) -> dict:
    return getattr(script, "attributes", {})


def setup(app) -> None:
    app.add_css_file("dldna.css")
    app.add_css_file("print.css", media="print")
    app.add_js_file("scene.js")
    app.add_js_file("dldna.js")
    app.add_js_file("slides.js")
    app.connect("builder-inited", copy)
    app.connect("build-finished", drop_icon_script)
    app.connect("build-finished", drop_search_index)
    app.connect("html-page-context", drop_thebe, priority=900)
