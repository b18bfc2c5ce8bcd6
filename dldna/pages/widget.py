"""What widgets of the page share: one piece of HTML that holds all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from dldna.export.html import in_script, read

FIGURE_STYLES = ("palette.css", "figure.css", "widget.css")
FIGURE_SCRIPTS = (
    *("page.js", "drawing.js", "sound.js", "random.js"),
    "playground_rules.js",
)
"""What the pages of walks, on two weights, matrices and networks, share."""


@dataclass(frozen=True)
class Widget:
    """A widget as HTML; as a cell's last line it shows itself.

    Args:
        html: the whole widget.
    """

    html: str

    def _repr_html_(self) -> str:
        return self.html


def joined(scripts: Sequence[str]) -> str:
    """Scripts of this room, one after the other."""
    return "\n".join(map(read, scripts))


def enclosed(code: str) -> str:
    """JavaScript whose names stay its own, and run at once."""
    return f"(function () {{\n{code}\n}})();"


def filled(
    page: str,
    prefix: str,
    styles: Sequence[str],
    script: str,
    data: Any,
    **places: Any,
) -> str:
    """A page of this room with its places filled, longest names first.

    Args:
        page: file name.
        prefix: what the names of its places begin with.
        styles: names of the style sheets for ``STYLE``.
        script: JavaScript for ``SCRIPT``.
        data: JSON for ``DATA``. ``ID`` is made from it, and filled last,
            because the script names it, too.
        **places: texts and numbers for the page's other places.
    """
    fields = {
        "STYLE": "".join(map(read, styles)),
        "SCRIPT": script,
        "DATA": in_script(data),
        **places,
    }
    mark = f"{crc32(fields['DATA'].encode()):08x}"
    html = read(page)
    fields["ID"] = f"dldna-{prefix.lower()}-{mark}"
    for key in sorted(fields, key=lambda k: (k == "ID", -len(k))):
        html = html.replace(f"{prefix}_{key}", str(fields[key]))
    return html


def widget(
    page: str,
    prefix: str,
    styles: Sequence[str],
    scripts: Sequence[str],
    data: Any,
    **places: Any,
) -> Widget:
    """A page of this room that runs scripts of this room.

    Args:
        page: file name.
        prefix: what the names of its places begin with.
        styles: names of its style sheets.
        scripts: names of its scripts, in their order.
        data: what the last of them reads as JSON.
        **places: texts and numbers for the page's other places.
    """
    script = enclosed(joined(scripts))
    return Widget(filled(page, prefix, styles, script, data, **places))
