"""A tournament's scores and pairs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from dldna import checks
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
    found: Any, names: Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """Differences of all pairs, and which of them can be told apart.

    Args:
        found: the :class:`~dldna.training.Pair` of each pair, as
            ``tournament.pairs()`` gives them; or what
            :func:`~dldna.training.compare_all` returns.
        names: the methods, the best first; those of ``compare_all`` by
            default.
        ax: where to draw; a new figure if None.

    Returns:
        The axis. Colour and number are the difference of the method in
        the row over that in the column, in points, or of ``compare_all``
        in the scores' own unit; "=" stands where the pair cannot be told
        apart.

    Raises:
        TypeError: other pairs, or pairs without names.
        ValueError: a pair of a method that ``names`` has not.
    """
    cells = _cells(found)
    names = getattr(found, "order", None) if names is None else names
    if names is None:
        raise TypeError("give the names of the methods, the best first")
    ax = own_axes(ax)
    names = list(names)
    n = len(names)
    gaps = np.full((n, n), np.nan)
    for a, b, gap, words in cells:
        i, j = (names.index(checks.choice("method", k, names)) for k in (a, b))
        gaps[i, j] = gap
        strong = gap > 0.5 * max(cell[2] for cell in cells)
        ink = "black" if strong else "white"
        ax.text(j, i, words, ha="center", va="center", fontsize=9, color=ink)
    ax.imshow(gaps, cmap="viridis", vmin=0)
    ax.set_xticks(range(n), names, rotation=45, ha="right")
    ax.set_yticks(range(n), names)
    ax.grid(visible=False)
    return ax


def _cells(found: Any) -> list[tuple[str, str, float, str]]:
    """Two names, how far apart, and what to write, for each pair."""
    each, cells = getattr(found, "pairs", found), []
    for pair in each if isinstance(each, Sequence) else [found]:
        if hasattr(pair, "told_apart"):  # in the unit of the scores
            (a, b), gap = pair.names, abs(pair.difference)
            words = f"{gap:.3g}" if pair.told_apart else "="
        elif hasattr(pair, "distinguishable"):
            a, b, gap = pair.a, pair.b, 100 * pair.difference
            words = f"{gap:.1f}" if pair.distinguishable else "="
        else:
            raise TypeError(
                "this picture takes the pairs of a tournament, "
                "tournament.pairs(), or what compare_all returns, not a "
                f"{type(pair).__name__}"
            )
        cells.append((a, b, gap, words))
    return cells
