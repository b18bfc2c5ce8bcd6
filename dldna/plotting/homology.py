"""Valleys and rings of a surface: bars, diagrams, trees, and where."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from dldna.plotting.planes import contour
from dldna.plotting.style import COLORS, own_axes
from dldna.records import Record, Surface

NAMES = ("valleys ($H_0$)", "rings ($H_1$)")


def _finite(record: Record) -> tuple[float, float]:
    """Lowest and highest finite end of the bars."""
    ends = np.concatenate([record.h0.ravel(), record.h1.ravel()])
    ends = ends[np.isfinite(ends)]
    return (float(ends.min()), float(ends.max())) if ends.size else (0.0, 1.0)


def barcode(
    record: Record,
    ax: Axes | None = None,
    *,
    most: int = 30,
    log: bool = False,
) -> Axes:
    """Draw a persistence diagram as bars from birth to death.

    Bars that never die end in an arrow. Where there are more bars of a
    kind than ``most``, the longest are drawn and the label says how many.

    Args:
        record: a :class:`~dldna.landscape.shape.topology.Diagram`.
        ax: where to draw; a new figure if None.
        most: at most so many bars of each kind.
        log: logarithmic loss axis.

    Returns:
        The axis.
    """
    ax = own_axes(ax, (5.4, 3.2))
    low, high = _finite(record)
    end = high + 0.08 * (high - low or 1)
    y = 0
    for k, bars in enumerate((record.h0, record.h1)):
        shown = bars[:most]
        label = f"{NAMES[k]}: {len(bars)}"
        if len(shown) < len(bars):
            label += f", the longest {most} drawn"
        for birth, death in shown:
            last = death if np.isfinite(death) else end
            ax.plot([birth, last], [y, y], color=COLORS[k], lw=2.5,
                    ls="-", solid_capstyle="butt", label=label)  # fmt: skip
            if not np.isfinite(death):
                ax.plot(end, y, ">", color=COLORS[k], ms=7, clip_on=False)
            label, y = None, y + 1
    ax.set(yticks=[], ylim=(y - 0.3, -0.7), xlabel="loss")
    if log:
        ax.set_xscale("log")
    if ax.get_legend_handles_labels()[1]:
        ax.legend()
    return ax


def persistence(
    record: Record, ax: Axes | None = None, *, error: float = 0.0
) -> Axes:
    """Draw a persistence diagram: birth across, death up.

    A point's height above the diagonal is its persistence. Points that
    never die stand on a line of their own at the top.

    Args:
        record: a :class:`~dldna.landscape.shape.topology.Diagram`.
        ax: where to draw; a new figure if None.
        error: bound on the error of the losses; points in the grey strip,
            whose persistence is up to twice that, need not be real.

    Returns:
        The axis.
    """
    ax = own_axes(ax, (4.2, 4))
    low, high = _finite(record)
    span = high - low or 1.0
    top, edge = high + 0.12 * span, (low - 0.05 * span, high + 0.05 * span)
    ax.plot(edge, edge, color="0.5", lw=0.8, ls="-")
    if error:
        ax.fill_between(edge, edge, np.add(edge, 2 * error), color="0.85",
                        lw=0, label=r"within $2\times$ error")  # fmt: skip
    for k, bars in enumerate((record.h0, record.h1)):
        if not len(bars):
            continue
        ends = np.where(np.isfinite(bars[:, 1]), bars[:, 1], top)
        ax.plot(bars[:, 0], ends, "o^"[k], color=COLORS[k], ms=5,
                ls="none", alpha=0.8, label=NAMES[k])  # fmt: skip
    ax.axhline(top, color="0.5", lw=0.8, ls=":")
    ax.annotate("never", (edge[1], top), fontsize=8, ha="right", va="bottom")
    ax.set(xlabel="birth (loss)", ylabel="death (loss)", aspect="equal")
    ax.set(xlim=edge, ylim=(edge[0], top + 0.1 * span))
    if ax.get_legend_handles_labels()[1]:
        ax.legend(loc="lower right")
    return ax


def branches(record: Record, ax: Axes | None = None) -> Axes:
    """Draw a merge tree upright: minima below, joints at the saddles.

    Args:
        record: a :class:`~dldna.landscape.shape.topology.MergeTree`.
        ax: where to draw; a new figure if None.

    Returns:
        The axis.
    """
    ax = own_axes(ax, (4.2, 3.6))
    ends = np.concatenate([record.births, record.deaths])
    ends = ends[np.isfinite(ends)]
    top = ends.max() + 0.1 * (np.ptp(ends) or 1.0)
    place = {b: x for x, b in enumerate(_in_order(record.parents))}
    for b, x in place.items():
        birth, death = record.births[b], record.deaths[b]
        last = death if np.isfinite(death) else top
        ax.plot([x, x], [birth, last], color=COLORS[0], lw=2, ls="-")
        ax.plot(x, birth, "v", color=COLORS[0], ms=7)
        ax.annotate(str(b + 1), (x, birth), xytext=(0, -13), fontsize=8,
                    textcoords="offset points", ha="center")  # fmt: skip
        if record.parents[b] >= 0:
            to = place[int(record.parents[b])]
            ax.plot([x, to], [death, death], color=COLORS[1], lw=1.5, ls="-")
            ax.plot(to, death, "x", color=COLORS[1], ms=6)
    ax.set(xticks=[], ylabel="loss", xlim=(-0.6, len(place) - 0.4))
    ax.margins(y=0.12)
    return ax


def _in_order(parents: Sequence[int]) -> list[int]:
    """Branches so that each stands behind its parent."""
    children: dict[int, list[int]] = {}
    for b, p in enumerate(parents):
        children.setdefault(int(p), []).append(b)
    order, stack = [], children.get(-1, [])[::-1]
    while stack:
        order.append(stack.pop())
        stack += children.get(order[-1], [])[::-1]
    return order


def valleys(
    surface: Surface,
    record: Record,
    ax: Axes | None = None,
    *,
    ways: Sequence[np.ndarray] = (),
    metric: str | None = None,
    scale: str = "auto",
) -> Axes:
    """Draw a merge tree where it lies: on the surface.

    Triangles are minima, numbered by persistence; crosses are the saddles
    at which a valley joins a deeper one.

    Args:
        surface: the surface that the tree was made from.
        record: its :class:`~dldna.landscape.shape.topology.MergeTree`.
        ax: where to draw; a new figure if None.
        ways: (K, 2) ways out of valleys, from
            :func:`dldna.landscape.shape.topology.way_out`.
        metric: draw the tree over this metric of the surface instead of
            the loss.
        scale: see :func:`~dldna.plotting.planes.shade`.

    Returns:
        The axis.
    """
    ax = contour(surface, ax, metric=metric, scale=scale, path=False)
    for way in ways:
        ax.plot(*way.T, color="white", lw=2.4, ls="-")
        ax.plot(*way.T, color=COLORS[1], lw=1.3, ls="-")
    x, y = record.saddles_at[record.parents >= 0].T
    ax.plot(x, y, "X", color=COLORS[1], mec="white", ms=8, ls="none")
    for b, (x, y) in enumerate(record.minima_at, start=1):
        ax.plot(x, y, "v", color=COLORS[0], mec="white", ms=9)
        ax.annotate(str(b), (x, y), color="white", fontsize=9, weight="bold",
                    xytext=(5, 5), textcoords="offset points")  # fmt: skip
    return ax
