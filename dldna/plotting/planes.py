"""A surface as contours: the scale says what it does, no point is lost."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm, Normalize

from dldna import checks
from dldna.plotting.chosen_values import ChosenValues, chosen_values
from dldna.plotting.style import own_axes
from dldna.records import Surface

SCALES = ("auto", "linear", "log", "clip")


def shade(
    surface: Surface,
    scale: str = "auto",
    quantile: float = 0.9,
    *,
    metric: str | None = None,
):
    """Choose how losses, or the values of a metric, become colours.

    Args:
        surface: the record.
        scale: "linear"; "log"; "clip" (linear up to a quantile, everything
            above drawn in the top colour); "auto" takes "log" where the
            losses span more than a factor 20, else "linear", which it
            always takes for a metric.
        quantile: where "clip" cuts.
        metric: a name in ``surface.metrics``, to take instead of the loss.

    Returns:
        A pair: matplotlib norm, and the words for the colour bar.

    Raises:
        ValueError: "log", and no loss, or not every value of the metric,
            is greater than 0; or a metric that the surface has not.

    Example:
        >>> flat = np.zeros(2)
        >>> plane = Surface(flat, flat, np.array([[0.0, 1], [3, 9]]), flat, 0)
        >>> norm, words = shade(plane, "log")
        >>> norm.vmin, norm.vmax, words
        (1.0, 9.0, 'loss (log scale, floor 1)')
    """
    chosen = chosen_values(surface, metric)
    checks.choice("scale", scale, SCALES)
    name, z = chosen.name, chosen.values[np.isfinite(chosen.values)]
    low, high = (float(z.min()), float(z.max())) if z.size else (0.0, 1.0)
    if high <= low:
        high = low + 1e-12 + abs(low) * 1e-6
    if scale == "auto":
        wide = metric is None and low > 0 and high / low > 20
        scale = "log" if wide else "linear"
    if scale == "log":
        positive = z[z > 0]
        if z.size and len(positive) < (1 if metric is None else len(z)):
            what = "losses" if metric is None else f"values of {metric!r}"
            raise ValueError(
                f"a log scale needs {what} greater than 0; take scale='linear'"
            )
        floor = float(positive.min()) if positive.size else high
        words = f"{name} (log scale)"
        if low <= 0:
            words = f"{name} (log scale, floor {floor:.2g})"
        return LogNorm(floor, max(high, floor * 1.0001)), words
    if scale == "clip":
        cut = float(np.quantile(z, quantile)) if z.size else high
        cut = cut if cut > low else high
        above = int((z > cut).sum())
        words = f"{name} (clipped at {cut:.3g}: {above} points above)"
        return Normalize(low, cut), words
    return Normalize(low, high), name


def levels_of(norm: Normalize, count: int = 14) -> np.ndarray:
    """Contour levels evenly spaced on the colour scale."""
    return np.asarray(norm.inverse(np.linspace(0, 1, count)), dtype=float)


def drawn(losses: np.ndarray, norm: Normalize) -> np.ma.MaskedArray:
    """Losses on a colour scale: below its floor at it, not finite masked.

    Example:
        >>> drawn(np.array([-1.0, 5.0, np.inf]), LogNorm(0.1, 100.0)).tolist()
        [0.1, 5.0, None]
    """
    return np.ma.maximum(np.ma.masked_invalid(losses), norm.vmin)


def lift(losses: np.ndarray, norm: Normalize) -> np.ndarray:
    """Heights for losses: cut at the norm's ends, log10 on a log scale.

    Args:
        losses: of any shape; what is not finite becomes NaN.
        norm: from :func:`shade`.

    Returns:
        Heights of the same shape.

    Example:
        >>> lift(np.array([0.01, 1.0, 1e9, np.inf]), LogNorm(0.1, 100.0))
        array([-1.,  0.,  2., nan])
    """
    z = np.where(np.isfinite(losses), losses, np.nan)
    z = np.clip(z, norm.vmin, norm.vmax)
    return np.log10(z) if isinstance(norm, LogNorm) else z


def contour(
    surface: Surface,
    ax: Axes | None = None,
    *,
    metric: str | None = None,
    scale: str = "auto",
    levels: int = 14,
    path: bool = True,
    bar: bool = True,
) -> Axes:
    """Draw a surface as filled contours, with its trajectory if it has one.

    Points that are not finite are drawn grey and counted in the title;
    points not evaluated yet stay white.

    Args:
        surface: the record.
        ax: where to draw; a new figure if None.
        metric: draw this metric of the surface instead of the loss.
        scale: see :func:`shade`.
        levels: number of contour lines.
        path: draw the record's trajectory, coloured by its true loss, or
            white over a metric.
        bar: draw the colour bar.

    Returns:
        The axis.

    Raises:
        ValueError: the surface has no such metric; or as :func:`shade`.

    Example:
        >>> x = np.array([-1.0, 0.0, 1.0])
        >>> z = np.add.outer(x**2, x**2)
        >>> plane = Surface(x, x, z, z < 9, 0.0, {"accuracy": 1 - z / 2})
        >>> for ax in (contour(plane), contour(plane, metric="accuracy")):
        ...     ax.figure.axes[1].get_ylabel()  # of the colour bar
        'loss'
        'accuracy'
    """
    chosen = chosen_values(surface, metric)
    norm, words = shade(surface, scale, metric=metric)
    ax = own_axes(ax, (5.4, 4.4))
    a, b = np.meshgrid(surface.alphas, surface.betas, indexing="ij")
    z = drawn(chosen.values, norm)
    top = levels_of(norm, levels)
    ax.grid(visible=False)
    filled = ax.pcolormesh(
        a, b, z, norm=norm, cmap="viridis", shading="gouraud"
        if not z.mask.any() else "nearest", rasterized=True,
    )  # fmt: skip
    if z.count() > 3 and z.max() > z.min():
        ax.contour(
            a, b, z, levels=np.unique(top), colors="white",
            linewidths=0.5, alpha=0.7,
        )  # fmt: skip
    if chosen.bad.any():
        grey = np.ma.masked_where(~chosen.bad, np.ones(z.shape))
        ax.pcolormesh(
            a, b, grey, cmap=ListedColormap(["0.55"]), shading="nearest"
        )
        ax.set_title(f"{int(chosen.bad.sum())} points not finite (grey)")
    ax.plot(0, 0, marker="+", color="white", ms=11, mew=2)
    ax.plot(0, 0, marker="+", color="black", ms=10, mew=1)
    if path and len(surface.path_coords):
        _draw_path(ax, surface, chosen, norm)
    if bar:
        ends = "max" if scale == "clip" else "neither"
        ax.figure.colorbar(filled, ax=ax, label=words, extend=ends)
    names = [*list(surface.directions), "", ""]
    ax.locator_params(nbins=6)  # labels that do not meet
    ax.set_xlabel(rf"$\alpha$  {names[0]}".strip())
    ax.set_ylabel(rf"$\beta$  {names[1]}".strip())
    return ax


def _draw_path(
    ax: Axes, surface: Surface, chosen: ChosenValues, norm: Normalize
) -> None:
    x, y = surface.path_coords.T
    ax.plot(x, y, color="white", lw=2.2, ls="-", zorder=3)
    ax.plot(x, y, color="black", lw=0.9, ls="-", zorder=4)
    colored = len(chosen.path) == len(x)
    ax.scatter(
        x,
        y,
        c=drawn(chosen.path, norm) if colored else "white",
        norm=norm if colored else None,
        cmap="viridis" if colored else None,
        edgecolors="black",
        linewidths=0.6,
        s=22,
        zorder=5,
    )
