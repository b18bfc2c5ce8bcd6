"""Eigenvalues and their density."""

import numpy as np
from matplotlib.axes import Axes

from dldna.plotting.style import COLORS, expect, own_axes
from dldna.records import Density, Spectrum

_NAMES = {"hessian": "Hessian", "gauss-newton": "Gauss-Newton matrix"}


def eigenvalues(spectrum: Spectrum, ax: Axes | None = None) -> Axes:
    """Draw eigenvalues by rank, with their spread over batches if known.

    Args:
        spectrum: the record.
        ax: where to draw; a new figure if None.

    Returns:
        The axis.

    Raises:
        TypeError: another record.

    Example:
        >>> pairs = np.array([3.0, -1.0]), np.eye(2), np.zeros(2)
        >>> ax = eigenvalues(Spectrum(*pairs, products=4))
        >>> ax.lines[0].get_ydata().tolist(), ax.get_ylabel()
        ([3.0, -1.0], 'eigenvalue of the Hessian')
    """
    expect(spectrum, Spectrum)
    ax = own_axes(ax)
    rank = np.arange(1, len(spectrum.eigenvalues) + 1)
    errors = spectrum.errors if len(spectrum.errors) == len(rank) else None
    ax.errorbar(
        rank,
        spectrum.eigenvalues,
        yerr=errors,
        fmt="o",
        color=COLORS[0],
        ecolor=COLORS[1],
        capsize=4,
    )
    ax.axhline(0, color="0.5", lw=0.8, ls="-")
    sizes = np.abs(spectrum.eigenvalues)
    falling = bool((sizes[1:] <= sizes[:-1] * (1 + 1e-6)).all())
    ax.set_xlabel("rank by absolute value" if falling else "rank")
    ax.set_ylabel(f"eigenvalue of the {_NAMES[spectrum.matrix]}")
    return ax


def density(
    grid: Density | np.ndarray,
    values: Axes | np.ndarray | None = None,
    ax: Axes | None = None,
    *,
    label: str | None = None,
    exact: np.ndarray | None = None,
) -> Axes:
    """Draw a spectral density on a logarithmic scale.

    Args:
        grid: the record; or (G,) eigenvalue axis.
        values: (G,) density, where no record is given; after a record the
            axis may stand here.
        ax: where to draw; a new figure if None.
        label: for the legend.
        exact: eigenvalues to mark on the axis, where they are known.

    Returns:
        The axis.

    Example:
        >>> at = np.linspace(-1, 1, 3)
        >>> ax = density(at, np.array([0.5, 1.0, 0.0]), exact=at[:2])
        >>> ax.lines[0].get_ydata().tolist(), ax.get_yscale()
        ([0.5, 1.0, 1e-12], 'log')
    """
    if isinstance(grid, Density):
        ax = values if ax is None else ax
        grid, values = grid.grid, grid.density
    ax = own_axes(ax)
    ax.semilogy(grid, np.maximum(values, 1e-12), label=label)
    if exact is not None:
        low = max(values[values > 0].min(initial=1e-10), 1e-8)
        ax.plot(
            exact, np.full(len(exact), low), "|", color="black", ls="",
            ms=10, label="exact eigenvalues",
        )  # fmt: skip
    ax.set_xlabel("eigenvalue")
    ax.set_ylabel("density")
    if ax.get_legend_handles_labels()[1]:
        ax.legend()
    return ax
