"""Points that lie in clusters far apart, if they do."""

import numpy as np

from dldna import checks


def clusters(distances: np.ndarray, factor: float = 3.0) -> np.ndarray:
    r"""Part points into clusters that lie far apart, if there are any.

    Take the edges of the minimum spanning tree by length. Where two that
    follow each other differ by more than ``factor``, the longer ones are
    bridges and are cut, at the widest such gap that leaves no point
    alone: a single far point is a fast first step, not another run.

    Args:
        distances: (T, T) distances.
        factor: how much longer a bridge must be.

    Returns:
        (T,) numbers of clusters, 0 for the first point's; all 0 if there
        is but one.

    Example:
        >>> x = np.array([0.0, 1.0, 9.0, 10.0])
        >>> clusters(abs(x[:, None] - x)).tolist()
        [0, 0, 1, 1]
    """
    if checks.positive("factor", factor) <= 1:
        raise ValueError(f"factor must be greater than 1, not {factor!r}")
    d = np.asarray(distances, dtype=np.float64)
    t = len(d)
    edges = _spanning_tree(d)
    edges = edges[np.argsort(edges[:, 2])]
    lengths = np.maximum(edges[:, 2], 1e-12 * max(d.max(), 1e-300))
    ratios = lengths[1:] / lengths[:-1]
    for gap in np.argsort(-ratios, kind="stable"):
        if ratios[gap] <= factor:
            break
        names = _forest(t, edges[: gap + 1, :2].astype(int))
        if np.bincount(names).min() >= 2:
            return names
    return np.zeros(t, dtype=int)


def _spanning_tree(d: np.ndarray) -> np.ndarray:
    """(T - 1, 3) rows (i, j, length), after Prim."""
    t = len(d)
    nearest, away = np.zeros(t, dtype=int), d[0].copy()
    away[0] = np.inf
    outside, rows = np.ones(t, dtype=bool), []
    outside[0] = False
    for _ in range(t - 1):
        j = int(np.argmin(np.where(outside, away, np.inf)))
        rows.append((nearest[j], j, away[j]))
        outside[j] = False
        closer = outside & (d[j] < away)
        nearest[closer], away[closer] = j, d[j][closer]
    return np.array(rows, dtype=np.float64).reshape(-1, 3)


def _forest(t: int, edges: np.ndarray) -> np.ndarray:
    names = np.arange(t)
    for i, j in edges:
        names[names == names[j]] = names[i]
    _, first = np.unique(names, return_index=True)
    numbers = {names[i]: n for n, i in enumerate(sorted(first))}
    return np.array([numbers[n] for n in names])
