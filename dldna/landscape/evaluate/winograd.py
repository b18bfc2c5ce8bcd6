"""3x3 convolutions on small maps with fewer products of channels.

Along one axis, with taps g and a piece d of the input, the outputs are

.. math:: y = A [(G g) \\odot (B d)],

with as many products as the rows of G and B; across channels each is a
matrix product. Four outputs take 6 products instead of 12 (the bilinear form
of Toom and Cook, in points that keep rounding small), two outputs between
zeros 3 instead of 4 (that of Karatsuba). Both axes together: 36 instead of
144, 9 instead of 16.

S. Winograd, Arithmetic Complexity of Computations, SIAM 1980; A. Lavin,
S. Gray, Fast algorithms for convolutional neural networks, CVPR 2016.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

OUTPUTS = 4  # of a piece of an axis
POINTS = (0.0, 2 / 3, -2 / 3, 3 / 2, -3 / 2)  # and infinity


class _Piece(NamedTuple):
    """Some outputs of an axis, the inputs they see, and the matrices."""

    reads: slice
    writes: slice
    before: np.ndarray
    after: np.ndarray


class Region(NamedTuple):
    """The same for both axes, with matrices over their pixels."""

    reads: tuple[slice, slice]
    writes: tuple[slice, slice]
    before: Tensor
    after: Tensor


def _toom() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A, G and B of four outputs: (4, 6), (6, 3), (6, 6)."""
    points = np.array(POINTS)
    others = [np.delete(points, i) for i in range(len(points))]
    scale = np.array(
        [np.prod(p - o) for p, o in zip(points, others, strict=True)]
    )
    after = np.eye(OUTPUTS, len(points) + 1, len(points) + 1 - OUTPUTS)
    after[:, :-1] = np.vander(points, OUTPUTS, increasing=True).T
    taps = np.eye(len(points) + 1, 3, 2 - len(points))
    taps[:-1] = np.vander(points, 3, increasing=True) / scale[:, None]
    before = np.zeros((len(points) + 1, len(points) + 1))
    for i, other in enumerate(others):
        before[i, :-1] = np.poly(other)[::-1]
    before[-1] = np.poly(points)[::-1]
    return after, taps, before


def _axis(size: int) -> tuple[np.ndarray, list[_Piece]]:
    """G, and the pieces of an axis with a zero on either side."""
    whole = slice(0, size)
    if size == 1:
        one = np.ones((1, 1))
        return np.array([[0.0, 1, 0]]), [_Piece(whole, whole, one, one)]
    if size == 2:
        taps = np.array([[0.0, 1, 0], [0, -1, 1], [1, -1, 0]])
        before = np.array([[1.0, 1], [0, 1], [1, 0]])
        after = np.array([[1.0, 1, 0], [1, 0, 1]])
        return taps, [_Piece(whole, whole, before, after)]
    after, taps, before = _toom()
    pieces = []
    for start in range(0, size, OUTPUTS):
        stop = min(start + OUTPUTS, size)
        low, high = max(start - 1, 0), min(start + OUTPUTS + 1, size)
        seen = slice(low - start + 1, high - start + 1)
        pieces.append(
            _Piece(
                slice(low, high),
                slice(start, stop),
                before[:, seen],
                after[: stop - start],
            )
        )
    return taps, pieces


@lru_cache(maxsize=64)
def _regions(
    size: tuple[int, int], dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, list[Region]]:
    """The matrix of the nine taps, and the regions of a map of this size."""

    def both(a: np.ndarray, b: np.ndarray) -> Tensor:
        return torch.as_tensor(np.kron(a, b), dtype=dtype, device=device)

    (high, rows), (wide, columns) = (_axis(s) for s in size)
    regions = [
        Region(
            (r.reads, c.reads),
            (r.writes, c.writes),
            both(r.before, c.before),
            both(r.after, c.after),
        )
        for r in rows
        for c in columns
    ]
    return both(high, wide), regions


def factors(weight: Tensor, size: tuple[int, int], empty: Callable) -> Tensor:
    """The factors that a 3x3 layer's weight becomes on maps of a size.

    Args:
        weight: (outputs, inputs, 3, 3).
        size: rows and columns of the map.
        empty: gives memory for a shape.

    Returns:
        (outputs, products, inputs).
    """
    taps, _ = _regions(size, weight.dtype, weight.device)
    weight = weight.permute(0, 2, 3, 1).flatten(1, 2)
    made = empty((len(weight), len(taps), weight.shape[2]))
    return torch.bmm(taps.expand(len(weight), -1, -1), weight, out=made)


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, empty: Callable
) -> Tensor:
    """A 3x3 convolution, one zero of padding, from its factors.

    Args:
        x: (N, inputs, H, W), best with the channels last in memory.
        weight: from :func:`factors` for this H and W.
        bias: (outputs,), or None.
        empty: gives memory for a shape, and for a name of its use.

    Returns:
        (N, outputs, H, W), channels last in memory.

    Example:
        >>> x, w = torch.rand(2, 3, 4, 5), torch.rand(6, 3, 3, 3)
        >>> def empty(shape, use=""):
        ...     return torch.empty(shape)
        >>> y = convolve(x, factors(w, (4, 5), empty), None, empty)
        >>> direct = torch.nn.functional.conv2d(x, w, padding=1)
        >>> torch.allclose(y, direct, rtol=1e-5)
        True
    """
    n, inputs, *size = x.shape
    _, regions = _regions(tuple(size), x.dtype, x.device)
    outputs, many, _ = weight.shape
    x, y = x.permute(0, 2, 3, 1), x.new_empty((n, *size, outputs))
    weight = weight.permute(1, 2, 0)
    moved = empty((n, many, inputs), "moved")
    products = empty((many, n, outputs), "products")
    for region in regions:
        seen = x[:, region.reads[0], region.reads[1]].flatten(1, 2)
        torch.bmm(region.before.expand(n, -1, -1), seen, out=moved)
        torch.bmm(moved.transpose(0, 1), weight, out=products)
        after = region.after.expand(n, -1, -1)
        to = y[:, region.writes[0], region.writes[1]]
        made = torch.bmm(after, products.transpose(0, 1)).view(to.shape)
        if bias is None:
            to.copy_(made)
        else:
            torch.add(made, bias, out=to)
    return y.permute(0, 3, 1, 2)
