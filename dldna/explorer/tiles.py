"""What is known of a tile: all of its points, or some."""

import math

import numpy as np

from dldna.explorer.addresses import SIDE

STRIDES = (16, 8, 4, 1)  # of the stages of a tile, coarse to fine


class MapTile:
    r"""Losses on 32 x 32 points, of which those of a stage come first.

    The stage of stride :math:`s` is every :math:`s`-th point along each
    side, row by row; each stage holds the points of those before it.

    Args:
        losses: (32, 32), or None.
        known: (32, 32) which of them are known, or None.

    Example:
        >>> tile = MapTile()
        >>> tile.lacking(16, first=1, most=2)
        (array([1, 2]), 3)
    """

    def __init__(
        self,
        losses: np.ndarray | None = None,
        known: np.ndarray | None = None,
    ):
        shape = (SIDE, SIDE)
        self.losses = np.full(shape, np.nan) if losses is None else losses
        self.known = np.zeros(shape, bool) if known is None else known

    def stage(self, stride: int) -> np.ndarray:
        """Losses of a stage, (32 / stride, 32 / stride)."""
        return self.losses[::stride, ::stride]

    def lacking(
        self, stride: int, first: int, most: float
    ) -> tuple[np.ndarray, int]:
        """The next points of a stage that are not known.

        Args:
            stride: of the stage.
            first: where in the stage to begin.
            most: how many points at most.

        Returns:
            Their places in the stage, row by row, and the place up to which
            it is known as soon as they are.
        """
        places = np.flatnonzero(~self.known[::stride, ::stride].ravel())
        places = places[places >= first]
        if len(places) <= most:
            return places, (SIDE // stride) ** 2
        most = math.floor(most)
        return places[:most], int(places[most])

    def put(self, stride: int, places: np.ndarray, losses: np.ndarray) -> None:
        """Note losses at places of a stage."""
        rows, columns = np.divmod(places, SIDE // stride)
        self.losses[rows * stride, columns * stride] = losses
        self.known[rows * stride, columns * stride] = True

    def take(self, above: "MapTile", quarter: tuple[slice, slice]) -> None:
        """Take every second point from the tile above, as far as known."""
        more = above.known[quarter] & ~self.known[::2, ::2]
        self.losses[::2, ::2][more] = above.losses[quarter][more]
        self.known[::2, ::2][more] = True
