"""A surface or a line by scale: energies of wavelets, and where they are."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from dldna.plotting.style import COLORS, own_axes
from dldna.records import Record


def energies(
    records: Record | Mapping[str, Record], ax: Axes | None = None
) -> Axes:
    """Draw the share of the detail energy at each level of wavelets.

    Args:
        records: one :class:`~dldna.landscape.shape.scales.Scales`, or several
            by label. Shares of one record add up to 1.
        ax: where to draw; a new figure if None.

    Returns:
        The axis.
    """
    ax = own_axes(ax)
    named = records if isinstance(records, Mapping) else {"": records}
    width, deepest = 0.8 / len(named), 0
    for i, (label, r) in enumerate(named.items()):
        levels = np.arange(1, len(r.energies) + 1)
        deepest = max(deepest, len(levels))
        total = r.energies.sum()
        shares = r.energies / total if total > 0 else r.energies
        ax.bar(
            levels + (i - (len(named) - 1) / 2) * width, shares, width,
            color=COLORS[i % 8], edgecolor="white", label=label or None,
            hatch=("", "//", "..", "xx")[i % 4],
        )  # fmt: skip
    ticks = range(1, deepest + 1)
    ax.set_xticks(ticks, [f"{j}\n({2**j} points)" for j in ticks])
    ax.set(xlabel="level, 1 is the finest", ylabel="share of detail energy")
    if ax.get_legend_handles_labels()[1]:  # above: bars may reach anywhere
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1))
    return ax


def pyramid(record: Record, ax: Axes | None = None) -> Axes:
    r"""Draw a surface's wavelet coefficients where they lie, level by level.

    At the lower left is the approximation, less its mean. To the right of
    it is what changes along alpha, above it along beta, in the corner
    along both; the next finer level lies around these, twice as large.
    Each level is divided by its largest coefficient: colours compare
    places, not levels, which :func:`energies` does.

    Args:
        record: a :class:`~dldna.landscape.shape.scales.Scales`.
        ax: where to draw; a new figure if None.

    Returns:
        The axis.

    Example:
        >>> from dldna.landscape.shape.scales import decompose
        >>> ax = pyramid(decompose(np.indices((8, 8)).sum(0) % 2, levels=2))
        >>> [text.get_text() for text in ax.texts]
        ['2', '1']

    References:
        Mallat, A theory for multiresolution signal decomposition, IEEE
        PAMI 11(7), 1989 (the arrangement).
    """
    ax = own_axes(ax, (5, 4.2))
    ax.grid(visible=False)
    canvas = _within_one(record.approximation - record.approximation.mean())
    for level in range(len(record.energies), 0, -1):
        along, across, both = _within_one(np.stack(record.detail(level)))
        rows, columns = along.shape
        canvas = np.block([[canvas[:rows, :columns], across], [along, both]])
        ax.plot([0, 2 * rows], [columns] * 2, color="black", lw=0.8, ls="-")
        ax.plot([rows] * 2, [0, 2 * columns], color="black", lw=0.8, ls="-")
        ax.annotate(str(level), (2 * rows, 2 * columns), xytext=(-4, -4),
                    textcoords="offset points", ha="right", va="top",
                    fontsize=9, weight="bold")  # fmt: skip
    drawn = ax.imshow(canvas.T, origin="lower", cmap="RdBu_r", vmin=-1, vmax=1,
                      extent=(0, len(canvas), 0, len(canvas.T)),
                      interpolation="nearest")  # fmt: skip
    ax.figure.colorbar(drawn, ax=ax, label="coefficient / largest of level")
    ax.set(xticks=[], yticks=[])
    ax.set(xlabel=r"changes along $\alpha$ $\rightarrow$",
           ylabel=r"changes along $\beta$ $\rightarrow$")  # fmt: skip
    return ax


def _within_one(values: np.ndarray) -> np.ndarray:
    most = float(np.abs(values).max())
    return values / most if most > 0 else values


def ridges(record: Record, ax: Axes | None = None) -> Axes:
    """Draw the continuous wavelet transform of a line.

    Blue is a valley of that width, red a hill. Where the wavelet reaches
    beyond the ends of the line the picture is hatched.

    Args:
        record: a :class:`~dldna.landscape.shape.scales.Ridges`.
        ax: where to draw; a new figure if None.

    Returns:
        The axis.
    """
    ax = own_axes(ax)
    most = float(np.abs(record.coefficients[record.trusted]).max(initial=0))
    most = most or 1.0
    x, y = record.positions, record.scales
    ax.grid(visible=False)
    drawn = ax.pcolormesh(
        x, y, record.coefficients, cmap="RdBu_r", vmin=-most, vmax=most,
        shading="gouraud", rasterized=True,
    )  # fmt: skip
    if not record.trusted.all():
        ax.contourf(x, y, ~record.trusted, levels=[0.5, 1.5],
                    colors=["white"], alpha=0.6, hatches=["//"])  # fmt: skip
    ax.figure.colorbar(drawn, ax=ax, label="coefficient", extend="both")
    ax.set(yscale="log", xlabel=r"position $\alpha$", ylabel="scale $a$")
    return ax
