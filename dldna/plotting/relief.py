"""A surface in three dimensions as a still picture, for a page or a table."""

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.colors import LogNorm
from mpl_toolkits.mplot3d import Axes3D

from dldna.plotting.chosen_values import chosen_values
from dldna.plotting.planes import levels_of, lift, shade
from dldna.records import Surface


def contours_3d(
    surface: Surface,
    ax: Axes3D | None = None,
    *,
    metric: str | None = None,
    scale: str = "auto",
    levels: int = 18,
) -> Axes3D:
    """Draw each contour line at the height of its loss.

    Args:
        surface: the record. On a log scale heights are log10; clipped
            losses stand at the cut; points that are not finite are
            counted in the title.
        ax: a 3-D axis; a new figure if None.
        metric: draw this metric of the surface instead of the loss; then
            without the trajectory, whose losses are known alone.
        scale: see :func:`~dldna.plotting.shade`.
        levels: number of contour lines.

    Returns:
        The axis.
    """
    ax, chosen, norm, words = _axis(surface, ax, scale, metric)
    a, b = np.meshgrid(surface.alphas, surface.betas, indexing="ij")
    z = np.ma.masked_invalid(lift(chosen.values, norm))
    if z.count() > 3 and z.max() > z.min():
        heights = np.unique(lift(levels_of(norm, levels), norm))
        ax.contour(a, b, z, levels=heights, cmap="viridis", linewidths=1.1)
    return _finish(surface, chosen, ax, norm, words)


def mesh_3d(
    surface: Surface,
    ax: Axes3D | None = None,
    *,
    metric: str | None = None,
    scale: str = "auto",
) -> Axes3D:
    """Draw the surface as a coloured mesh, each sample a vertex.

    Args:
        surface: the record; heights as in :func:`contours_3d`.
        ax: a 3-D axis; a new figure if None.
        metric: as in :func:`contours_3d`.
        scale: see :func:`~dldna.plotting.shade`.

    Returns:
        The axis.
    """
    ax, chosen, norm, words = _axis(surface, ax, scale, metric)
    a, b = np.meshgrid(surface.alphas, surface.betas, indexing="ij")
    z = lift(chosen.values, norm)
    ax.plot_surface(
        a, b, z, cmap="viridis", rcount=len(a), ccount=len(b[0]),
        linewidth=0.2, edgecolor="0.3", antialiased=True,
    )  # fmt: skip
    return _finish(surface, chosen, ax, norm, words)


def _axis(surface, ax, scale, metric):
    chosen = chosen_values(surface, metric)
    norm, words = shade(surface, scale, metric=metric)
    if ax is None:
        ax = plt.figure(figsize=(5, 4.4)).add_subplot(projection="3d")
    return ax, chosen, norm, words


def _finish(surface, chosen, ax, norm, words) -> Axes3D:
    if len(surface.path_coords):
        x, y = surface.path_coords.T
        if len(chosen.path) == len(x):
            heights = lift(chosen.path, norm)
            ax.plot(x, y, heights, color="black", lw=1.4, zorder=10)
    bad = int(chosen.bad.sum())
    if bad:
        ax.set_title(f"{bad} points not finite (holes)")
    ax.set_xlabel(r"$\alpha$")
    ax.set_ylabel(r"$\beta$")
    log = isinstance(norm, LogNorm)
    ax.set_zlabel(f"log10 {words}" if log else words)
    ax.view_init(elev=32, azim=-60)
    ax.set_box_aspect(None, zoom=0.82)  # or the label of z is cut off
    return ax
