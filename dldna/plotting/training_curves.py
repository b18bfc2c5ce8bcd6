"""Curves over steps and epochs, with the spread over seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from dldna.plotting.style import COLORS, DASHES, own_axes
from dldna.records import History


def curves(
    x: Sequence[float],
    columns: Mapping[str, Sequence[float]],
    ax: Axes | None = None,
    *,
    xlabel: str = "",
    ylabel: str = "",
    log: bool = False,
) -> Axes:
    """Draw named curves over one axis.

    Args:
        x: (T,) positions.
        columns: (T,) values by label.
        ax: where to draw; a new figure if None.
        xlabel, ylabel: labels.
        log: logarithmic y axis.

    Returns:
        The axis.
    """
    ax = own_axes(ax)
    for i, (label, y) in enumerate(columns.items()):
        color, dash = COLORS[i % 8], DASHES[i % 8]
        ax.plot(x, y, label=label, color=color, linestyle=dash)
    return _finish(ax, xlabel, ylabel, log)


def bands(
    x: Sequence[float],
    runs: Mapping[str, np.ndarray],
    ax: Axes | None = None,
    *,
    xlabel: str = "",
    ylabel: str = "",
    log: bool = False,
) -> Axes:
    """Draw the median over seeds and the range from lowest to highest.

    Args:
        x: (T,) positions.
        runs: (S, T) by label, one row for each seed. NaN is left out of
            the picture and counted in the label.
        ax: where to draw; a new figure if None.
        xlabel, ylabel: labels.
        log: logarithmic y axis.

    Returns:
        The axis.
    """
    ax = own_axes(ax)
    for i, (label, rows) in enumerate(runs.items()):
        rows = np.atleast_2d(np.asarray(rows, dtype=float))
        color, dash = COLORS[i % 8], DASHES[i % 8]
        bad = int((~np.isfinite(rows)).any(axis=1).sum())
        if bad:
            label = f"{label} ({bad} of {len(rows)} not finite)"
        rows = np.where(np.isfinite(rows), rows, np.nan)
        seen = np.isfinite(rows).any(axis=0)
        if not seen.any():
            ax.plot([], [], label=label, color=color, linestyle=dash)
            continue
        low, mid, high = np.full((3, rows.shape[1]), np.nan)
        low[seen] = np.nanmin(rows[:, seen], axis=0)
        mid[seen] = np.nanmedian(rows[:, seen], axis=0)
        high[seen] = np.nanmax(rows[:, seen], axis=0)
        ax.plot(x, mid, label=label, color=color, linestyle=dash)
        ax.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
    return _finish(ax, xlabel, ylabel, log)


def histories(
    runs: Mapping[str, Sequence[History]],
    column: str = "test_loss",
    ax: Axes | None = None,
    *,
    log: bool = False,
) -> Axes:
    """Draw one column of several runs, with the spread over seeds.

    Args:
        runs: for each label the histories of its seeds, of equal length.
        column: a field of :class:`~dldna.records.History`, or a metric.
        ax: where to draw; a new figure if None.
        log: logarithmic y axis.

    Returns:
        The axis.
    """

    def pick(h: History) -> np.ndarray:
        return h.metrics[column] if column in h.metrics else getattr(h, column)

    first = next(iter(runs.values()))[0]
    rows = {k: np.stack([pick(h) for h in hs]) for k, hs in runs.items()}
    words = column.replace("_", " ")
    x = first.epochs
    if column == "step_loss":
        x, words = np.arange(1, len(first.step_loss) + 1), "batch loss"
    return bands(
        x,
        rows,
        ax,
        xlabel="step" if column == "step_loss" else "epoch",
        ylabel=words,
        log=log,
    )


def rate_range(record: Any, ax: Axes | None = None) -> Axes:
    """Draw a learning-rate range test.

    Args:
        record: a :class:`dldna.training.RateRange`.
        ax: where to draw; a new figure if None.

    Returns:
        The axis; a vertical line stands at the suggested rate.
    """
    ax = own_axes(ax)
    seen = np.where(np.isfinite(record.losses), record.losses, np.nan)
    ax.plot(record.rates, seen, color=COLORS[0], alpha=0.35, label="batches")
    ax.plot(record.rates, record.smoothed, color=COLORS[0], label="smoothed")
    if np.isfinite(record.suggested):
        label = f"steepest fall: {record.suggested:.2g}"
        ax.axvline(
            record.suggested, color=COLORS[1], linestyle=DASHES[1], label=label
        )
    ax.set_xscale("log")
    return _finish(ax, "learning rate", "batch loss", False)


def _finish(ax: Axes, xlabel: str, ylabel: str, log: bool) -> Axes:
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    if log:
        ax.set_yscale("log")
    if ax.get_legend_handles_labels()[1]:
        ax.legend()
    return ax
