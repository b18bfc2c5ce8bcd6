"""How often a handful of seeds sees a difference that is there."""

from collections.abc import Callable

import numpy as np

from dldna import checks
from dldna.training.statistics.compare import compare


def power(
    shift: float,
    n: int = 5,
    *,
    paired: bool = False,
    level: float = 0.05,
    test: str | Callable[[np.ndarray, np.ndarray], bool] = "auto",
    draws: int = 1000,
    seed: int = 0,
) -> float:
    """The share of experiments in which a true difference is separated.

    Both sides are normal draws of one spread. At a shift of 0 the share
    is that of false alarms, which must not exceed the level.

    Args:
        shift: of the second side, in standard deviations of a side (of
            the differences, for pairs).
        n: seeds of each side.
        paired, level: as for :func:`compare`.
        test: as for :func:`compare`, or a function of two arrays that
            says whether they are separated.
        draws: experiments that are played.
        seed: of the draws.

    Returns:
        A share; its error is at most ``0.5 / sqrt(draws)``.

    Example:
        >>> [round(power(shift, draws=200), 1) for shift in (0, 1, 2, 3)]
        [0.0, 0.3, 0.8, 1.0]
        >>> disjoint = lambda a, b: a.max() < b.min() or b.max() < a.min()
        >>> round(power(1.0, test=disjoint, draws=200), 1)
        0.1
    """
    checks.count("n", n, 2)
    draw = np.random.default_rng(seed)
    seen = 0
    for _ in range(checks.count("draws", draws)):
        a, b = draw.standard_normal((2, n))
        if paired:
            b = np.zeros(n)
        a = a + checks.number("shift", shift)
        if callable(test):
            seen += bool(test(a, b))
        else:
            options = {"paired": paired, "level": level, "test": test}
            seen += compare(a, b, **options).told_apart
    return seen / draws
