"""API pages: each public object once, at home; links that find it there.

A room's ``__init__`` re-exports from private modules, and a record may be
exported by two rooms. An object is documented in the room that defines it,
and a reference to any of its other names leads there.
"""

import pydoc

from docutils import nodes
from sphinx.util.nodes import make_refnode

PACKAGE = "dldna"


def skip_foreign(app, what, name, obj, skip, options):
    """Leave out a name that another room defines and documents."""
    if what != "module":
        return None
    room = app.env.temp_data.get("autodoc:module")
    home = getattr(obj, "__module__", None)
    if not room or not isinstance(home, str):
        return None
    foreign = home != room and not home.startswith(room + ".")
    return True if foreign and home.startswith(PACKAGE + ".") else None


def resolve(app, env, node, contnode):
    """Find the one documented object that a private path means."""
    if node.get("refdomain") != "py":
        return None
    target = node.get("reftarget", "")
    if not target.startswith(PACKAGE + "."):
        return None
    last = "." + target.rpartition(".")[2]
    room = ".".join(target.split(".")[:2])
    domain = env.get_domain("py")
    found = [name for name in domain.objects if name.endswith(last)]
    best = [name for name in found if name.startswith(room + ".")] or found
    if len(best) != 1:
        # A private helper has no page: its name stands as it is. A name
        # that does not exist stays a warning, and fails the build.
        return contnode if pydoc.locate(target) is not None else None
    entry = domain.objects[best[0]]
    return make_refnode(
        app.builder,
        node["refdoc"],
        entry.docname,
        entry.node_id,
        contnode if isinstance(contnode, nodes.Node) else nodes.Text(target),
        best[0],
    )


def ignore_outside(app, config) -> None:
    """Only names of this package must be found; others have no page here."""
    config.nitpick_ignore_regex = [
        *config.nitpick_ignore_regex,
        (r"py:.*", rf"(?!{PACKAGE}\.).*"),
    ]


def setup(app) -> None:
    app.connect("autodoc-skip-member", skip_foreign)
    app.connect("missing-reference", resolve)
    app.connect("config-inited", ignore_outside)
