"""A training path over the surface that it was projected onto."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm, Normalize

from dldna.plotting.chosen_values import chosen_values
from dldna.plotting.planes import drawn, levels_of, shade
from dldna.plotting.style import own_axes
from dldna.records import Surface


def path(
    surface: Surface,
    ax: Axes | None = None,
    *,
    metric: str | None = None,
    scale: str = "auto",
    levels: int = 14,
    bar: bool = True,
) -> Axes:
    """Draw a path in colour, by its true losses, over grey contours.

    The colours are those of the checkpoints' own losses, not of the
    surface below them; the grey contours are the surface. A square marks
    the start, a star the end.

    Args:
        surface: a record with a trajectory.
        ax: where to draw; a new figure if None.
        metric: the contours are this metric of the surface instead of the
            loss; the title says so.
        scale: of the contours, see :func:`~dldna.plotting.shade`.
        levels: number of contour lines.
        bar: draw the path's colour bar.

    Returns:
        The axis.

    Raises:
        ValueError: the record has no path, or no losses along it, or not
            the metric; or as :func:`~dldna.plotting.shade`.

    Example:
        >>> x = np.array([-1.0, 0.0, 1.0])
        >>> z = np.add.outer(x**2, x**2)
        >>> way = {"path_coords": x[:2, None] * [1, 0], "path_losses": -x[:2]}
        >>> plane = Surface(x, x, z, z < 9, 0.0, **way)
        >>> path(plane).collections[1].get_array().tolist()  # its segments'
        [0.5]
    """
    chosen = chosen_values(surface, metric)
    x, y = surface.path_coords.T
    losses = surface.path_losses
    if not len(x) or len(losses) != len(x):
        raise ValueError(
            "the surface has no path with losses: make it with "
            "surface(..., trajectory=...)"
        )
    norm, words = shade(surface, scale, metric=metric)
    ax = own_axes(ax, (5.4, 4.4))
    a, b = np.meshgrid(surface.alphas, surface.betas, indexing="ij")
    z = drawn(chosen.values, norm)
    ax.grid(visible=False)
    if z.count() > 3 and z.max() > z.min():
        lines = ax.contour(
            a, b, z, levels=np.unique(levels_of(norm, levels)), norm=norm,
            cmap="gray", linewidths=0.9,
        )  # fmt: skip
        ax.clabel(lines, lines.levels[::3], fontsize=7, fmt="%.2g")
    own = _norm(losses)
    points = np.stack([x, y], axis=1)
    middle = np.nanmean([losses[:-1], losses[1:]], axis=0)
    colored = LineCollection(
        np.stack([points[:-1], points[1:]], axis=1), cmap="plasma", norm=own,
        linewidths=2.6, zorder=4,
    )  # fmt: skip
    colored.set_array(middle)
    ax.add_collection(colored)
    dots = ax.scatter(
        x, y, c=losses, cmap="plasma", norm=own, s=18, zorder=5,
        edgecolors="black", linewidths=0.4, plotnonfinite=True,
    )  # fmt: skip
    for k, marker in ((0, "s"), (-1, "*")):
        ax.plot(
            x[k], y[k], marker, color="white", mec="black",
            ms=8 if k == 0 else 13, zorder=6,
        )  # fmt: skip
    if bar:
        ax.figure.colorbar(dots, ax=ax, label="true loss of the checkpoint")
    if metric is not None:
        ax.set_title(f"contours: {words}")
    names = [*list(surface.directions), "", ""]
    ax.set_xlabel(rf"$\alpha$  {names[0]}".strip())
    ax.set_ylabel(rf"$\beta$  {names[1]}".strip())
    return ax


def _norm(losses: np.ndarray) -> Normalize:
    ok = losses[np.isfinite(losses)]
    low, high = (float(ok.min()), float(ok.max())) if ok.size else (0.0, 1.0)
    if low > 0 and high / low > 5:
        return LogNorm(low, high)
    return Normalize(low, max(high, low + 1e-12))
