"""Where the tiles of a map lie: squares of 32 x 32 points at every zoom."""

from typing import NamedTuple

import numpy as np

from dldna.checks import whole

SIDE = 32  # points along a tile
LEVELS = (-4, 24)  # a level is twice as fine as the one before it
REACH = 2**27  # tiles from the first one, to either side


class Address(NamedTuple):
    r"""A tile: at level :math:`l` it is :math:`2e/2^l` wide.

    Point :math:`p` of tile :math:`i` has the coordinate

    .. math:: e \left( \frac{32 i + p}{16 \cdot 2^l} - 1 \right),

    where :math:`e` is the map's half width. Tile (0, 0, 0) is the map as it
    opens. 0 is a point of every level, and each level has the points of the
    one above it, bit for bit.

    Args:
        level: of zoom.
        i: along the first direction.
        j: along the second.

    Example:
        >>> a, b = Address(0, 0, 0).axes(1.0)
        >>> a[0], a[16], a[31]
        (np.float64(-1.0), np.float64(0.0), np.float64(0.9375))
    """

    level: int
    i: int
    j: int

    @classmethod
    def checked(cls, level: int, i: int, j: int) -> "Address":
        """An address, of a tile that there is.

        Raises:
            TypeError: not whole numbers.
            ValueError: too deep, or too far out.
        """
        low, high = LEVELS
        if not low <= whole("level", level) <= high:
            raise ValueError(
                f"level must lie from {low} to {high}, not {level}"
            )
        for name, at in (("i", i), ("j", j)):
            if not -REACH <= whole(name, at) < REACH:
                raise ValueError(f"{name}={at} is too far from the centre")
        return cls(int(level), int(i), int(j))

    def axes(self, extent: float) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates of its points, (32,) along each direction.

        Args:
            extent: half width of the map as it opens.
        """
        fine = 16 * 2.0**self.level
        first, second = (
            extent * ((SIDE * at + np.arange(SIDE)) / fine - 1)
            for at in (self.i, self.j)
        )
        return first, second

    @property
    def above(self) -> "Address":
        """The tile of the level before that holds this one."""
        return Address(self.level - 1, self.i // 2, self.j // 2)

    @property
    def quarter(self) -> tuple[slice, slice]:
        """Where the tile above has every second point of this one."""
        half = SIDE // 2
        first, second = (half * (at % 2) for at in (self.i, self.j))
        return slice(first, first + half), slice(second, second + half)

    @property
    def number(self) -> int:
        """One whole number for each tile, the name of its file."""
        level = self.level - LEVELS[0]
        return (level << 56) | (self.i + REACH) << 28 | (self.j + REACH)
