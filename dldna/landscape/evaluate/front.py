"""A first layer and the pooling after it, for several points at once."""

from typing import Any

import torch
from torch import Tensor

from dldna.landscape.evaluate.affine import Affine
from dldna.landscape.evaluate.row import Row

POINTS = 8
HOT = 2**19  # bytes of a piece's outputs at one point, per thread
HELD = 2**25  # bytes of pooled outputs at all points


class Front:
    """Pooled outputs of a layer on the data, along a row of points.

    They are read in pieces of images that stay in cache, and each piece is
    moved to several points before the next: the layer's outputs for origin
    and directions are by far the largest tensors of a small network.

    Args:
        way: the way that asks.
        terms: (places, N, ...) outputs for the origin and along each
            direction, sorted by place in the pooling's window.
        row: the points.
        rectify: whether a ReLU follows.
    """

    def __init__(
        self,
        way: Any,
        terms: list[Tensor],
        row: Row,
        rectify: bool,
    ):
        first = terms[0]
        self.way, self.row, self.rectify = way, row, rectify
        held = min(HELD, way.room) // max(first[0].nbytes, 1)
        several = min(POINTS, held, len(row.steps)) if way.together else 1
        self.several = max(1, int(several))
        images = first.shape[1]
        hot = HOT * torch.get_num_threads()
        n = max(1, min(images, hot * images // max(first.nbytes, 1)))
        if first.device.type != "cpu":  # where calls cost more than memory
            n = images
        self.parts = [slice(i, i + n) for i in range(0, images, n)]
        self.pieces = [
            Affine([t[:, part] for t in terms], row, way.half)
            for part in self.parts
        ]
        self.values = first.new_empty((self.several, *first.shape[1:]))
        self.start: int | None = None

    def __call__(self, index: int) -> Tensor:
        """(N, ...) at a point of the row; overwritten by later points."""
        start = index - index % self.several
        if start != self.start:
            self._fill(start)
            self.start = start
        return self.values[index - start]

    def _fill(self, start: int) -> None:
        stop = min(start + self.several, len(self.row.steps))
        for part, affine in zip(self.parts, self.pieces, strict=True):
            shape = (stop - start, *affine.base.shape)
            moved = self.way.scratch(shape, affine.base)
            affine(slice(start, stop), moved)
            pooled = self.values[: stop - start, part]
            torch.amax(moved, 1, out=pooled)
            if self.rectify:
                pooled.relu_()
