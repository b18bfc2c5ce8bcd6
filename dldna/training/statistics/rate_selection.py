"""A rate is chosen on validation scores, and inside its grid."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dldna import checks
from dldna.training.statistics.compare import BETTER


@dataclass(frozen=True)
class Choice:
    """The rate that validation chose.

    Args:
        rate: the rate.
        index: its place in the grid, as it was given.
        score: its mean validation score.
        at_edge: whether it is the lowest or highest of the grid.
    """

    rate: float
    index: int
    score: float
    at_edge: bool

    @property
    def words(self) -> str:
        """Where the rate lies, as a piece of a sentence."""
        if not self.at_edge:
            return f"{self.rate:g}, inside the grid"
        return f"{self.rate:g}, at the edge of the grid"


def choose_rate(
    grid: Sequence[float],
    scores: Sequence,
    *,
    better: str = "lower",
    edge: str = "raise",
) -> Choice:
    """The rate with the best mean validation score.

    Scores that choose must not be those that are reported: give scores
    of a validation part, and report test scores. A best rate at either
    end of the grid is refused, for the true one may lie outside.

    Args:
        grid: (R,) rates, in any order.
        scores: (R,) or (R, K) validation scores; the mean over the K
            seeds counts. Infinite or NaN: that run diverged, and its
            rate is not chosen.
        better: ``"lower"`` or ``"higher"`` scores.
        edge: ``"raise"``, or ``"say"`` where the page says so:
            :attr:`Choice.words`.

    Returns:
        A :class:`Choice`.

    Raises:
        ValueError: the best rate is at the edge, every rate diverged, or
            the two do not fit together.

    Example:
        >>> choose_rate([0.01, 0.1, 1.0], [2.0, 1.0, 1.5]).rate
        0.1
        >>> choose_rate([0.01, 0.1, 1.0], [[3, 3], [2, 2], [1, 2]])
        Traceback (most recent call last):
        ...
        ValueError: the best of the rates 0.01, 0.1, 1 is 1, the highest: \
widen the grid, or say so on the page with edge="say"
        >>> choose_rate([0.1, 1.0], [2, 1], edge="say").words
        '1, at the edge of the grid'
    """
    checks.choice("better", better, BETTER)
    checks.choice("edge", edge, ("raise", "say"))
    rates, scores = np.asarray(grid, float), np.asarray(scores, float)
    if rates.ndim != 1 or scores.shape[:1] != rates.shape or not len(rates):
        raise ValueError(
            f"one row of scores for each rate is needed, not scores of "
            f"shape {scores.shape} for rates of shape {rates.shape}"
        )
    means = scores.reshape(len(rates), -1).mean(1)
    means = means if better == "lower" else -means
    means = np.where(np.isfinite(means), means, np.inf)
    if np.isinf(means).all():
        raise ValueError("every rate of the grid diverged: try lower rates")
    index = int(means.argmin())
    rate = float(rates[index])
    ends = {rates.min(): "lowest", rates.max(): "highest"}
    if rate in ends and edge == "raise":
        listed = ", ".join(f"{r:g}" for r in rates)
        raise ValueError(
            f"the best of the rates {listed} is {rate:g}, the {ends[rate]}: "
            'widen the grid, or say so on the page with edge="say"'
        )
    score = float(means[index] if better == "lower" else -means[index])
    return Choice(rate, index, score, rate in ends)
