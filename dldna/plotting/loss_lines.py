"""Losses along a line."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from dldna.checks import choice
from dldna.plotting.style import COLORS, DASHES, expect, own_axes
from dldna.records import Line


def line(
    lines: Line | Mapping[str, Line],
    ax: Axes | None = None,
    *,
    metric: str | None = None,
    log: bool = False,
) -> Axes:
    """Draw the loss along one or several lines.

    Points that are not finite are marked by crosses on the upper edge, so
    that no failure is hidden.

    Args:
        lines: a record, or records by label.
        ax: where to draw; a new figure if None.
        metric: draw this metric instead of the loss.
        log: logarithmic y axis.

    Returns:
        The axis.

    Raises:
        TypeError: another record.
        ValueError: a line has no such metric.

    Example:
        >>> x = np.array([0.0, 0.5, 1.0])
        >>> one = Line(x, x**2, {"accuracy": 1 - x})
        >>> ax = line({"one": one, "again": one}, metric="accuracy")
        >>> ax.get_ylabel(), ax.lines[1].get_ydata().tolist()
        ('accuracy', [1.0, 0.5, 0.0])
    """
    named = lines if isinstance(lines, Mapping) else {"": lines}
    for one in named.values():
        expect(one, Line)
        if metric is not None:
            choice("metric", metric, one.metrics)
    ax = own_axes(ax)
    for i, (label, r) in enumerate(named.items()):
        y = r.losses if metric is None else r.metrics[metric]
        ok = np.isfinite(y)
        color, dash = COLORS[i % 8], DASHES[i % 8]
        ax.plot(r.alphas[ok], y[ok], label=label or None, color=color, ls=dash)
        if not ok.all():
            top = np.ones((~ok).sum())
            ax.plot(
                r.alphas[~ok],
                top,
                "x",
                color=color,
                transform=ax.get_xaxis_transform(),
                clip_on=False,
                label=f"{label} not finite".strip(),
            )
    ax.set_xlabel(r"position $\alpha$ on the line")
    ax.set_ylabel(metric or "loss")
    if log:
        ax.set_yscale("log")
    if ax.get_legend_handles_labels()[1]:
        ax.legend()
    return ax
