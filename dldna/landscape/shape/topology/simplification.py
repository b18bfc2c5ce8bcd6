"""Take small valleys out of a surface and leave the rest as it is."""

import heapq

import numpy as np

from dldna import checks
from dldna.landscape.shape.samples import samples
from dldna.landscape.shape.topology.tree import STEPS, levels, merge_tree


def simplify(surface, threshold: float) -> np.ndarray:
    r"""Fill every valley whose bar is no longer than ``threshold``.

    Water is poured in from the minima that stay: the new loss of a point
    is the lowest pass level from any of them to it,

    .. math:: g(v) = \min_{m \in M} \; \min_{\text{paths } m \to v} \;
              \max_{u \in \text{path}} f(u).

    Points outside the filled valleys keep their loss exactly, and
    :math:`0 \le g - f \le` ``threshold``. The H0 bars of g are those of f
    longer than the threshold. For hills instead: ``-simplify(-z, t)``.

    Args:
        surface: a surface, or an (A, B) array of losses.
        threshold: persistence up to which a valley is filled, >= 0.

    Returns:
        (A, B) losses. NaN and inf stay where they were.

    Raises:
        ValueError: not a surface, a loss of -inf, a negative threshold.

    Example:
        >>> z = [[5, 5, 5, 5, 5], [5, 0, 4, 1, 5], [5, 5, 5, 5, 5]]
        >>> simplify(z, 3.0)[1].tolist()
        [5.0, 0.0, 4.0, 4.0, 5.0]

    References:
        Edelsbrunner, Morozov, Pascucci, Persistence-sensitive
        simplification of functions on 2-manifolds, SoCG 2006.
        Barnes, Lehman, Mulla, Priority-flood, Comput. Geosci. 62, 2014.
    """
    checks.nonnegative("threshold", threshold)
    axes = samples(surface)
    z, _, _ = levels(axes)
    tree = merge_tree(z)
    keep = tree.minima[tree.persistence > threshold]
    filled = axes.z.copy()
    rows, columns = z.shape
    done = ~np.isfinite(z)
    heap = [(z[i, j], i, j) for i, j in keep.tolist()]
    for _, i, j in heap:
        done[i, j] = True
    heapq.heapify(heap)
    steps = [*STEPS[4], *[(-a, -b) for a, b in STEPS[4]]]
    while heap:
        level, i, j = heapq.heappop(heap)
        filled[i, j] = level
        for a, b in steps:
            p, q = i + a, j + b
            if 0 <= p < rows and 0 <= q < columns and not done[p, q]:
                done[p, q] = True
                heapq.heappush(heap, (max(level, z[p, q]), p, q))
    return filled
