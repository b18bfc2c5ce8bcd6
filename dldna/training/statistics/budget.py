"""What the best of a few trials is worth."""

import math
from collections.abc import Sequence

import numpy as np


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
