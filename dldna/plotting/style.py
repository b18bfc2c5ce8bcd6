"""One look for all figures: readable in light and dark, by all eyes."""

from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.axes import Axes

# Okabe and Ito's palette, which people with any colour vision can tell
# apart, in the order of use.
COLORS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
    "#8C6D1F",
)
# A second cue beside the colour.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", "--", "-.", ":", "-", "--", "-.", ":")


def use() -> None:
    """Set matplotlib's defaults for the book.

    Figures keep a white card, so that dark pages show them as they are.

    Example:
        >>> use()
        >>> mpl.rcParams["axes.spines.top"]
        False
    """
    mpl.rcParams.update(
        {
            "axes.prop_cycle": cycler(color=COLORS) + cycler(linestyle=DASHES),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.25,
            "grid.linewidth": 0.6,
            "axes.titlesize": 11,
            "axes.labelsize": 10,
            "legend.frameon": False,
            "legend.fontsize": 9,
            "figure.figsize": (6.4, 3.8),
            "figure.dpi": 110,
            "savefig.dpi": 110,
            "figure.facecolor": "white",
            "savefig.facecolor": "white",
            "figure.constrained_layout.use": True,
            "image.cmap": "viridis",
            "svg.hashsalt": "dldna",
        }
    )


def own_axes(
    ax: Axes | None, figsize: tuple[float, float] | None = None
) -> Axes:
    """The caller's axes, or new ones whose labels have room.

    Example:
        >>> ax = own_axes(None, (4, 3))
        >>> own_axes(ax) is ax
        True
    """
    from matplotlib import pyplot as plt

    if ax is not None:
        return ax
    return plt.subplots(figsize=figsize, layout="constrained")[1]


def expect(record: Any, kind: type) -> None:
    """Refuse what is not the record that a picture takes.

    Example:
        >>> expect([1, 2], dict)
        Traceback (most recent call last):
        ...
        TypeError: this picture takes a dict, not a list
    """
    if not isinstance(record, kind):
        raise TypeError(
            f"this picture takes a {kind.__name__}, not a "
            f"{type(record).__name__}"
        )
