"""Grids that contain zero exactly, and the order their points are taken."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from dldna.checks import choice, count, number

NONE = np.zeros(1)  # the second axis of a line


def axis(extent: float | Sequence[float], points: int) -> np.ndarray:
    r"""Evenly spaced coordinates with 0 among them, bit for bit.

    An odd number of points on a symmetric range has 0 in its middle and
    both ends on the grid. Where an even spacing cannot have 0 and both
    ends (an even number of points, an odd range), the spacing is the
    widest for which no point lies outside the range; so one end is on the
    grid and the other at most one step inside.

    Args:
        extent: half width of a symmetric range, or (low, high).
        points: how many.

    Returns:
        (points,) increasing coordinates in float64.

    Raises:
        ValueError: 0 is not in the range, the range is empty or infinite,
            or there are fewer than 2 points.

    Example:
        >>> axis(1.0, 5).tolist(), axis(1.0, 4).tolist()
        ([-1.0, -0.5, 0.0, 0.5, 1.0], [-0.5, 0.0, 0.5, 1.0])
    """
    low, high = interval(extent)
    steps = count("resolution", points, least=2) - 1
    best, where = 0.0, 0
    for below in range(steps + 1):  # points below zero
        sides = []
        if below:
            sides.append(-low / below)
        if steps - below:
            sides.append(high / (steps - below))
        if min(sides) > best * (1 + 1e-12):
            best, where = min(sides), below
    grid = np.arange(-where, steps - where + 1) * best
    for i, end in ((0, low), (-1, high)):  # no rounding at the ends
        if math.isclose(grid[i], end, rel_tol=1e-12):
            grid[i] = end
    return grid


def line_axis(extent: float | Sequence[float], points: int) -> np.ndarray:
    """Evenly spaced coordinates with 0 and 1 among them, bit for bit.

    The step is 1/m for a whole m. Where that cannot give just as many
    points from end to end, the grid stops short of an end by less than
    one step.

    Args:
        extent: half width, or (low, high); both 0 and 1 must be inside.
        points: how many.

    Returns:
        (points,) increasing coordinates in float64.

    Raises:
        ValueError: 0 or 1 is outside, or the points are too few.

    Example:
        >>> line_axis((-0.5, 1.5), 5).tolist()
        [-0.5, 0.0, 0.5, 1.0, 1.5]
        >>> x = line_axis((-0.5, 1.5), 50)
        >>> len(x), 0.0 in x, 1.0 in x
        (50, True, True)
    """
    low, high = interval(extent)
    count("resolution", points, least=2)
    if high < 1:
        raise ValueError(
            f"the far end of the line is at 1, outside ({low:g}, {high:g})"
        )
    m = 1
    while _fits(-low, m) + _fits(high, m) + 1 < points:
        m += 1
    below, above = _fits(-low, m), _fits(high, m)
    for _ in range(below + above + 1 - points):
        if above > m and (below == 0 or above / high >= below / -low):
            above -= 1
        elif below:
            below -= 1
        else:
            raise ValueError(
                f"{points} points are too few for 0 and 1 to be among them "
                f"on ({low:g}, {high:g})"
            )
    return np.arange(-below, above + 1) / m


def _fits(length: float, m: int) -> int:
    return math.floor(length * m * (1 + 1e-12) + 1e-9)


def line_grid(alphas, extent, resolution, between: bool) -> np.ndarray:
    """Coordinates of a line, given or evenly spaced.

    Args:
        alphas: the coordinates, or None.
        extent: of evenly spaced ones, or None.
        resolution: the number of these.
        between: whether 1 is another network, and belongs to it.

    Example:
        >>> line_grid([0.5, 2], None, 51, True).tolist()
        [0.0, 0.5, 1.0, 2.0]
    """
    if alphas is not None:
        grid = np.unique(np.asarray(list(alphas), dtype=np.float64))
        if not len(grid) or not np.isfinite(grid).all():
            raise ValueError("alphas must be finite numbers, at least one")
        if extent is not None:
            raise ValueError("give alphas or extent, not both")
        ends = [0.0, 1.0] if between else [0.0]
        for e in ends:  # but for rounding
            grid[np.abs(grid - e) <= 1e-12] = e
        return np.union1d(grid, ends)
    if between:
        return line_axis((-0.5, 1.5) if extent is None else extent, resolution)
    return axis(1.0 if extent is None else extent, resolution)


def interval(extent: float | Sequence[float]) -> tuple[float, float]:
    """A range from a half width or a pair, with 0 inside.

    Example:
        >>> interval(2), interval((-1, 3))
        ((-2.0, 2.0), (-1.0, 3.0))
    """
    if isinstance(extent, (int, float, np.number)):
        low, high = -float(number("extent", extent)), float(extent)
    else:
        if not isinstance(extent, Iterable):
            raise TypeError(
                "extent must be a number or a pair (low, high), not "
                f"{extent!r}"
            )
        ends = list(extent)
        if len(ends) != 2:
            raise ValueError(
                "extent must be a number or a pair (low, high), not "
                f"{len(ends)} values"
            )
        low, high = (float(number("extent", e)) for e in ends)
    if not low < high:
        raise ValueError(
            f"extent must grow from low to high, not ({low:g}, {high:g})"
        )
    if not low <= 0 <= high:
        raise ValueError(
            f"0, the network itself, must lie in the extent ({low:g}, "
            f"{high:g})"
        )
    return low, high


def axes(extent, resolution) -> tuple[np.ndarray, np.ndarray]:
    """Both axes of a plane.

    Args:
        extent: a number, a pair (low, high) for both, or two pairs.
        resolution: points along each axis, or a pair of numbers.

    Example:
        >>> a, b = axes(((-1, 1), (0, 2)), (3, 5))
        >>> a.tolist(), b.tolist()
        ([-1.0, 0.0, 1.0], [0.0, 0.5, 1.0, 1.5, 2.0])
    """
    nested = isinstance(extent, (tuple, list, np.ndarray)) and any(
        isinstance(e, (tuple, list, np.ndarray)) for e in extent
    )
    if nested and len(extent) != 2:
        raise ValueError(f"two ranges are needed, not {len(extent)}")
    first, second = extent if nested else (extent, extent)
    if isinstance(resolution, (tuple, list)):
        if len(resolution) != 2:
            raise ValueError(
                "resolution must be a number or a pair of numbers, not "
                f"{len(resolution)} values"
            )
        n, m = resolution
    else:
        n = m = resolution
    return axis(first, n), axis(second, m)


def coarse_to_fine(
    alphas: np.ndarray, betas: np.ndarray = NONE
) -> list[np.ndarray]:
    """Flat indices of a grid in levels, each twice as fine.

    All levels together hold every point once. Every level's lattice has
    the point (0, 0) on it; the first holds it.

    Example:
        >>> levels = coarse_to_fine(axis(1.0, 5), axis(1.0, 5))
        >>> [len(level) for level in levels]
        [9, 16]
    """
    i0, j0 = int(np.argmin(np.abs(alphas))), int(np.argmin(np.abs(betas)))
    i = np.abs(np.arange(len(alphas)) - i0)[:, None]
    j = np.abs(np.arange(len(betas)) - j0)[None, :]
    stride = 1
    lengths = [n for n in (len(alphas), len(betas)) if n > 1] or [1]
    while 4 * stride < min(lengths):
        stride *= 2
    left = np.ones((len(alphas), len(betas)), dtype=bool)
    levels = []
    while stride:
        chosen = left & (i % stride == 0) & (j % stride == 0)
        levels.append(np.flatnonzero(chosen))
        left &= ~chosen
        stride //= 2
    return [level for level in levels if len(level)]


def extent_of(extent: Any, shadow: Any) -> Any:
    """Half widths as given, or what holds the whole path ("path")."""
    if not isinstance(extent, str):
        return extent
    choice("extent", extent, ["path"])
    if shadow is None:
        raise ValueError("extent='path' needs trajectory=...")
    ends = []
    for column in shadow.coords.T:
        low, high = min(0.0, column.min()), max(0.0, column.max())
        margin = 0.2 * (high - low) or 1.0
        ends.append((low - margin, high + margin))
    return tuple(ends)


def in_tiles(
    axes: Sequence[np.ndarray], points: int, plan: dict
) -> list[np.ndarray]:
    """Indices of each tile's points.

    Args:
        axes: of the grid, or the points' own numbers.
        points: how many there are.
        plan: "order", from coarse to fine ("levels") or row by row, and
            "tile", the most points of one.

    Example:
        >>> plan = {"order": "rows", "tile": 2}
        >>> [t.tolist() for t in in_tiles([np.arange(3)], 3, plan)]
        [[0, 1], [2]]
    """
    levels = [np.arange(points)]
    if plan["order"] == "levels":
        levels = coarse_to_fine(*axes[:2])
    size = plan["tile"]
    return [
        level[i : i + size]
        for level in levels
        for i in range(0, len(level), size)
    ]
