"""A surface that turns in the page: plotly."""

import numpy as np
from matplotlib.colors import LogNorm

from dldna import checks
from dldna.plotting.accessible import alt_text, words_of
from dldna.plotting.chosen_values import chosen_values
from dldna.plotting.planes import lift, shade
from dldna.records import Surface


def surface_3d(
    surface: Surface,
    *,
    metric: str | None = None,
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
        metric: draw this metric of the surface instead of the loss; then
            without the trajectory, whose losses are known alone.
        scale: see :func:`~dldna.plotting.planes.shade`.
        title: above the figure.
        height: in CSS pixels.
        caption: what everybody reads below the figure in the rendered page,
            which numbers it then; ``$...$`` is set as a formula.
        name: what ``{numref}`` calls the figure: ``"fig-valley"``.

    Returns:
        A ``plotly.graph_objects.Figure``; ``layout.meta`` holds its words.

    Raises:
        ValueError: a figure has a name and no caption; or as
            :func:`~dldna.plotting.planes.shade`.

    Example:
        >>> x = np.array([-1.0, 0.0, 1.0])
        >>> z = np.add.outer(x**2, x**2)
        >>> plane = Surface(x, x, z, z < 9, 0.0, {"accuracy": 1 - z / 2})
        >>> figure = surface_3d(plane, metric="accuracy")
        >>> figure.layout.scene.zaxis.title.text
        'accuracy'
        >>> figure.data[0].z[1].tolist(), figure.layout.meta["alt"][:24]
        ([0.5, 1.0, 0.5], 'accuracy on a plane of 3')
    """
    go = checks.need(
        "plotly.graph_objects", "interactive", "a surface that turns"
    )
    chosen = chosen_values(surface, metric)
    alt = f"{title} {alt_text(surface, metric)}".strip()
    told = words_of(alt, caption, name)
    norm, words = shade(surface, scale, metric=metric)
    log = isinstance(norm, LogNorm)
    z = lift(chosen.values, norm)
    names = [*list(surface.directions), "", ""]
    figure = go.Figure(
        go.Surface(
            x=surface.alphas.astype(np.float32),
            y=surface.betas.astype(np.float32),
            z=z.T.astype(np.float32),
            customdata=chosen.values.T.astype(np.float32),
            colorscale="Viridis",
            colorbar={"title": {"text": "log10 " * log + chosen.name}},
            hovertemplate=(
                "alpha %{x:.3f}<br>beta %{y:.3f}"
                f"<br>{chosen.name} %{{customdata:.4g}}<extra></extra>"
            ),
            contours={"z": {"show": True, "usecolormap": True, "width": 1}},
        )
    )
    if len(surface.path_coords) and metric is None:
        x, y = surface.path_coords.T
        known = len(chosen.path) == len(x)
        heights = np.zeros(len(x))
        if known:
            heights = lift(chosen.path, norm)
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
