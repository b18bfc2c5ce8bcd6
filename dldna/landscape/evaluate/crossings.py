"""A ReLU between two linear layers, along a whole row of points at once.

Along a row z = A + s D is linear in the coordinate s, so a hidden unit
changes from off to on, or back, at most once for each image: where it
crosses zero, at s = -A/D. Between crossings the sum over the units that
are on is a polynomial in s,

    sum_j (V_j + s E_j)(A_j + s D_j),

and each crossing adds or takes away one term of it. A row costs a few
matrix products for its first point, and then only its crossings, however
many points it has; the plain way costs a matrix product for every point.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

LONGEST = 254  # points: numbers of points are bytes
HOT = 2 * 2**20  # bytes of changes that are worked on at once
HUGE = 1e15  # products of larger numbers could overflow on the way
EVEN = 1e-9


class Crossings(NamedTuple):
    """All changes of a row, in order of points, then of images.

    Args:
        on: (N, F), whether a unit is on before the first change.
        unit: which unit changes.
        a: what is added to the sum of A, with its sign.
        d: what is added to the sum of D.
        start: where the changes before point 1 + p at image i start, at
            ``start[p * images + i]``; the number of changes stands last.
    """

    on: Tensor
    unit: Tensor
    a: Tensor
    d: Tensor
    start: Tensor


def pays(steps: list[float], outputs: int, threads: int = 1) -> bool:
    """Whether a row is even, and long enough for this to be cheaper.

    In units of one point's matrix product the first point costs four, the
    crossings about ten, and sorting them 800 over the number of outputs.
    More threads speed the products up, and little of the rest.

    Example:
        >>> [pays([0.1 * i for i in range(n)], 64) for n in (20, 40)]
        [False, True]
    """
    count = len(steps)
    least = (16 + 800 / outputs) * (1 + threads) / 2
    if not least <= count <= LONGEST:
        return False
    span = steps[-1] - steps[0]
    even = np.linspace(steps[0], steps[-1], count)
    return span > 0 and bool(np.abs(even - steps).max() <= EVEN * span)


def tame(*tensors: Tensor) -> bool:
    """Whether all numbers are finite, and far from overflow."""
    return all(float(t.abs().amax()) < HUGE for t in tensors)


def along_row(
    A: Tensor, D: Tensor, V: Tensor, E: Tensor, steps: list[float]
) -> Tensor:
    """``relu(A + s D) (V + s E)^T`` for each s.

    Args:
        A: (N, F) inputs of the units at s = 0, for N images.
        D: (N, F) how they move.
        V: (M, F) weights at s = 0.
        E: (M, F) how they move.
        steps: P evenly spaced coordinates, rising.

    Returns:
        (P, N, M).

    Example:
        >>> one = torch.ones(1, 1)
        >>> along_row(one, one, one, 0 * one, [-3.0, -1.0, 1.0]).flatten()
        tensor([0., 0., 2.])
    """
    count, images, outputs = len(steps), len(A), len(V)
    # About the middle, in units of half the length: numbers of one size.
    middle, half = (steps[0] + steps[-1]) / 2, (steps[-1] - steps[0]) / 2
    A, D = torch.add(A, D, alpha=middle), D * half
    V, E = torch.add(V, E, alpha=middle), E * half
    table = torch.cat([V, E]).t().contiguous()
    found = crossings(A, D, count)
    nothing = A.new_zeros(())
    of_a, of_d = (torch.where(found.on, t, nothing) @ table for t in (A, D))
    bounds = found.start[::images].tolist()
    out = A.new_empty(count, images, outputs)
    work = torch.empty_like(of_a)
    by_v, by_e = work[:, :outputs], work[:, outputs:]
    chunk = max(1, HOT // (2 * work.nbytes))
    where = np.linspace(-1, 1, count).tolist()
    for i in range(0, count, chunk):
        last, first = min(i + chunk, count), max(i, 1)
        low, high = bounds[first - 1], bounds[last - 1]
        bags = found.start[(first - 1) * images : (last - 1) * images] - low
        changes = [
            embedding_bag(
                found.unit[low:high],
                table,
                bags,
                mode="sum",
                per_sample_weights=weights[low:high],
            ).view(-1, images, 2 * outputs)
            for weights in (found.a, found.d)
        ]
        for p in range(i, last):
            if p:
                of_a += changes[0][p - first]
                of_d += changes[1][p - first]
            torch.add(of_a, of_d, alpha=where[p], out=work)
            torch.add(by_v, by_e, alpha=where[p], out=out[p])
    return out


def crossings(A: Tensor, D: Tensor, count: int) -> Crossings:
    """Where units change among ``count`` points from -1 to 1."""
    images, units = A.shape
    half = (count - 1) / 2
    # The point from which on the change holds; 0 or count: there is none.
    point = torch.div(A, D).mul_(-half).add_(half)
    point = point.nan_to_num_(0).clamp_(0, count).ceil_().to(torch.uint8)
    # Read off the points, not off A and D again: rounding must not make
    # both disagree. Who does not change is what it is in the middle.
    changes = (point - 1) < count - 1  # bytes: 0 becomes 255
    on = torch.where(changes, -D, A) > 0
    order = np.argsort(point.view(-1).numpy(), kind="stable")
    bag = torch.arange(images, dtype=torch.int32, device="cpu").view(-1, 1)
    bag = torch.add(bag, point, alpha=images).view(-1).numpy()
    ends = np.bincount(bag, minlength=(count + 1) * images).cumsum()
    first, last = ends[images - 1], ends[count * images - 1]
    start = torch.from_numpy(ends[images - 1 : count * images] - first)
    order = torch.from_numpy(order[first:last])
    a, d = (t.view(-1).index_select(0, order) for t in (A, D))
    return Crossings(on, order % units, a * d.sign(), d.abs_(), start)
