"""While rooms are being built: their API pages wait until they exist."""

import importlib.util
from pathlib import Path

from docutils import nodes


def missing(room: str) -> bool:
    try:
        return importlib.util.find_spec(f"dldna.{room}") is None
    except ImportError:
        return True


def hide_pages(app, config) -> None:
    for page in (Path(app.srcdir) / "book" / "api").glob("*.md"):
        if page.stem not in ("index", "ground") and missing(page.stem):
            config.exclude_patterns.append(f"book/api/{page.name}")


def drop_links(app, env, node, contnode):
    target = node.get("reftarget", "").split(".")
    if target[0] == "dldna" and len(target) > 1 and missing(target[1]):
        return contnode if isinstance(contnode, nodes.Node) else None
    return None


def setup(app) -> None:
    app.connect("config-inited", hide_pages, priority=400)
    app.connect("missing-reference", drop_links)
