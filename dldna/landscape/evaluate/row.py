"""Order in a set of points: rows that share all coordinates but one."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Row(NamedTuple):
    """Points that differ along one direction only.

    Args:
        at: positions of the points in the call.
        fixed: (K,) coordinates, with 0 where they differ.
        axis: the direction along which they differ.
        steps: coordinates along it.
    """

    at: np.ndarray
    fixed: list[float]
    axis: int
    steps: list[float]


def rows(coords: Tensor, longest: int) -> Iterator[Row]:
    """Cut points into rows of at most ``longest`` points.

    The axis is the one that gives the fewest rows; the order of points
    within the call does not matter for that.

    Example:
        >>> grid = torch.cartesian_prod(torch.arange(2.0), torch.arange(3.0))
        >>> [(r.fixed, r.axis, r.steps) for r in rows(grid, 8)]
        [([0.0, 0.0], 1, [0.0, 1.0, 2.0]), ([1.0, 0.0], 1, [0.0, 1.0, 2.0])]
    """
    points = coords.numpy()
    best = None
    for axis in reversed(range(points.shape[1])):
        others = points.copy()
        others[:, axis] = 0
        keys, which = np.unique(others, axis=0, return_inverse=True)
        if best is None or len(keys) < len(best[0]):
            best = keys, which.reshape(-1), axis
    if best is None or not len(points):
        return
    keys, which, axis = best
    for k, key in enumerate(keys):
        members = np.flatnonzero(which == k)
        for start in range(0, len(members), longest):
            at = members[start : start + longest]
            yield Row(at, key.tolist(), axis, points[at, axis].tolist())


def combined(terms: list[Tensor | None], coords: list[float]) -> Tensor:
    """``terms[0] + sum_k coords[k] * terms[k + 1]``; zeros cost nothing."""
    value, own = terms[0], False
    for c, term in zip(coords, terms[1:], strict=True):
        if c != 0 and term is not None:
            out = value if own else None
            value, own = torch.add(value, term, alpha=c, out=out), True
    return value
