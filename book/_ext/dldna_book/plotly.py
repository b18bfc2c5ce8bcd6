"""Plotly figures in a page without a kernel.

A cell that ends with a plotly figure puts
``application/vnd.plotly.v1+json`` into its outputs. MyST-NB has no way to
show that; here it becomes an empty ``<div>`` and the JSON beside it, which
``dldna.js`` draws once the reader scrolls there. For screen readers the
figure is named by ``layout.meta["alt"]``, else by the cell's metadata
``mystnb: {image: {alt: ...}}``; ``layout.meta["caption"]`` makes it a numbered
figure, as it does a still one.
"""

import html
import json

from docutils import nodes
from myst_nb.core import render

from dldna_book.figures import numbered

MIME = "application/vnd.plotly.v1+json"
# What the copy of plotly.js in book/_vendor can draw.
DRAWN = {
    *("scatter", "scatter3d", "surface", "mesh3d"),
    *("isosurface", "volume", "cone", "streamtube"),
}


class PlotlyMime:
    """A MyST-NB mime renderer."""

    mime_priority_overrides = (("html", MIME, 1),)

    @staticmethod
    def handle_mime(renderer, data, inline):
        if inline or data.mime_type != MIME:
            return None
        options = renderer.renderer.get_cell_level_config(
            "render_image_options", data.cell_metadata, line=data.line
        )
        found = nodes.raw("", markup(data.content, options), format="html")
        words = data.content.get("layout", {}).get("meta") or {}
        if words.get("caption"):
            return [numbered(renderer.renderer.document, [found], words)]
        return [found]


def markup(figure, options) -> str:
    """The HTML that stands for one figure."""
    kinds = {trace.get("type", "scatter") for trace in figure["data"]}
    if kinds - DRAWN:
        raise ValueError(
            f"the pages cannot draw plotly traces of type "
            f"{', '.join(sorted(kinds - DRAWN))}: use matplotlib, or put "
            f"another plotly.js into book/_vendor"
        )
    layout = figure.get("layout", {})
    words = layout.get("meta") or {}
    alt = words.get("alt") or (options or {}).get("alt", "Interactive figure")
    height = int(layout.get("height") or 480)
    # "</" would end the script element early.
    data = json.dumps(
        {
            key: figure[key]
            for key in ("data", "layout", "frames")
            if key in figure
        },
        separators=(",", ":"),
    ).replace("</", "<\\/")
    return (
        f'<div class="dldna-plotly" data-figure="scene" role="group" '
        f'aria-label="{html.escape(str(alt), quote=True)}" '
        f'style="min-height:{height}px">'
        f'<script type="application/json">{data}</script>'
        f'<p class="dldna-waiting">The figure is drawn when you reach it.'
        f"</p></div>"
    )


def setup(app) -> None:
    found = render.load_mime_renders()
    if PlotlyMime not in found:
        found.append(PlotlyMime)  # the list is cached: this is for good
