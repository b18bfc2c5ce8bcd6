"""Checkpoints as points, in their order, with the null model beside them."""

from matplotlib.axes import Axes

from dldna.plotting.style import COLORS, MARKERS, own_axes
from dldna.records import Record


def weight_space(
    record: Record, ax: Axes | None = None, *, null: bool = False
) -> Axes:
    """Draw checkpoints of one or several runs in two dimensions.

    Points of one run are joined in the order of their numbers, except
    where the record found a jump: there the line is interrupted and the
    title says so. The last point of each run is filled with black.

    Args:
        record: an :class:`~dldna.landscape.paths.weight_space.Embedding` with
            two axes or more.
        ax: where to draw; a new figure if None.
        null: draw the random walk with the same steps instead.

    Returns:
        The axis.

    Raises:
        ValueError: the record has one axis only.
    """
    xy = record.null_coords if null else record.coords
    if xy.shape[1] < 2:
        raise ValueError("two axes are needed: make the record with k=2")
    ax = own_axes(ax, (4.4, 4))
    series = list(record.series)
    names = ["random walk"] if null else list(dict.fromkeys(series))
    for i, name in enumerate(names):
        rows = [r for r in range(len(xy)) if null or series[r] == name]
        color, marker = COLORS[i % 8], MARKERS[i % 8]
        cut = [] if null else [int(j) for j in record.jumps]
        for piece in _pieces(rows, cut):
            ax.plot(*xy[piece, :2].T, color=color, lw=0.8, ls="-", alpha=0.7)
        ax.plot(
            *xy[rows, :2].T, marker, color=color, ms=4.5, ls="none", label=name
        )
        ax.plot(*xy[rows[-1], :2], marker, color="black", ms=6)
        for r in (rows[0], rows[-1]):
            ax.annotate(
                str(r) if null else record.labels[r], xy[r, :2], fontsize=7,
                xytext=(4, 4), textcoords="offset points",
            )  # fmt: skip
    shares = record.null_explained if null else record.explained
    for axis, set_label in enumerate((ax.set_xlabel, ax.set_ylabel)):
        if record.method == "pca":
            share = 100 * shares[axis]
            set_label(f"component {axis + 1} ({share:.0f} % of the variance)")
        else:
            set_label(f"t-SNE {axis + 1} (no unit)")
    if len(record.jumps) and not null:
        ax.set_title(f"{len(record.jumps)} jump(s): more than one run?")
    elif len(names) > 1:
        ax.legend()
    ax.margins(0.12)
    return ax


def _pieces(rows: list[int], jumps: list[int]) -> list[list[int]]:
    """Split rows after each jump."""
    pieces = [[]]
    for r in rows:
        pieces[-1].append(r)
        if r in jumps:
            pieces.append([])
    return [p for p in pieces if p]
