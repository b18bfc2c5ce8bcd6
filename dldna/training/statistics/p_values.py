"""How often chance alone parts two methods as far as here."""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

import numpy as np

from dldna import checks

MOST = 20_000  # arrangements that are gone through one by one


class Arrangements(NamedTuple):
    """All ways in which the scores could have been dealt out.

    Attributes:
        differences: of the two means, for each way.
        moved: what each way's difference would lose if the first side
            were lowered by one; 1 for the way that was observed.
        complete: whether these are all ways, or as many drawn.
    """

    differences: np.ndarray
    moved: np.ndarray
    complete: bool


def permutation_test(
    a: Sequence[float],
    b: Sequence[float],
    paired: bool = False,
    seed: int = 0,
) -> float:
    r"""How often chance alone parts two means as far as here.

    If the two methods were alike, every way of dealing the scores out to
    them would be as likely: all :math:`\binom{n+m}{n}` ways of choosing
    the first group or, for pairs, all :math:`2^n` choices of sign of the
    differences. The p-value is the share of ways whose absolute
    difference of means is at least the observed one. All ways are gone
    through where there are at most 20,000, else as many are drawn.

    Args:
        a: scores of one method, one for each seed.
        b: scores of the other.
        paired: the i-th scores of both belong together.
        seed: of the draws, where not all ways are gone through.

    Returns:
        The two-sided p-value. It is never below :func:`smallest_p`.

    Raises:
        ValueError: too few scores, or pairs of different length.

    Example:
        >>> permutation_test([1, 2, 3], [4, 5, 6])
        0.1
        >>> permutation_test([1, 2, 3], [4, 5, 6], paired=True)
        0.25
    """
    a, b = _sides(a, b, paired)
    ways = arrangements(a, b, paired, seed)
    # Sums in another order differ in the last digits.
    pool = np.concatenate([a, b])
    slack = 1e-9 * np.ptp(pool) + 1e-13 * np.abs(pool).max()
    observed = abs(a.mean() - b.mean())
    hits = int((np.abs(ways.differences) >= observed - slack).sum())
    extra = 0 if ways.complete else 1
    return (hits + extra) / (len(ways.differences) + extra)


def permutation_interval(
    a: Sequence[float],
    b: Sequence[float],
    level: float = 0.05,
    paired: bool = False,
    seed: int = 0,
) -> tuple[float, float]:
    r"""All differences that :func:`permutation_test` does not rule out.

    Take a difference :math:`\delta` off the first side and test again: a
    way whose difference is :math:`d_w - c_w\delta` counts as long as

    .. math::
        |d_w - c_w \delta| \ge |d - \delta|, \qquad |c_w| \le 1,

    that is, for :math:`\delta` between :math:`(d - d_w)/(1 - c_w)` and
    :math:`(d + d_w)/(1 + c_w)`. The observed difference d lies between
    them for every way, so the p-value only falls as :math:`\delta` moves
    away from d, and the ends follow by counting.

    Args:
        a, b, paired, seed: as for the test.
        level: the p-value at and below which a difference is ruled out.

    Returns:
        (lowest, highest) difference of the means, infinite where there
        are too few ways to rule anything out.

    Example:
        >>> permutation_interval([1, 2, 3, 4], [5, 6, 7, 8], 0.03)
        (-7.0, -1.0)
    """
    a, b = _sides(a, b, paired)
    ways = arrangements(a, b, paired, seed)
    d, c, gap = ways.differences, ways.moved, a.mean() - b.mean()
    bends = np.abs(c) < 1 - 1e-12
    d, c = d[bends], c[bends]
    ends = np.array([(gap - d) / (1 - c), (gap + d) / (1 + c)])
    size, always = len(bends), int((~bends).sum())
    if not ways.complete:
        size, always = size + 1, always + 1
    # So many of the ways that bend must still count.
    needed = math.floor(level * size + 1e-9) - always + 1
    if needed <= 0:
        return -math.inf, math.inf
    if needed > ends.shape[1]:
        return float(gap), float(gap)
    low, high = np.sort(ends.min(0)), np.sort(ends.max(0))[::-1]
    return float(low[needed - 1]), float(high[needed - 1])


def smallest_p(n: int, m: int | None = None) -> float:
    """The least p-value that a permutation test can give.

    Args:
        n: scores of one side, or pairs.
        m: scores of the other side; None for pairs.

    Example:
        >>> round(smallest_p(5, 5), 4)
        0.0079
        >>> smallest_p(5)
        0.0625
    """
    if m is None:
        return 2 / 2**n
    # Of unequal sides, the mirror image is no way of its own.
    return (1 + (n == m)) / math.comb(n + m, n)


def arrangements(
    a: np.ndarray, b: np.ndarray, paired: bool, seed: int
) -> Arrangements:
    """All ways to deal the scores out, or many of them."""
    draw = np.random.default_rng(seed)
    n, size = len(a), len(a) + len(b)
    total = 2**n if paired else math.comb(size, n)
    if paired:
        if total <= MOST:
            signs = 1 - 2 * (np.arange(total)[:, None] >> np.arange(n) & 1)
        else:
            signs = draw.choice([-1, 1], size=(MOST, n))
        return Arrangements(signs @ (a - b) / n, signs.mean(1), total <= MOST)
    if total <= MOST:
        first = _choices(size, n)
    else:
        rows = np.tile(np.arange(size), (MOST, 1))
        first = draw.permuted(rows, axis=1)[:, :n]
    pool, m = np.concatenate([a, b]), size - n
    mine, own = pool[first].sum(1), (first < n).sum(1)
    differences = mine / n - (pool.sum() - mine) / m
    return Arrangements(differences, own / n - (n - own) / m, total <= MOST)


@lru_cache(maxsize=8)
def _choices(size: int, n: int) -> np.ndarray:
    return np.array(list(combinations(range(size), n)))


def welch_test(a: Sequence[float], b: Sequence[float]) -> float:
    r"""Welch's t test of two means; needs SciPy.

    .. math::
        t = \frac{\bar a - \bar b}{\sqrt{s_a^2/n + s_b^2/m}}

    It takes the scores as normal draws, with a spread of each side's own.
    That is an assumption, which lets a few seeds say more than
    :func:`permutation_test` can.

    Returns:
        The two-sided p-value.

    Raises:
        ImportError: SciPy is missing.

    Example:
        >>> round(welch_test([1, 2, 3], [4, 5, 6]), 4)
        0.0213
    """
    return t_test(a, b, paired=False)


def t_test(
    a: Sequence[float], b: Sequence[float], paired: bool = True
) -> float:
    """The t test of pairs, or Welch's; needs SciPy.

    Args:
        a, b: scores, taken as normal draws.
        paired: whether the i-th scores of both belong together.

    Returns:
        The two-sided p-value; 0 or 1 where nothing spreads.

    Example:
        >>> round(t_test([1, 2, 4], [2, 4, 6]), 4)
        0.0377
    """
    gap, error, freedom = _student(*_sides(a, b, paired), paired)
    if error == 0:
        return float(gap == 0)
    special = checks.need("scipy.special", "science", "the t test")
    return float(2 * special.stdtr(freedom, -abs(gap / error)))


def t_interval(
    a: Sequence[float],
    b: Sequence[float],
    level: float = 0.05,
    paired: bool = False,
) -> tuple[float, float]:
    """All differences that :func:`t_test` does not rule out.

    Example:
        >>> low, high = t_interval([1, 2, 3], [4, 5, 6])
        >>> round(low, 3), round(high, 3)
        (-5.267, -0.733)
    """
    gap, error, freedom = _student(*_sides(a, b, paired), paired)
    if error == 0:
        return float(gap), float(gap)
    special = checks.need("scipy.special", "science", "the t test")
    reach = float(special.stdtrit(freedom, 1 - level / 2)) * error
    return float(gap - reach), float(gap + reach)


def _student(a: np.ndarray, b: np.ndarray, paired: bool):
    """Difference of the means, its standard error, degrees of freedom."""
    gap = a.mean() - b.mean()
    sides = (a - b,) if paired else (a, b)
    parts = [side.var(ddof=1) / len(side) for side in sides]
    error = math.sqrt(sum(parts))
    # Equal scores differ from their mean in the last digit.
    if error < 1e-12 * max(np.abs(a).max(), np.abs(b).max()):
        error = 0.0
    freedom = sum(parts) ** 2 / sum(
        max(part, 1e-300) ** 2 / (len(side) - 1)
        for part, side in zip(parts, sides, strict=True)
    ) if error else 0.0  # fmt: skip
    return gap, error, freedom


def holm(p: Sequence[float]) -> np.ndarray:
    r"""p-values adjusted for how many questions were asked.

    With :math:`p_{(1)} \le \dots \le p_{(m)}`, the i-th becomes
    :math:`\max_{j \le i} \min(1, (m - j + 1)\, p_{(j)})`. Calling those
    below alpha real keeps the chance of even one false call below alpha.

    Args:
        p: (m,) p-values.

    Returns:
        (m,) adjusted p-values, in the order given.

    Example:
        >>> holm([0.03, 0.01, 0.04]).tolist()
        [0.06, 0.03, 0.06]

    References:
        Holm, S., 1979, Scandinavian Journal of Statistics 6.
    """
    p = np.asarray(p, dtype=float)
    order = np.argsort(p, kind="stable")
    scaled = p[order] * (len(p) - np.arange(len(p)))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted


def _sides(a, b, paired: bool) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if min(len(a), len(b)) < 2 or (paired and len(a) != len(b)):
        raise ValueError(
            f"the test needs two scores or more on each side, and for "
            f"pairs equally many, not {len(a)} and {len(b)}"
        )
    return a, b
