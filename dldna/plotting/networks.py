"""A small network drawn as circles and arrows."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from dldna.plotting.style import COLORS, own_axes


def network(
    layers: Sequence[Sequence[str]],
    edges: Sequence[tuple[str, str, str]],
    ax: Axes | None = None,
) -> Axes:
    """Draw signals by layer, with the weights on the arrows.

    Args:
        layers: names of the signals, the inputs first, as
            ``ComputationalGraph.layers()`` gives them.
        edges: (from, to, weight), as ``ComputationalGraph.edges()`` gives
            them.
        ax: where to draw; a new figure if None.

    Returns:
        The axis, without ticks.
    """
    ax = own_axes(ax, (6.4, 3.2))
    where = {}
    for i, names in enumerate(layers):
        for j, name in enumerate(names):
            where[name] = (2.2 * i, (len(names) - 1) / 2 - j)
    for start, end, weight in edges:
        (x0, y0), (x1, y1) = where[start], where[end]
        ax.annotate(
            "",
            (x1, y1),
            (x0, y0),
            arrowprops={
                "arrowstyle": "-|>",
                "color": "0.5",
                "shrinkA": 14,
                "shrinkB": 14,
            },
        )
        if weight:
            ax.text(
                x0 + 0.32 * (x1 - x0),
                y0 + 0.32 * (y1 - y0),
                weight,
                color=COLORS[1],
                fontsize=9,
                ha="center",
                va="center",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
            )
    for name, (x, y) in where.items():
        first = name in layers[0]
        ax.text(
            x,
            y,
            name,
            ha="center",
            va="center",
            bbox={
                "boxstyle": "circle,pad=0.35",
                "facecolor": "white" if first else "#DCEBF5",
                "edgecolor": COLORS[0],
            },
        )
    xs, ys = zip(*where.values(), strict=True)
    ax.set_xlim(min(xs) - 0.5, max(xs) + 0.5)
    ax.set_ylim(min(ys) - 0.5, max(ys) + 0.5)
    ax.set_axis_off()
    return ax
