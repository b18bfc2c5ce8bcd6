"""The explorer in a notebook: one widget for Jupyter, Colab and VS Code."""

from typing import Any

from dldna.checks import need
from dldna.explorer.messages import about, answer
from dldna.explorer.session import Explorer
from dldna.pages import explorer_module


def widget(here: Explorer, view: str = "") -> Any:
    """The explorer as an ``anywidget``.

    Args:
        here: the maps.
        view: how it opens, as "Link to this view" gave it.

    Returns:
        The widget; as a cell's last line it shows itself.

    Raises:
        ImportError: anywidget is not installed.
    """
    why = "the explorer in a notebook"
    anywidget = need("anywidget", "explore", why)
    traitlets = need("traitlets", "explore", why)
    module, html = explorer_module()
    synced = {"sync": True}
    fields = {
        "_esm": module,
        "html": traitlets.Unicode(html).tag(**synced),
        "about": traitlets.Dict(about(here)).tag(**synced),
        "view": traitlets.Unicode(str(view)).tag(**synced),
    }
    made = type("ExplorerWidget", (anywidget.AnyWidget,), fields)()
    made.explorer = here
    made.on_msg(_reply)
    return made


def _reply(made: Any, content: Any, buffers: Any) -> None:
    """Answer one message of the page, under its number."""
    if not isinstance(content, dict) or type(content.get("id")) is not int:
        return
    found = answer(made.explorer, content.get("message"))
    made.send({"id": content["id"], "answer": found})
