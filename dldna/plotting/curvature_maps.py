"""A convexity map as colours: how much of the curvature is downwards."""

import numpy as np
from matplotlib.axes import Axes

from dldna.plotting.style import own_axes
from dldna.records import ConvexityMap


def convexity(
    record: ConvexityMap,
    ax: Axes | None = None,
    *,
    top: float | None = None,
    path: bool = True,
    bar: bool = True,
) -> Axes:
    """Draw the ratio of the extreme curvatures at each point of a plane.

    Each point is a cell of one colour, and nothing is smoothed. Points that
    are not finite are grey and counted in the title.

    Args:
        record: the map.
        ax: where to draw; a new figure if None.
        top: the ratio of the last colour; by default the largest one. Give
            maps that are compared the same.
        path: draw the record's trajectory.
        bar: draw the colour bar.

    Returns:
        The axis.

    Raises:
        ValueError: ``top`` is not positive.
    """
    if top is not None and not top > 0:
        raise ValueError(f"top must be a ratio above 0, not {top!r}")
    ax = own_axes(ax, (5.4, 4.4))
    ratio = np.ma.masked_invalid(record.ratio)
    highest = float(ratio.max()) if ratio.count() else 1.0
    end = top or highest or 1.0
    a, b = np.meshgrid(record.alphas, record.betas, indexing="ij")
    ax.grid(visible=False)
    ax.set_facecolor("0.55")
    drawn = ax.pcolormesh(
        a, b, ratio, vmin=0, vmax=end, cmap="magma", shading="nearest",
        rasterized=True,
    )  # fmt: skip
    if ratio.mask.any():
        lost = int(np.ma.count_masked(ratio))
        ax.set_title(f"{lost} points not finite (grey)")
    ax.plot(0, 0, marker="+", color="white", ms=11, mew=2.5)
    ax.plot(0, 0, marker="+", color="black", ms=10, mew=1)
    if path and len(record.path_coords):
        x, y = record.path_coords.T
        ax.plot(x, y, color="white", lw=2.2, marker="o", ms=5, ls="-")
        ax.plot(x, y, color="black", lw=0.9, marker="o", ms=3, ls="-")
    if bar:
        words = r"$|\lambda_{\min}/\lambda_{\max}|$"
        more = "max" if highest > end else "neither"
        ax.figure.colorbar(drawn, ax=ax, label=words, extend=more)
    names = [*record.directions, "", ""]
    ax.locator_params(nbins=6)
    ax.set_xlabel(rf"$\alpha$  {names[0]}".strip())
    ax.set_ylabel(rf"$\beta$  {names[1]}".strip())
    return ax
