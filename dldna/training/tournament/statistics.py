"""What a handful of seeds can and cannot tell apart."""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from dldna import checks

MOST = 20_000  # arrangements that are gone through one by one


def expected_best(
    scores: Sequence[float],
    of: Sequence[float] | None = None,
    replace: bool = True,
) -> np.ndarray:
    r"""What the best of k trials is worth on average, for each k.

    Sort the n scores, :math:`v_{(1)} \le \dots \le v_{(n)}`. The best of k
    draws is :math:`v_{(i)}` with the chance

    .. math::
        \left(\tfrac in\right)^k - \left(\tfrac{i-1}n\right)^k
        \quad\text{with replacement},\qquad
        \binom{i-1}{k-1} \Big/ \binom nk \quad\text{without}.

    With replacement, this is the estimate of Dodge et al.; it treats the
    n trials as if they were all that could be drawn, and is too low for
    k near n. Without, it is the mean over all choices of k of the n.

    Args:
        scores: (n,) validation scores, larger is better, by which the
            best is chosen; of equal ones, the first.
        of: (n,) what the chosen trial is worth, such as its test score;
            ``scores`` themselves if None.
        replace: draw with replacement.

    Returns:
        (n,) expectations for k = 1, ..., n.

    Raises:
        ValueError: no scores, a NaN among them, or ``of`` is of another
            length.

    Example:
        >>> expected_best([1.0, 3.0]).tolist()
        [2.0, 2.5]
        >>> expected_best([1.0, 3.0], replace=False).tolist()
        [2.0, 3.0]

    References:
        Dodge, J., et al., 2019, EMNLP, arXiv 1909.03004. Tang, R., et al.,
        2020, ACL, arXiv 2004.13705 (on its bias).
    """
    scores = np.asarray(scores, dtype=float)
    worth = scores if of is None else np.asarray(of, dtype=float)
    n = len(scores)
    if n == 0 or np.isnan(scores).any() or worth.shape != scores.shape:
        raise ValueError(
            "expected_best wants one score for each trial, none of them "
            f"NaN, and as many values in of=; got {n} and {len(worth)}"
        )
    # The first of equal scores comes last, so that it wins.
    order = np.lexsort((-np.arange(n), scores))
    means = [chances(n, k, replace) @ worth[order] for k in range(1, n + 1)]
    return np.array(means)


def chances(n: int, k: int, replace: bool) -> np.ndarray:
    """How likely the best of k draws is the 1st, ..., n-th of n, sorted.

    Example:
        >>> chances(3, 2, replace=False).tolist()
        [0.0, 0.3333333333333333, 0.6666666666666666]
    """
    i = np.arange(1, n + 1)
    if replace:
        return (i / n) ** k - ((i - 1) / n) ** k
    ways = [math.comb(int(j) - 1, k - 1) for j in i]
    return np.array(ways) / math.comb(n, k)


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
        The two-sided p-value. It is never below ``2 / ways``.

    Raises:
        ValueError: too few scores, or pairs of different length.

    Example:
        >>> permutation_test([1, 2, 3], [4, 5, 6])
        0.1
        >>> permutation_test([1, 2, 3], [4, 5, 6], paired=True)
        0.25
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if min(len(a), len(b)) < 2 or (paired and len(a) != len(b)):
        raise ValueError(
            f"the test needs two scores or more on each side, and for "
            f"pairs equally many, not {len(a)} and {len(b)}"
        )
    if paired:
        found = _signs(a - b, seed)
    else:
        found = _splits(np.concatenate([a, b]), len(a), seed)
    differences, ways = found
    observed = abs(a.mean() - b.mean())
    # Sums in another order differ in the last digits.
    slack = 1e-9 * max(np.abs(a).max(), np.abs(b).max(), 1e-300)
    hits = int((np.abs(differences) >= observed - slack).sum())
    if len(differences) == ways:
        return hits / ways
    return (hits + 1) / (len(differences) + 1)


def _signs(d: np.ndarray, seed: int) -> tuple[np.ndarray, int]:
    n, ways = len(d), 2 ** len(d)
    if ways <= MOST:
        codes = np.arange(ways)[:, None] >> np.arange(n)
        signs = 1 - 2 * (codes & 1)
    else:
        draw = np.random.default_rng(seed)
        signs = draw.choice([-1, 1], size=(MOST, n))
    return signs @ d / n, ways


def _splits(pool: np.ndarray, n: int, seed: int) -> tuple[np.ndarray, int]:
    size = len(pool)
    ways = math.comb(size, n)
    if ways <= MOST:
        first = np.array(list(combinations(range(size), n)))
    else:
        draw = np.random.default_rng(seed)
        first = draw.permuted(np.tile(np.arange(size), (MOST, 1)), axis=1)
        first = first[:, :n]
    mine = pool[first].sum(1)
    return mine / n - (pool.sum() - mine) / (size - n), ways


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
    special = checks.need("scipy.special", "science", "Welch's t test")
    sides = [np.asarray(side, dtype=float) for side in (a, b)]
    parts = [side.var(ddof=1) / len(side) for side in sides]
    gap = sides[0].mean() - sides[1].mean()
    if sum(parts) == 0:
        return float(gap == 0)
    t = gap / math.sqrt(sum(parts))
    pairs = zip(parts, sides, strict=True)
    freedom = sum(parts) ** 2 / sum(
        part**2 / (len(side) - 1) for part, side in pairs
    )
    return float(2 * special.stdtr(freedom, -abs(t)))


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


def letter_groups(alike: Any) -> list[str]:
    """Letters such that two share one exactly if they are alike.

    Each letter stands for a largest group of things of which all pairs
    are alike.

    Args:
        alike: (n, n) symmetric, true where a pair cannot be told apart.

    Returns:
        n strings of letters; groups are lettered in the order in which
        their first members come.

    Example:
        >>> letter_groups([[1, 1, 0], [1, 1, 1], [0, 1, 1]])
        ['a', 'ab', 'b']
    """
    alike = np.asarray(alike, dtype=bool)
    n = len(alike)
    near = [{j for j in range(n) if j != i and alike[i, j]} for i in range(n)]
    groups: list[list[int]] = []

    def grow(group: set[int], could: set[int], done: set[int]) -> None:
        if not could and not done:
            groups.append(sorted(group))
        for v in sorted(could):
            grow(group | {v}, could & near[v], done & near[v])
            could, done = could - {v}, done | {v}

    grow(set(), set(range(n)), set())
    words = [""] * n
    for k, group in enumerate(sorted(groups)):
        for i in group:
            words[i] += _letter(k)
    return words


def _letter(k: int) -> str:
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    return alphabet[k] if k < 26 else f"({k + 1})"
