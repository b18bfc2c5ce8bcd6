"""Minima, saddles and maxima, marked on a surface."""

from matplotlib.axes import Axes

KINDS = (
    ("minima", "v", "#56B4E9"),
    ("saddles", "X", "#E69F00"),
    ("maxima", "^", "#D55E00"),
)


def critical_points(points, ax: Axes) -> Axes:
    """Mark critical points on an axis that shows their surface.

    Minima are triangles that point down, maxima triangles that point up,
    saddles crosses; the legend counts each kind.

    Args:
        points: a :class:`~dldna.landscape.shape.topology.CriticalPoints`.
        ax: an axis with the surface's coordinates.

    Returns:
        The axis.
    """
    places = {name: getattr(points, f"{name}_at") for name, *_ in KINDS}
    size = 46 if sum(map(len, places.values())) < 60 else 14
    for name, marker, color in KINDS:
        at = places[name]
        ax.scatter(
            at[:, 0], at[:, 1], s=size, marker=marker, color=color,
            edgecolors="black", linewidths=0.8, zorder=6,
            label=f"{len(at)} {name if len(at) != 1 else _ONE[name]}",
        )  # fmt: skip
    legend = ax.legend(
        loc="upper right", frameon=True, framealpha=0.85, borderpad=0.3,
        handletextpad=0.2,
    )  # fmt: skip
    legend.set_zorder(7)
    return ax


_ONE = {"minima": "minimum", "saddles": "saddle", "maxima": "maximum"}
