"""A tournament's scores and pairs."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from dldna.plotting.style import COLORS, own_axes


def scores(
    runs: Mapping[str, Sequence[float]],
    letters: Mapping[str, str] | None = None,
    ax: Axes | None = None,
    *,
    xlabel: str = "test accuracy (%)",
) -> Axes:
    """One row for each method: a dot for each seed, a bar at the mean.

    Args:
        runs: for each method its scores, the best method first.
        letters: drawn behind the dots; methods that share a letter
            cannot be told apart.
        ax: where to draw; a new figure if None.
        xlabel: what the scores are.

    Returns:
        The axis.
    """
    ax = own_axes(ax)
    for i, (name, values) in enumerate(runs.items()):
        color = COLORS[i % 8]
        values = np.asarray(values, dtype=float)
        lift = np.linspace(-0.18, 0.18, len(values))
        ax.plot(values, i + lift, "o", ms=4, color=color, alpha=0.8)
        mean = values.mean()
        ax.plot([mean, mean], [i - 0.32, i + 0.32], "-", color=color, lw=2.5)
        if letters is not None:
            ax.annotate(
                letters[name], (1.01, i), va="center",
                xycoords=("axes fraction", "data"),
            )  # fmt: skip
    ax.set_yticks(range(len(runs)), list(runs))
    ax.set_ylim(len(runs) - 0.5, -0.5)
    ax.set_xlabel(xlabel)
    return ax


def pairs(
    found: Sequence, names: Sequence[str], ax: Axes | None = None
) -> Axes:
    """Differences of all pairs, and which of them can be told apart.

    Args:
        found: the :class:`~dldna.training.Pair` of each pair.
        names: the methods, the best first.
        ax: where to draw; a new figure if None.

    Returns:
        The axis. Colour and number are the difference in points of the
        method in the row over that in the column; "=" stands where the
        pair cannot be told apart.
    """
    ax = own_axes(ax)
    names = list(names)
    n = len(names)
    gaps = np.full((n, n), np.nan)
    for pair in found:
        i, j = names.index(pair.a), names.index(pair.b)
        gaps[i, j] = 100 * pair.difference
        words = f"{gaps[i, j]:.1f}" if pair.distinguishable else "="
        strong = gaps[i, j] > 50 * max(p.difference for p in found)
        ink = "black" if strong else "white"
        ax.text(j, i, words, ha="center", va="center", fontsize=9, color=ink)
    ax.imshow(gaps, cmap="viridis", vmin=0)
    ax.set_xticks(range(n), names, rotation=45, ha="right")
    ax.set_yticks(range(n), names)
    ax.grid(visible=False)
    return ax
