"""Pictures with words and, folded away, the numbers behind them.

``dldna.plotting.show`` stores the alternative text and a table in the
metadata of its output. Here they become the image's ``alt`` and a
``<details>`` below it; a caption makes it a numbered figure; of the four
pictures for light and dark, desk and phone the style sheet shows one. A cell's
own ``mystnb: {image: {alt: ...}}`` still works, and the output's words win.
"""

import dataclasses
import re

from docutils import nodes
from myst_nb.core import render


class ImageMime:
    """A MyST-NB mime renderer for PNG outputs that bring their words."""

    mime_priority_overrides = ()

    @staticmethod
    def handle_mime(renderer, data, inline):
        words = data.output_metadata.get("image/png", {})
        if inline or data.mime_type != "image/png" or "alt" not in words:
            return None
        found = renderer.render_image(data)
        for name, content in words.get("variants", {}).items():
            width = words["phone"] if "phone" in name else words["width"]
            found += renderer.render_image(
                dataclasses.replace(
                    data,
                    content=content,
                    output_metadata={"image/png": {"width": width}},
                )
            )
            found[-1]["classes"].append(f"dldna-{name}")
        if len(found) > 1:
            found[0]["classes"].append("dldna-light")
        for image in found:
            image["alt"] = words["alt"]
            image["loading"] = "lazy"  # what is not seen is not fetched
        if words.get("caption"):
            found = [numbered(renderer.renderer.document, found, words)]
        if "table" in words:
            found.append(nodes.raw("", behind(words["table"]), format="html"))
        return found


def numbered(document, images: list, words: dict) -> nodes.figure:
    """The images as one figure with its caption, and its name if any."""
    figure = nodes.figure("", *images)
    parts = re.split(r"\$([^$]+)\$", words["caption"])
    figure += nodes.caption(
        "",
        "",
        *(
            nodes.math("", part) if k % 2 else nodes.Text(part)
            for k, part in enumerate(parts)
        ),
    )
    if words.get("name"):
        figure["names"].append(nodes.fully_normalize_name(words["name"]))
        document.note_explicit_target(figure, figure)
    return figure


def behind(table: str) -> str:
    """The fold that holds a figure's numbers."""
    return (
        '<details class="dldna-data"><summary>The numbers behind this '
        f'figure</summary><div class="dldna-table" tabindex="0" '
        f'role="region" aria-label="Numbers behind the figure">{table}'
        "</div></details>"
    )


def setup(app) -> None:
    found = render.load_mime_renders()
    if ImageMime not in found:
        found.append(ImageMime)  # the list is cached: this is for good
