"""What widgets of the page share: one piece of HTML that holds all."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from dldna.export.html import read


@dataclass(frozen=True)
class Widget:
    """A widget as HTML; as a cell's last line it shows itself.

    Args:
        html: the whole widget.
    """

    html: str

    def _repr_html_(self) -> str:
        return self.html


def filled(page: str, prefix: str, fields: Mapping[str, Any]) -> str:
    """A page of this room with its places filled, longest names first.

    Args:
        page: file name.
        prefix: what the names of its places begin with.
        fields: texts and numbers by name; ``DATA`` is what
            :func:`in_script` gives. ``ID`` is made from that, and filled
            last, because the script names it, too.
    """
    mark = f"{crc32(fields['DATA'].encode()):08x}"
    html = read(page)
    fields = {**fields, "ID": f"dldna-{prefix.lower()}-{mark}"}
    for key in sorted(fields, key=lambda k: (k == "ID", -len(k))):
        html = html.replace(f"{prefix}_{key}", str(fields[key]))
    return html
