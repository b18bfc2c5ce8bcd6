"""Several paths over one surface, each in its own colour."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import Normal, Stroke

from dldna.plotting.planes import contour
from dldna.plotting.style import COLORS, MARKERS, own_axes
from dldna.records import Surface

_ORDER = (1, 6, 3, 5, 4, 2, 0, 7)  # those that stand out first


def walks(
    surface: Surface,
    paths: Mapping[str, np.ndarray],
    ax: Axes | None = None,
    *,
    goal: Sequence[float] | None = None,
    metric: str | None = None,
    scale: str = "auto",
    bar: bool = True,
    legend: bool = True,
) -> Axes:
    """Draw paths in the coordinates of a surface, over its contours.

    A square marks each start, the path's own marker its end. What leaves
    the window is cut off, and the legend says so.

    Args:
        surface: a record whose coordinates are those of the paths.
        paths: points (T, 2) by name.
        ax: where to draw; a new figure if None.
        goal: a point to mark by a star.
        metric: the contours are this metric of the surface instead of the
            loss.
        scale: of the contours, see :func:`~dldna.plotting.shade`.
        bar: draw the colour bar.
        legend: name the paths.

    Returns:
        The axis.
    """
    ax = own_axes(ax, (5.4, 4.4))
    contour(surface, ax, metric=metric, scale=scale, bar=bar, path=False)
    low = [surface.alphas[0], surface.betas[0]]
    high = [surface.alphas[-1], surface.betas[-1]]
    halo = [Stroke(linewidth=3.2, foreground="white"), Normal()]
    for k, (name, points) in enumerate(paths.items()):
        points = np.asarray(points)
        inside = ((points >= low) & (points <= high)).all(1)
        color = COLORS[_ORDER[k % len(_ORDER)]]
        ax.plot(
            *points.T, color=color, ls="-", lw=1.6, path_effects=halo,
            label=name if inside.all() else f"{name} (leaves)", zorder=4,
            marker=MARKERS[k % len(MARKERS)], markevery=[len(points) - 1],
            ms=8, mec="white",
        )  # fmt: skip
        ax.plot(*points[0], "s", color="white", mec="black", ms=6, zorder=6)
    if goal is not None:
        ax.plot(*goal, "*", color="white", mec="black", ms=13, zorder=5)
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    if len(surface.directions) == 2:
        ax.set(xlabel=surface.directions[0], ylabel=surface.directions[1])
    if legend and paths:
        ax.legend(loc="upper right", frameon=True, framealpha=0.85, fontsize=8)
    return ax
