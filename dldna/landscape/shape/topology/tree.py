"""The merge tree of a surface, by union-find and the elder rule."""

import heapq
from dataclasses import dataclass, field

import numpy as np

from dldna.landscape.shape.samples import Samples, place, samples
from dldna.records import Provenance, Record, derived_from

# Half of the neighbours of a vertex, by their number.
STEPS = {
    4: ((0, 1), (1, 0)),
    6: ((0, 1), (1, 0), (1, -1)),
    8: ((0, 1), (1, 0), (1, -1), (1, 1)),
}


@dataclass(frozen=True, eq=False)
class MergeTree(Record):
    r"""Valleys of a surface, and where each joins an older one.

    A valley is a component of a sublevel set :math:`\{L \le c\}`.
    Branches are sorted by persistence, the longest first. The first
    branch starts at the deepest minimum and never ends.

    Args:
        births: (n,) loss at each branch's minimum.
        deaths: (n,) loss at the saddle where it joins; inf if never.
        minima: (n, 2) grid indices of the minima.
        saddles: (n, 2) grid indices of the saddles, -1 if there is none.
        minima_at: (n, 2) coordinates (alpha, beta) of the minima.
        saddles_at: (n, 2) coordinates of the saddles, NaN if none.
        parents: (n,) the branch that each one joins, -1 if none.
        neighbours: how many neighbours a grid point has (4, 6 or 8).
        nan: number of losses that are NaN.
        infinite: number of losses that are +inf.
        provenance: where it came from.

    Example:
        >>> z = [[5, 5, 5, 5, 5], [5, 0, 4, 1, 5], [5, 5, 5, 5, 5]]
        >>> tree = merge_tree(z)
        >>> tree.minima.tolist(), tree.parents.tolist()
        ([[1, 1], [1, 3]], [-1, 0])

    References:
        Edelsbrunner, Harer, Computational Topology, AMS 2010, VII.
    """

    births: np.ndarray
    deaths: np.ndarray
    minima: np.ndarray
    saddles: np.ndarray
    minima_at: np.ndarray
    saddles_at: np.ndarray
    parents: np.ndarray
    neighbours: int = 4
    nan: int = 0
    infinite: int = 0
    provenance: Provenance = field(default_factory=Provenance)

    @property
    def persistence(self) -> np.ndarray:
        """(n,) death minus birth, how high the way out of each valley is.

        It is in units of the loss, and inf for a valley without a way out.

        Example:
            >>> z = [[5, 5, 5, 5, 5], [5, 0, 4, 1, 5], [5, 5, 5, 5, 5]]
            >>> merge_tree(z).persistence.tolist()
            [inf, 3.0]
        """
        return self.deaths - self.births


def levels(axes: Samples) -> tuple[np.ndarray, int, int]:
    """Losses with NaN as +inf, and how many of each there were.

    A point whose loss is NaN or +inf lies in no sublevel set, so it is a
    hole in the ground: nothing is filled in, and the holes are counted.

    Returns:
        ``(z, nan, infinite)``.

    Raises:
        ValueError: a loss is -inf.
    """
    if np.isneginf(axes.z).any():
        raise ValueError(
            "a loss of -inf has no depth: offset the losses before a "
            "logarithm is taken, or cut them from below"
        )
    nan = np.isnan(axes.z)
    return (
        np.where(nan, np.inf, axes.z),
        int(nan.sum()),
        int(np.isposinf(axes.z).sum()),
    )


def edges_of(shape: tuple[int, int], neighbours: int) -> np.ndarray:
    """(m, 2) flat indices of neighbouring grid points."""
    if neighbours not in STEPS:
        raise ValueError(
            f"neighbours must be 4, 6 or 8, not {neighbours!r}: 4 joins "
            "along the axes, 6 also along one diagonal, 8 along both"
        )
    index = np.arange(shape[0] * shape[1]).reshape(shape)
    pairs = []
    for down, right in STEPS[neighbours]:
        left, stop = max(0, -right), shape[1] - max(0, right)
        here = index[: shape[0] - down, left:stop]
        there = index[down:, left + right : stop + right]
        pairs.append(np.stack([here.ravel(), there.ravel()], axis=1))
    return np.concatenate(pairs)


def elder(age: np.ndarray, edges: np.ndarray, order: np.ndarray):
    r"""Join components edge by edge; at each merge the younger one dies.

    Kruskal's loop over union-find. The oldest member stays the root of
    its component, so the root that disappears names the bar that ends.

    Args:
        age: (n,) rank of each node, 0 is the oldest; all different.
        edges: (m, 2) pairs of nodes.
        order: (m,) the edges' turn.

    Returns:
        (k, 3) rows (younger root, older root, edge), in order of merging.

    Example:
        >>> elder(np.array([0, 2, 1]), np.array([[0, 1], [1, 2]]),
        ...       np.array([0, 1])).tolist()
        [[1, 0, 0], [2, 0, 1]]

    References:
        Edelsbrunner, Harer, Computational Topology, AMS 2010, VII.1.
    """
    parent, rank = list(range(len(age))), age.tolist()
    merges = []
    ends = edges[order].tolist()
    for e, (u, v) in zip(order.tolist(), ends, strict=True):
        while parent[u] != u:  # halve the path while climbing it
            parent[u] = parent[parent[u]]
            u = parent[u]
        while parent[v] != v:
            parent[v] = parent[parent[v]]
            v = parent[v]
        if u == v:
            continue
        if rank[u] > rank[v]:
            u, v = v, u
        parent[v] = u
        merges.append((v, u, e))
    return np.array(merges, dtype=int).reshape(-1, 3)


def merge_tree(surface, neighbours: int = 4) -> MergeTree:
    r"""Which valleys a surface has, and at what level each pair joins.

    Raise the water level :math:`c` through the sublevel sets
    :math:`\{L \le c\}`. A component is born at a local minimum; where two
    meet, at a saddle, the one with the higher minimum dies (elder rule).
    The pairs (birth, death) are the H0 bars of the surface. Ties are
    broken by index; bars of length 0 are dropped.

    NaN and +inf lie in no sublevel set: they are walls, counted in the
    record. A valley shut in by walls never dies.

    Args:
        surface: a surface, or an (A, B) array of losses.
        neighbours: 4 for samples at grid points (gudhi's ``vertices``),
            8 for pixels (gudhi's ``top_dimensional_cells``), 6 for the
            triangulation of :func:`critical_points`.

    Returns:
        The merge tree.

    Raises:
        ValueError: not a surface, a loss of -inf, or another number of
            neighbours.

    Example:
        >>> z = [[5, 5, 5, 5, 5], [5, 0, 4, 1, 5], [5, 5, 5, 5, 5]]
        >>> tree = merge_tree(z)
        >>> tree.births.tolist(), tree.deaths.tolist()
        ([0.0, 1.0], [inf, 4.0])
        >>> tree.saddles[1].tolist()
        [1, 2]

    References:
        Edelsbrunner, Harer, Computational Topology, AMS 2010, VII.
    """
    axes = samples(surface)
    z, nan, infinite = levels(axes)
    values = z.ravel()
    edges = edges_of(z.shape, neighbours)
    edges = edges[np.isfinite(values[edges]).all(axis=1)]
    age = np.empty(values.size, dtype=int)
    age[np.argsort(values, kind="stable")] = np.arange(values.size)
    upper = edges[np.arange(len(edges)), age[edges].argmax(axis=1)]
    merges = elder(age, edges, np.argsort(age[upper], kind="stable"))

    young, old, saddle = merges[:, 0], merges[:, 1], upper[merges[:, 2]]
    alive = np.isfinite(values)
    alive[young] = False
    real = values[young] < values[saddle]
    minima = np.concatenate([np.flatnonzero(alive), young[real]])
    none = np.full(int(alive.sum()), -1)
    saddles = np.concatenate([none, saddle[real]])
    elders = np.concatenate([none, old[real]])
    births = values[minima]
    deaths = np.where(saddles < 0, np.inf, values[saddles])
    order = np.lexsort((minima, births, births - deaths))
    branch = np.full(values.size, -1)
    branch[minima[order]] = np.arange(len(order))
    where = [_unravel(v[order], z.shape) for v in (minima, saddles)]
    parents = elders[order]
    return MergeTree(
        births=births[order],
        deaths=deaths[order],
        minima=where[0],
        saddles=where[1],
        minima_at=place(axes, where[0]),
        saddles_at=place(axes, where[1]),
        parents=np.where(parents < 0, -1, branch[parents]),
        neighbours=neighbours,
        nan=nan,
        infinite=infinite,
        provenance=derived_from(surface, "merge tree of sublevel sets"),
    )


def _unravel(flat: np.ndarray, shape) -> np.ndarray:
    index = np.stack(np.unravel_index(np.maximum(flat, 0), shape), axis=1)
    index[flat < 0] = -1
    return index


def way_out(surface, tree: MergeTree, branch: int) -> np.ndarray:
    r"""The lowest way from a minimum over its saddle into a deeper valley.

    .. math:: \min_{\text{paths}} \; \max_{v \in \text{path}} L(v)

    Among all paths on the grid it minimises the highest loss on the way
    (the mountain pass), which is the branch's death. It ends where the loss
    is first below the branch's own minimum; of equal losses, the point
    that comes first on the grid counts as lower.

    Args:
        surface: the surface the tree was made from.
        tree: its merge tree.
        branch: number of a branch that dies.

    Returns:
        (K, 2) coordinates (alpha, beta), from the minimum on.

    Raises:
        ValueError: the branch never dies, or there is no such branch.

    Example:
        >>> z = [[5, 5, 5, 5, 5], [5, 0, 4, 1, 5], [5, 5, 5, 5, 5]]
        >>> way_out(z, merge_tree(z), 1).tolist()
        [[1.0, 3.0], [1.0, 2.0], [1.0, 1.0]]

    References:
        Barnes, Lehman, Mulla, Priority-flood, Comput. Geosci. 62, 2014.
    """
    n = len(tree.births)
    if not 0 <= branch < n or tree.saddles[branch, 0] < 0:
        dying = np.flatnonzero(tree.parents >= 0).tolist()
        raise ValueError(
            f"branch {branch!r} has no saddle; branches that have: {dying}"
        )
    axes = samples(surface)
    z, _, _ = levels(axes)
    start = tuple(tree.minima[branch].tolist())
    goal = (z[start], start)
    steps = STEPS[tree.neighbours]
    steps = [*steps, *[(-a, -b) for a, b in steps]]
    before = {start: None}
    heap = [goal]
    while heap:
        level, here = heapq.heappop(heap)
        if (level, here) < goal:
            break
        for a, b in steps:
            there = (here[0] + a, here[1] + b)
            inside = 0 <= there[0] < z.shape[0] and 0 <= there[1] < z.shape[1]
            if inside and there not in before and np.isfinite(z[there]):
                before[there] = here
                heapq.heappush(heap, (z[there], there))
    path = []
    while here is not None:
        path.append(here)
        here = before[here]
    return place(axes, np.array(path[::-1]))
