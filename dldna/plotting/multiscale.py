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
    if ax.get_legend_handles_labels()[1]:
        ax.legend()
    return ax


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
