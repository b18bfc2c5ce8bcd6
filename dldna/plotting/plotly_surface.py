"""A surface that turns in the page: plotly."""

import numpy as np

from dldna import checks
from dldna.plotting.accessible import alt_text, words_of
from dldna.plotting.planes import lift, shade
from dldna.records import Surface


def surface_3d(
    surface: Surface,
    *,
    scale: str = "auto",
    title: str = "",
    height: int = 460,
    caption: str = "",
    name: str = "",
):
    """Draw a surface in three dimensions, to be turned with the mouse.

    With scale "log" the height is the decimal logarithm of the loss; with
    "clip" higher points are drawn at the cut. Both say so on the axis.
    Points that are not finite leave holes.

    Args:
        surface: the record.
        scale: see :func:`~dldna.plotting.planes.shade`.
        title: above the figure.
        height: in CSS pixels.
        caption: what everybody reads below the figure in the rendered page,
            which numbers it then; ``$...$`` is set as a formula.
        name: what ``{numref}`` calls the figure: ``"fig-valley"``.

    Returns:
        A ``plotly.graph_objects.Figure``; ``layout.meta`` holds its words.

    Raises:
        ValueError: a figure has a name and no caption.
    """
    go = checks.need(
        "plotly.graph_objects", "interactive", "a surface that turns"
    )
    told = words_of(f"{title} {alt_text(surface)}".strip(), caption, name)
    norm, words = shade(surface, scale)
    log = "log" in words
    z = lift(surface.losses, norm)
    names = [*list(surface.directions), "", ""]
    figure = go.Figure(
        go.Surface(
            x=surface.alphas.astype(np.float32),
            y=surface.betas.astype(np.float32),
            z=z.T.astype(np.float32),
            customdata=surface.losses.T.astype(np.float32),
            colorscale="Viridis",
            colorbar={"title": {"text": "log10 loss" if log else "loss"}},
            hovertemplate=(
                "alpha %{x:.3f}<br>beta %{y:.3f}"
                "<br>loss %{customdata:.4g}<extra></extra>"
            ),
            contours={"z": {"show": True, "usecolormap": True, "width": 1}},
        )
    )
    if len(surface.path_coords):
        x, y = surface.path_coords.T
        known = len(surface.path_losses) == len(x)
        heights = np.zeros(len(x))
        if known:
            heights = lift(surface.path_losses, norm)
        figure.add_trace(
            go.Scatter3d(
                x=x, y=y, z=heights, mode="lines+markers", name="path",
                line={"color": "black", "width": 4},
                marker={"size": 3, "color": "#D55E00"},
            )
        )  # fmt: skip
    figure.update_layout(
        title=title or None,
        height=height,
        meta=told,
        margin={"l": 0, "r": 0, "t": 40 if title else 10, "b": 0},
        showlegend=False,
        template="plotly_white",
        scene={
            "xaxis_title": f"alpha {names[0]}".strip(),
            "yaxis_title": f"beta {names[1]}".strip(),
            "zaxis_title": f"log10 {words}" if log else words,
            "aspectmode": "manual",
            "aspectratio": {"x": 1, "y": 1, "z": 0.75},
            "camera": {
                "eye": {"x": 1.5, "y": 1.4, "z": 0.95},
                "center": {"x": 0, "y": 0, "z": -0.1},
                "up": {"x": 0, "y": 0, "z": 1},
            },
        },
    )
    return figure
