"""How far two persistence diagrams lie apart."""

from dataclasses import dataclass

import numpy as np

from dldna import checks
from dldna.landscape.shape.samples import samples
from dldna.landscape.shape.topology.diagrams import Diagram, diagram
from dldna.landscape.shape.topology.tree import levels


def bottleneck(a, b, dimension: int = 0) -> float:
    r"""The longest move in the best matching of two diagrams.

    .. math:: d_B = \min_\gamma \max_p \|p - \gamma(p)\|_\infty

    A bar may also be matched with the diagonal, at a cost of half its
    length. Bars that never die are matched among themselves by birth; if
    their numbers differ the distance is inf.

    Args:
        a: a diagram, or (n, 2) bars.
        b: the other.
        dimension: 0 or 1, which bars of a diagram are compared.

    Returns:
        The distance, in units of the loss: exact up to 500 bars, to
        about 12 digits beyond.

    Raises:
        ValueError: ``dimension`` is neither 0 nor 1, bars that are not
            (n, 2), or a bar that holds NaN or ends before it begins.
        ImportError: gudhi is not installed (extra ``topology``).

    Example:
        >>> bottleneck([[0, 4], [1, 3]], [[0, 4.2]])
        1.0

    References:
        Cohen-Steiner, Edelsbrunner, Harer, Stability of persistence
        diagrams, Discrete Comput. Geom. 37, 2007.
    """
    gudhi = checks.need("gudhi", "topology", "the bottleneck distance")
    (bars_a, born_a), (bars_b, born_b) = _parts(a, b, dimension)
    if len(born_a) != len(born_b):
        return float("inf")
    endless = np.abs(born_a - born_b).max(initial=0.0)
    exact = 0.0 if len(bars_a) + len(bars_b) <= 500 else None
    finite = gudhi.bottleneck_distance(bars_a, bars_b, exact)
    return float(max(endless, finite))


def wasserstein(a, b, dimension: int = 0, order: float = 1.0) -> float:
    r"""The total move in the cheapest matching of two diagrams.

    .. math:: W_q = \Big(\min_\gamma \sum_p
              \|p - \gamma(p)\|_\infty^q\Big)^{1/q}

    Bars may go to the diagonal, and those that never die are matched by
    birth, as in :func:`bottleneck`.

    Args:
        a: a diagram, or (n, 2) bars.
        b: the other.
        dimension: 0 or 1, which bars of a diagram are compared.
        order: the exponent q, at least 1. The distance keeps its unit:
            surfaces times a number have it times that number.

    Returns:
        The distance, in units of the loss; inf if the numbers of bars
        that never die differ.

    Raises:
        ValueError: ``dimension`` is neither 0 nor 1, ``order`` is below 1,
            bars that are not (n, 2), or a bar that holds NaN or ends
            before it begins.
        ImportError: gudhi or POT is not installed (extra ``topology``).

    Example:
        >>> round(wasserstein([[0, 4], [1, 3]], [[0, 4.2]]), 12)
        1.2

    References:
        Edelsbrunner, Harer, Computational Topology, AMS 2010, VIII.
    """
    if checks.positive("order", order) < 1:
        raise ValueError(f"order must be at least 1, not {order!r}")
    transport = checks.need("ot", "topology", "the Wasserstein distance")
    gudhi = checks.need("gudhi", "topology", "the Wasserstein distance")
    (bars_a, born_a), (bars_b, born_b) = _parts(a, b, dimension)
    if len(born_a) != len(born_b):
        return float("inf")
    longest = gudhi.bottleneck_distance(bars_a, bars_b)
    finite = 0.0
    if longest > 0:
        costs = _costs(bars_a, bars_b, longest, order)
        n, m = len(bars_a), len(bars_b)
        given, taken = np.ones(n + 1), np.ones(m + 1)
        given[-1], taken[-1] = m, n  # the diagonal
        moved = transport.emd2(
            given / (n + m), taken / (n + m), costs, numItermax=2_000_000
        )
        finite = longest * (moved * (n + m)) ** (1 / order)
    moves = np.append(np.abs(born_a - born_b), finite)
    top = moves.max()
    if top == 0:
        return 0.0
    return float(top * ((moves / top) ** order).sum() ** (1 / order))


def _costs(a, b, unit: float, order: float) -> np.ndarray:
    """(n + 1, m + 1) powers of the moves; the last is the diagonal.

    In units of the bottleneck distance the cheapest matching costs n + m
    at most, so dearer moves, which could overflow, are in none.
    """
    costs = np.zeros((len(a) + 1, len(b) + 1))
    costs[:-1, :-1] = np.abs(a[:, None] - b).max(axis=-1, initial=0.0)
    costs[:-1, -1] = (a[:, 1] - a[:, 0]) / 2
    costs[-1, :-1] = (b[:, 1] - b[:, 0]) / 2
    most = 2.0 * (len(a) + len(b))
    with np.errstate(divide="ignore"):
        powers = order * (np.log(costs) - np.log(unit))
    return np.exp(np.minimum(powers, np.log(most)))


def _parts(a, b, dimension: int):
    """Bars that die, and the sorted births of those that never do."""
    if dimension not in (0, 1):
        raise ValueError(f"dimension must be 0 or 1, not {dimension!r}")
    parts = []
    for d in (a, b):
        if isinstance(d, Diagram):
            d = d.h1 if dimension else d.h0
        bars = np.asarray(d, dtype=np.float64)
        if bars.shape == (0,):
            bars = bars.reshape(0, 2)
        if bars.ndim != 2 or bars.shape[1] != 2:
            raise ValueError(
                "expected bars (birth, death) of shape (n, 2), not "
                f"{bars.shape}"
            )
        if np.isnan(bars).any():
            raise ValueError("a bar holds NaN")
        births, deaths = bars.T
        if np.isinf(births).any() or (deaths < births).any():
            wrong = bars[np.isinf(births) | (deaths < births)][0].tolist()
            raise ValueError(
                f"the bar {wrong} is not (birth, death) with a finite birth "
                "and a death above it; bars of superlevel sets go the other "
                "way: give them with both signs turned, (-birth, -death)"
            )
        ends = np.isfinite(bars[:, 1])
        parts.append((bars[ends], np.sort(bars[~ends, 0])))
    return parts


@dataclass(frozen=True)
class Stability:
    r"""A surface and a disturbed copy, compared by their diagrams.

    .. math:: d_B(f, g) \le \|f - g\|_\infty

    Args:
        sup: largest ``|f - g|`` over the grid.
        bottleneck_h0: distance of the valleys, never above ``sup``.
        bottleneck_h1: distance of the rings, never above ``sup``.
        minima: numbers of H0 bars of the two.
        sure: numbers of H0 bars longer than ``2 * sup``; these are real.

    Example:
        >>> z = np.array([[5, 5, 5, 5, 5], [5, 0, 4, 1, 5],
        ...               [5, 5, 5, 5, 5.]])
        >>> found = stability(z, z + 2 * (z == 1))
        >>> found.sup, found.bottleneck_h0, found.minima, found.sure
        (2.0, 1.5, (2, 2), (1, 1))

    References:
        Cohen-Steiner, Edelsbrunner, Harer, Stability of persistence
        diagrams, Discrete Comput. Geom. 37, 2007.
    """

    sup: float
    bottleneck_h0: float
    bottleneck_h1: float
    minima: tuple[int, int]
    sure: tuple[int, int]


def stability(surface, other) -> Stability:
    r"""Show how far noise moves the diagram: :math:`d_B \le \|f-g\|_\infty`.

    Give a surface on all data and the same plane on one mini-batch: the
    number of valleys may explode, the diagram moves by no more than the
    losses did.

    Args:
        surface: a surface, or an (A, B) array of losses.
        other: the same grid, other losses, same holes (NaN or +inf).

    Returns:
        Both sides of the inequality, and the numbers of minima.

    Raises:
        ValueError: the grids or their holes differ.
        ImportError: gudhi is not installed (extra ``topology``).

    Example:
        >>> z = np.array([[5, 5, 5, 5, 5], [5, 0, 4, 1, 5],
        ...               [5, 5, 5, 5, 5.]])
        >>> s = stability(z, z + 0.25)
        >>> s.sup, s.bottleneck_h0
        (0.25, 0.25)

    References:
        Cohen-Steiner, Edelsbrunner, Harer, Stability of persistence
        diagrams, Discrete Comput. Geom. 37, 2007.
    """
    f, g = levels(samples(surface))[0], levels(samples(other))[0]
    if f.shape != g.shape:
        raise ValueError(f"grids of {f.shape} and {g.shape} points differ")
    seen = np.isfinite(f)
    if (seen != np.isfinite(g)).any():
        raise ValueError("the two surfaces have holes at different points")
    sup = float(np.abs(f[seen] - g[seen]).max())
    d, e = diagram(f), diagram(g)
    lengths = [h[:, 1] - h[:, 0] for h in (d.h0, e.h0)]
    return Stability(
        sup=sup,
        bottleneck_h0=bottleneck(d, e, 0),
        bottleneck_h1=bottleneck(d, e, 1),
        minima=(len(d.h0), len(e.h0)),
        sure=tuple(int((length > 2 * sup).sum()) for length in lengths),
    )
