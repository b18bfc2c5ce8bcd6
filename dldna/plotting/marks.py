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
        points: a :class:`~dldna.landscape.topology.CriticalPoints`.
        ax: an axis with the surface's coordinates.

    Returns:
        The axis.
    """
    for name, marker, color in KINDS:
        at = getattr(points, f"{name}_at")
        ax.scatter(
            at[:, 0], at[:, 1], s=46, marker=marker, color=color,
            edgecolors="black", linewidths=0.8, zorder=6,
            label=f"{len(at)} {name if len(at) != 1 else _ONE[name]}",
        )  # fmt: skip
    ax.legend(
        loc="upper right", frameon=True, framealpha=0.85, borderpad=0.3,
        handletextpad=0.2,
    )  # fmt: skip
    return ax


_ONE = {"minima": "minimum", "saddles": "saddle", "maxima": "maximum"}
