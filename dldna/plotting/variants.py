"""One figure, four pictures: for light and dark pages, for desk and phone.

The dark picture is the light one with its lightness turned over, so that hues
stay what they are; what a colour map has painted stays as it is, since its
lightness means something. For a phone the panels are stacked.
"""

import io
import os
from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import QuadMesh
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.legend import Legend
from matplotlib.text import Text

#: The ground of a dark page.
GROUND = np.array([0x12, 0x12, 0x12]) / 255
PHONE = 360  # CSS pixels, the width of a phone's column of text
DPI = {"desk": 110, "phone": 150}
SMALLEST = 8.0  # points: letters of 10.7 CSS pixels

# CSS's hue-rotate(180deg): back to the old hue after all is turned over.
_TURN = np.array(
    [[-0.574, 1.430, 0.144], [0.426, 0.430, 0.144], [0.426, 1.430, -0.856]]
)


def wanted() -> bool:
    """Whether a page is made of what is shown: the book's build says so.

    Elsewhere one sees the light picture alone, and waits for no other.
    """
    return os.environ.get("DLDNA_BOOK", "0") == "1"


def light(figure: Figure) -> bytes:
    """The figure as it is, as a PNG."""
    return _png(_drawn(figure, DPI["desk"]))


def pictures(figure: Figure) -> dict[str, bytes]:
    """The figure as four PNGs; it is laid out for a phone afterwards.

    Args:
        figure: drawn on a light ground.

    Returns:
        ``"light"``, ``"dark"``, ``"phone-light"`` and ``"phone-dark"``.

    Example:
        >>> from matplotlib import pyplot as plt
        >>> figure, axes = plt.subplots(1, 2)
        >>> sorted(pictures(figure))
        ['dark', 'light', 'phone-dark', 'phone-light']
        >>> [round(x) for x in figure.get_size_inches() * 96]
        [360, 768]
        >>> plt.close(figure)
    """
    large, large_dark = _both(figure, DPI["desk"])
    stack(figure)
    _lay_out_panels(figure)
    small, small_dark = _both(figure, DPI["phone"])
    found = {"light": large, "dark": large_dark}
    found |= {"phone-light": small, "phone-dark": small_dark}
    return {name: _png(pixels) for name, pixels in found.items()}


def _drawn(figure: Figure, dpi: float) -> np.ndarray:
    """Pixels (rows, columns, 3) from 0 to 1."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3] / 255


def _both(figure: Figure, dpi: float) -> tuple[np.ndarray, np.ndarray]:
    """Pixels on a light and on a dark ground."""
    light = _drawn(figure, dpi)
    turned = darkened(light)
    dark = turned.copy()
    for ax in figure.axes:
        box, kind = _box(ax, len(light)), _painted(ax)
        if kind == "map":
            dark[box] = light[box]
        elif kind == "marks":  # what has a colour keeps it, grey turns over
            spread = np.ptp(light[box], axis=-1, keepdims=True)
            dark[box] = np.where(spread > 0.12, light[box], turned[box])
    return light, dark


def darkened(pixels: np.ndarray) -> np.ndarray:
    """Colours (..., 3) from 0 to 1 for a dark page: hue kept, light turned.

    Example:
        >>> darkened(np.array([[1.0, 1, 1], [0, 0, 0]])).round(2).tolist()
        [[0.07, 0.07, 0.07], [1.0, 1.0, 1.0]]
    """
    turned = np.clip((1 - pixels) @ _TURN.T, 0, 1)
    return GROUND + (1 - GROUND) * turned


def _painted(ax: Axes) -> str:
    """What a colour map has painted in an axes: a map, marks, or nothing."""
    for artist in (*ax.images, *ax.collections):
        filled = isinstance(artist, ContourSet) and artist.filled
        if artist in ax.images or isinstance(artist, QuadMesh) or filled:
            return "map"
    mapped = [
        artist
        for artist in (*ax.collections, *ax.lines)
        if isinstance(artist, ScalarMappable)
        and artist.get_array() is not None
    ]
    return "marks" if mapped or ax.name == "3d" else ""


def _box(ax: Axes, height: int) -> tuple[slice, slice]:
    """Rows and columns of the pixels inside an axes."""
    found = ax.get_window_extent()
    left, right = (max(0, round(x)) for x in (found.x0, found.x1))
    top, bottom = (max(0, round(height - y)) for y in (found.y1, found.y0))
    return slice(top, bottom), slice(left, right)


def stack(figure: Figure) -> None:
    """Lay a figure out for a phone: one column, no small letters.

    Labels that a row or a column of panels shared are written on each.

    Args:
        figure: is changed. A figure with axes outside of a grid, or with
            figures inside it, is only made narrow.
    """
    for text in figure.findobj(Text):
        text.set_fontsize(max(SMALLEST, text.get_fontsize()))
    panels = [] if figure.subfigs else _panels(figure.axes)
    inches = PHONE / 96
    wide, high = figure.get_size_inches()
    if not panels:
        figure.set_size_inches(inches, high * inches / wide)
        return
    across = len({ax.get_subplotspec().colspan.start for ax in panels[0]})
    grid = {}
    for row in panels:
        _share_labels(row)
        for ax in row:
            grid.setdefault(_place(ax), []).append(ax)
    column = GridSpec(len(grid), 1, figure=figure)
    for k, place in enumerate(sorted(grid)):
        for ax in grid[place]:
            ax.set_subplotspec(column[k])
            ax.title.set_wrap(True)
    panel = high / len(panels) * min(1.6, inches * across / wide)
    panel = min(max(panel, 2.4), 4.0)
    figure.set_size_inches(inches, panel * len(grid))


def _lay_out_panels(figure: Figure) -> None:
    """Sizes of panels first, then columns of legends that fit into them.

    Drawing lays out once more, which suffices where there are neither bars
    nor legends of several columns.
    """
    layout = figure.get_layout_engine()
    bars = [ax for ax in figure.axes if hasattr(ax, "_colorbar")]
    legends = [x for x in figure.findobj(Legend) if len(_columns(x)) > 1]
    if layout is None or not (bars or legends):
        return
    figure.set_dpi(DPI["phone"])
    for legend in legends:
        legend.set_in_layout(False)
    layout.execute(figure)
    taller = 0.0
    for legend in legends:
        before = legend.get_window_extent().height
        fit_legend(legend)
        taller += legend.get_window_extent().height - before
        legend.set_in_layout(True)
    wide, high = figure.get_size_inches()
    figure.set_size_inches(wide, high + taller / figure.dpi)


def _columns(legend: Legend) -> list:
    """The boxes of a legend's columns; items are the boxes inside."""
    _, entries = legend.get_children()[0].get_children()  # below the title
    return entries.get_children()


def fit_legend(legend: Legend) -> None:
    """Fewer columns, down to one, until a legend is no wider than its panel.

    Args:
        legend: of an axes, or of a figure, whose width then counts.

    Example:
        >>> from matplotlib import pyplot as plt
        >>> figure, ax = plt.subplots(figsize=(4, 3))
        >>> lines = [ax.plot([k], label="a long name")[0] for k in range(3)]
        >>> legend = ax.legend(ncols=3)
        >>> fit_legend(legend)
        >>> bool(legend.get_window_extent().width <= ax.bbox.width)
        True
        >>> plt.close(figure)
    """
    columns = _columns(legend)
    items = [item for column in columns for item in column.get_children()]
    room = (legend.axes or legend.figure).bbox.width
    while len(columns) > 1 and legend.get_window_extent().width > room:
        columns.pop()
        parts = np.array_split(np.arange(len(items)), len(columns))
        for column, part in zip(columns, parts, strict=True):
            column.get_children()[:] = [items[k] for k in part]


def _place(ax: Axes) -> tuple[int, int]:
    spec = ax.get_subplotspec().get_topmost_subplotspec()
    own = ax.get_subplotspec()
    return (
        1000 * spec.rowspan.start + own.rowspan.start,
        1000 * spec.colspan.start + own.colspan.start,
    )


def _panels(axes: Iterable[Axes]) -> list[list[Axes]]:
    """The rows of a figure's grid; none if some axes stand outside of it."""
    rows: dict[int, list[Axes]] = {}
    for ax in axes:
        if hasattr(ax, "_colorbar"):  # goes where its panel goes
            continue
        if ax.get_subplotspec() is None:
            return []
        rows.setdefault(_place(ax)[0], []).append(ax)
    return [rows[at] for at in sorted(rows)]


def _share_labels(row: list[Axes]) -> None:
    """Give each panel of a row the ticks and labels that the first has."""
    first = row[0]
    for ax in row:
        if ax.name == "3d":
            continue
        for side in (ax.xaxis, ax.yaxis):
            side.set_tick_params(labelleft=True, labelbottom=True)
        if not ax.get_ylabel() and ax.get_shared_y_axes().joined(ax, first):
            ax.set_ylabel(first.get_ylabel())


def _png(pixels: np.ndarray) -> bytes:
    """A PNG with a palette of 256 colours: a third of the weight."""
    from PIL import Image

    # Steps of four are not seen, and leave few colours to choose from.
    near = np.minimum(4 * np.round(pixels * 255 / 4), 255)
    image = Image.fromarray(near.astype(np.uint8))
    cover = Image.Quantize.MAXCOVERAGE
    exact = [int(x) for x in (255 * pixels[0, 0]).round()]
    image = image.quantize(256, method=cover, dither=Image.Dither.NONE)
    at = 3 * image.getpixel((0, 0))  # the ground is the page's, to the digit
    palette = image.getpalette()
    image.putpalette(palette[:at] + exact + palette[at + 3 :])
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
