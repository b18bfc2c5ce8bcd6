"""The explorer as a document, and as a module for notebooks."""

import html
from collections.abc import Mapping
from typing import Any

from dldna.export.html import read
from dldna.pages.widget import enclosed, filled, joined

SCRIPTS = (
    "page.js",
    "solid.js",
    "explorer_rules.js",
    "explorer_draw.js",
    "explorer_controls.js",
    "explorer_walks.js",
    "explorer.js",
    "explorer_asks.js",
)
START = """
const root = document.getElementById("EX_ID");
const data = JSON.parse(root.querySelector("script[type]").textContent);
dldnaExplore(root, dldnaExplorerAsks.%s, data.about, true, "");"""
MODULE = """
%s
export default { render({ model, el }) {
  el.innerHTML = model.get("html");
  const root = el.firstElementChild;
  root.removeAttribute("id");  // one output may show it more than once
  const kernel = dldnaExplorerAsks.kernel(model, () => {
    root.querySelector("[data-ex='says']").textContent = "No answer yet: " +
      "the kernel is at work, or it has ended. Then run this cell again.";
  });
  const end = dldnaExplore(root, kernel.ask, model.get("about"), false,
    model.get("view"));
  return () => {
    end();
    kernel.end();
  };
} };
"""


def explorer_document(
    data: Mapping[str, Any], *, served: bool = False, title: str = ""
) -> str:
    """The explorer as one HTML document.

    Args:
        data: ``about``; and, where it is not served, ``planes`` and
            ``tiles``, which are written into it.
        served: whether a server answers what the page asks.
        title: of the page.

    Returns:
        The document's text. It loads nothing; it connects to nothing but,
        if it is served, to where it came from.

    Example:
        >>> text = explorer_document({"about": {}}, title="<b>")
        >>> "&lt;b&gt;" in text, "connect-src 'none'" in text
        (True, True)
    """
    start = START % ("server()" if served else "file(data)")
    parts = {
        "TITLE": html.escape(title),
        "CONNECT": "'self'" if served else "'none'",
        "STYLE": read("viewer.css"),
        "WIDGET": _widget(data, enclosed(joined(SCRIPTS) + start)),
    }
    pieces = read("explorer_document.html").split("@@")
    return "".join(parts[p] if i % 2 else p for i, p in enumerate(pieces))


def explorer_module() -> tuple[str, str]:
    """The explorer for a notebook: an ECMAScript module, and its HTML."""
    return MODULE % joined(SCRIPTS), _widget({}, "")


def _widget(data: Mapping[str, Any], script: str) -> str:
    styles = ("widget.css", "explorer.css")
    return filled("explorer.html", "EX", styles, script, data)
