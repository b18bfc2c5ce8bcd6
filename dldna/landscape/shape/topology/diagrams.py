"""Persistence diagrams of a surface: valleys (H0) and rings (H1)."""

from dataclasses import dataclass, field

import numpy as np

from dldna import checks
from dldna.landscape.shape.samples import samples
from dldna.landscape.shape.topology.tree import (
    elder,
    levels,
    merge_tree,
)
from dldna.records import Provenance, Record, derived_from


@dataclass(frozen=True, eq=False)
class Diagram(Record):
    r"""Persistence diagram of the sublevel sets :math:`\{L \le c\}`.

    A row is (birth, death); both axes are losses. Rows are sorted by
    persistence, the longest first. It is a statement about this plane of
    parameter space, not about the network's whole loss.

    Args:
        h0: (n, 2) valleys: (minimum, saddle where it joins a deeper one).
        h1: (m, 2) rings: (saddle that closes it, maximum that fills it).
        nan: number of losses that are NaN.
        infinite: number of losses that are +inf.
        provenance: where it came from.

    Example:
        >>> z = [[5, 5, 5, 5, 5], [5, 0, 4, 1, 5], [5, 5, 5, 5, 5]]
        >>> found = diagram(z)
        >>> found.h0.tolist(), found.h1.shape
        ([[0.0, inf], [1.0, 4.0]], (0, 2))

    References:
        Edelsbrunner, Harer, Computational Topology, AMS 2010, VII.
    """

    h0: np.ndarray
    h1: np.ndarray
    nan: int = 0
    infinite: int = 0
    provenance: Provenance = field(default_factory=Provenance)

    def barcode(self) -> np.ndarray:
        """Rows (dimension, birth, death, persistence), H0 before H1.

        Returns:
            (n + m, 4): the dimension is 0 or 1, persistence is death minus
            birth, and all but the dimension are in units of the loss.

        Example:
            >>> diagram([[1, 1, 1], [1, 7, 1], [1, 1, 1]]).barcode()
            array([[ 0.,  1., inf, inf],
                   [ 1.,  1.,  7.,  6.]])
        """
        rows = [
            np.column_stack([np.full(len(h), k), h, h[:, 1] - h[:, 0]])
            for k, h in enumerate((self.h0, self.h1))
        ]
        return np.concatenate(rows)


def diagram(surface, backend: str = "union-find") -> Diagram:
    r"""Persistence diagram of the sublevel sets :math:`\{L \le c\}`.

    The surface is a cubical complex with the losses at its vertices: an
    edge appears with the higher of its ends, a square with the highest
    of its corners. A bar of H0 is (minimum, saddle), a bar of H1 (saddle,
    maximum). H1 comes by duality from the same union-find: going down
    from above, a pit of missing squares is born at a maximum and joins
    an older one, or the outside, over an edge.

    NaN and +inf lie in no sublevel set; a ring around them never dies.
    They are counted in the record. Bars of length 0 are dropped.

    Args:
        surface: a surface, or an (A, B) array of losses.
        backend: ``"union-find"`` (ours), or ``"gudhi"`` (extra
            ``topology``): ``CubicalComplex(vertices=...)``. gudhi's
            ``top_dimensional_cells=`` would join diagonal neighbours too.

    Returns:
        The diagram.

    Raises:
        ValueError: not a surface, a loss of -inf, an unknown backend.
        ImportError: ``"gudhi"`` is asked for and not installed.

    Example:
        >>> d = diagram([[1, 1, 1], [1, 7, 1], [1, 1, 1]])
        >>> d.h0.tolist(), d.h1.tolist()
        ([[1.0, inf]], [[1.0, 7.0]])

    References:
        Edelsbrunner, Harer, Computational Topology, AMS 2010, VII.
        Barannikov et al., Barcodes as summary of loss function topology,
        Doklady Math. 2023, arXiv 1912.00043.
    """
    checks.choice("backend", backend, ("union-find", "gudhi"))
    z, nan, infinite = levels(samples(surface))
    if backend == "gudhi":
        h0, h1 = _by_gudhi(z)
    else:
        tree = merge_tree(z)
        h0, h1 = np.stack([tree.births, tree.deaths], axis=1), _rings(z)
    return Diagram(
        h0=_tidy(h0),
        h1=_tidy(h1),
        nan=nan,
        infinite=infinite,
        provenance=derived_from(surface, f"persistence diagram by {backend}"),
    )


def _rings(z: np.ndarray) -> np.ndarray:
    """H1 bars: H0 of the squares, from above, with one outer node."""
    rows, columns = z.shape
    if min(rows, columns) < 2:
        return np.zeros((0, 2))
    corners = [z[:-1, :-1], z[1:, :-1], z[:-1, 1:], z[1:, 1:]]
    tops = np.append(np.max(corners, axis=0).ravel(), np.inf)
    outside = len(tops) - 1
    square = np.full((rows + 1, columns + 1), outside)
    square[1:-1, 1:-1] = np.arange(outside).reshape(rows - 1, columns - 1)
    # An edge of the grid parts two squares; the outer node lies beyond.
    along, across = square[1:-1, :], square[:, 1:-1]
    edges = np.concatenate(
        [
            np.stack([along[:, :-1].ravel(), along[:, 1:].ravel()], axis=1),
            np.stack([across[:-1].ravel(), across[1:].ravel()], axis=1),
        ]
    )
    heights = np.concatenate(
        [
            np.maximum(z[:-1], z[1:]).ravel(),
            np.maximum(z[:, :-1], z[:, 1:]).ravel(),
        ]
    )
    age = np.empty(len(tops), dtype=int)
    age[np.argsort(-tops, kind="stable")] = np.arange(len(tops))
    merges = elder(age, edges, np.argsort(-heights, kind="stable"))
    births, deaths = heights[merges[:, 2]], tops[merges[:, 0]]
    bars = np.stack([births, deaths], axis=1)
    return bars[births < deaths]


def _by_gudhi(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    gudhi = checks.need("gudhi", "topology", "the gudhi backend")
    complex_ = gudhi.CubicalComplex(vertices=z)
    complex_.compute_persistence()
    bars = [
        np.asarray(complex_.persistence_intervals_in_dimension(k), float)
        for k in (0, 1)
    ]
    bars = [b.reshape(-1, 2) for b in bars]
    return tuple(b[np.isfinite(b[:, 0])] for b in bars)


def _tidy(bars: np.ndarray) -> np.ndarray:
    length = bars[:, 1] - bars[:, 0]
    return bars[np.lexsort((bars[:, 0], -length))]


def significant(diagram_: Diagram, error: float) -> Diagram:
    r"""Keep the bars that an error of the losses cannot have made.

    If every loss is known up to ``error``, the true diagram lies within
    that bottleneck distance, so a bar longer than ``2 * error`` stands
    for a feature that is there. What stays has

    .. math:: \text{death} - \text{birth} > 2 \, \text{error}.

    Args:
        diagram_: a diagram.
        error: bound on ``|measured - true|`` over the grid, >= 0.

    Returns:
        The diagram without the bars of length up to ``2 * error``.

    Raises:
        ValueError: a negative error.

    Example:
        >>> z = [[5, 5, 5, 5, 5], [5, 0, 4, 1, 5], [5, 5, 5, 5, 5]]
        >>> len(significant(diagram(z), 1.5).h0)
        1

    References:
        Cohen-Steiner, Edelsbrunner, Harer, Stability of persistence
        diagrams, Discrete Comput. Geom. 37, 2007.
    """
    checks.nonnegative("error", error)
    kept = [
        h[h[:, 1] - h[:, 0] > 2 * error] for h in (diagram_.h0, diagram_.h1)
    ]
    return Diagram(
        h0=kept[0],
        h1=kept[1],
        nan=diagram_.nan,
        infinite=diagram_.infinite,
        provenance=derived_from(diagram_, f"bars longer than {2 * error:g}"),
    )
