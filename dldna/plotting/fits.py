"""Formulas fitted to a surface, by what they leave unexplained."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from dldna.plotting.planes import contour
from dldna.records import Surface


def well_fits(
    surface: Surface, wells: Any, axes: Sequence[Axes] | None = None
) -> Sequence[Axes]:
    """Draw a surface beside the residuals of both fits, on one scale.

    Args:
        surface: the surface.
        wells: its :class:`~dldna.landscape.shape.wells.Wells`.
        axes: three axes; a new figure if None.

    Returns:
        The three axes.
    """
    if axes is None:
        axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained")[1]
    contour(surface, axes[0], scale="linear", path=False)
    axes[0].set_title("measured")
    pair = (wells.gaussian, wells.quadratic)
    most = max(float(np.nanmax(np.abs(f.residuals))) for f in pair) or 1.0
    a, b = np.meshgrid(surface.alphas, surface.betas, indexing="ij")
    for ax, fit in zip(axes[1:], pair, strict=True):
        ax.grid(visible=False)
        drawn = ax.pcolormesh(
            a, b, np.ma.masked_invalid(fit.residuals), cmap="RdBu_r",
            vmin=-most, vmax=most, shading="nearest", rasterized=True,
        )  # fmt: skip
        ax.set_title(f"minus {fit.form}: $R^2$ = {fit.r2:.4f}")
        ax.plot(*fit.bottom, "+", color="black", ms=9)
        ax.set(xlim=axes[0].get_xlim(), ylim=axes[0].get_ylim())
        ax.locator_params(nbins=6)  # labels that do not meet
        ax.set_xlabel(axes[0].get_xlabel())
    axes[2].figure.colorbar(drawn, ax=axes[2], label="residual")
    return axes
