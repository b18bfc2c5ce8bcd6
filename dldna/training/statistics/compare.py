"""One voice for "better than": two methods, a few seeds each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dldna import checks
from dldna.training.statistics.p_values import (
    permutation_interval,
    permutation_test,
    smallest_p,
    t_interval,
    t_test,
)

BETTER = ("lower", "higher")
TESTS = ("auto", "permutation", "t")
NAMED = {
    ("permutation", False): "exact permutation test",
    ("permutation", True): "sign-flip test of pairs",
    ("t", False): "Welch's t test",
    ("t", True): "t test of pairs",
}


@dataclass(frozen=True)
class Comparison:
    """What the runs of two methods say about which is better.

    Args:
        verdict: of the first method: ``"better"``, ``"worse"``,
            ``"alike"`` or ``"not separated"``.
        names: of the two.
        p: two-sided p-value, corrected if several pairs were compared.
        alone: the p-value of this pair by itself.
        level: at and below which a p-value separates.
        test: the test's name.
        better: ``"lower"`` or ``"higher"`` scores.
        difference: mean of the first minus mean of the second, in the
            scores' unit.
        interval: the differences that this test, for this pair alone,
            does not rule out at that level.
        effect: the effect size: see ``effect_name``.
        effect_name: what it is a share of.
        n: scores of each side.
        margin: the largest difference that would not matter; None if
            none was named.
        within: whether the true difference is within the margin, by an
            equivalence test at the level; None without a margin.
    """

    verdict: str
    names: tuple[str, str]
    p: float
    alone: float
    level: float
    test: str
    better: str
    difference: float
    interval: tuple[float, float]
    effect: float
    effect_name: str
    n: tuple[int, int]
    margin: float | None = None
    within: bool | None = None

    @property
    def told_apart(self) -> bool:
        """Whether the runs separate the two."""
        return self.verdict in {"better", "worse"}

    @property
    def words(self) -> str:
        """The verdict as a piece of a sentence, to be glued."""
        a, b = self.names
        if not self.told_apart:
            return f"{a} and {b} {SAID[self.verdict]}"
        small = ", by less than what matters" if self.within else ""
        return f"{a} {self.verdict} than {b}{small}"

    def __str__(self) -> str:
        many = f"{self.n[0]} pairs"
        if "pairs" not in self.test:
            many = f"{self.n[0]} and {self.n[1]} runs"
        p = (
            "< .001"
            if self.p < 0.001
            else f"= {self.p:.3f}".replace("0.", ".")
        )
        return (
            f"{self.words} ({self.test}, {many}, p {p}; "
            f"{self.effect_name}: {self.effect:.0%})"
        )


SAID = {
    "alike": "cannot be told apart",
    "not separated": "not separated by these runs",
}


def compare(
    a: Sequence[float],
    b: Sequence[float],
    *,
    names: tuple[str, str] = ("a", "b"),
    better: str = "lower",
    paired: bool = False,
    level: float = 0.05,
    margin: float | None = None,
    test: str = "auto",
) -> Comparison:
    """Say which of two methods is better, if their runs do.

    **The test** is of the difference of the means, two-sided. A
    permutation test assumes nothing about the scores, but cannot give a
    p-value below one over its number of ways: 2 in 252 for five and five
    runs, 2 in 32 for five pairs. Where that is above the level, so that
    it could never separate anything, a t test is taken instead (Welch's,
    or of the pairs), which takes the scores as normal draws. This choice
    looks at the number of runs, never at the scores. Five and five runs
    whose means are 1, 2 and 3 standard deviations apart are separated in
    about 29, 77 and 98 of 100 trials: :func:`power`.

    **Not separated is not equal.** "Cannot be told apart" is said only
    where a margin was named and two one-sided tests show that the true
    difference is within it: its interval at twice the level lies between
    minus and plus the margin.

    Args:
        a, b: (n,), (m,) scores of the two, one for each seed; at least
            two of each, and all finite.
        names: of the two, for the words.
        better: ``"lower"`` (losses, steps) or ``"higher"`` (accuracies).
        paired: the i-th scores share seed, data or start.
        level: chance of separating two that are alike.
        margin: a difference, in the scores' unit, that does not matter.
        test: ``"auto"``, or ``"permutation"`` or ``"t"`` by name.

    Returns:
        A :class:`Comparison`; its ``words`` are made to be glued.

    Raises:
        ValueError: fewer than two scores, pairs of different length, a
            score that is not finite, an unknown word.

    Example:
        >>> fast, slow = [1.0, 1.2, 1.1, 1.3, 1.2], [2.0, 1.9, 2.2, 2.1, 1.8]
        >>> print(compare(fast, slow, names=("Adam", "SGD")))
        Adam better than SGD (exact permutation test, 5 and 5 runs, p = \
.008; share of pairs in which Adam is better: 100%)
        >>> compare(fast, fast[::-1]).words
        'a and b not separated by these runs'
        >>> compare(fast, fast[::-1], margin=0.5).words
        'a and b cannot be told apart'

    References:
        Fisher, R. A., 1935, The Design of Experiments. Welch, B. L.,
        1947, Biometrika 34. Schuirmann, D. J., 1987, Journal of
        Pharmacokinetics and Biopharmaceutics 15 (two one-sided tests).
        Vargha, A., Delaney, H. D., 2000, Journal of Educational and
        Behavioral Statistics 25 (the share of pairs).
    """
    found = measured(a, b, names, better, paired, level, margin, test)
    return decided(found, found.alone)


METHODS = {
    "permutation": (permutation_test, permutation_interval),
    "t": (t_test, t_interval),
}


def measured(
    a: Sequence[float],
    b: Sequence[float],
    names: tuple[str, str],
    better: str,
    paired: bool,
    level: float,
    margin: float | None,
    test: str,
    questions: int = 1,
) -> Comparison:
    """All of a comparison but its verdict; p is that of this pair alone."""
    checks.choice("better", better, BETTER)
    checks.choice("test", test, TESTS)
    if not 0 < checks.number("level", level) < 0.5:
        raise ValueError(f"level must lie between 0 and 0.5, not {level!r}")
    if isinstance(names, str) or len(names) != 2:
        raise ValueError(f"names must be two, of a and of b, not {names!r}")
    a, b = (_scores(x, name) for x, name in zip((a, b), names, strict=True))
    if min(len(a), len(b)) < 2 or (paired and len(a) != len(b)):
        raise ValueError(
            f"{names[0]} and {names[1]} have {len(a)} and {len(b)} runs: "
            "two or more of each are needed, and for pairs equally many"
        )
    kind = test
    if test == "auto":
        kind = pick(a, b, paired, level / questions)
    p_of, interval_of = METHODS[kind]
    within = None
    if margin is not None:
        low, high = interval_of(a, b, 2 * level, paired)
        within = -checks.positive("margin", margin) < low and high < margin
    gaps = a - b if paired else a[:, None] - b[None, :]
    wins = (gaps < 0 if better == "lower" else gaps > 0) + 0.5 * (gaps == 0)
    p = float(p_of(a, b, paired))
    return Comparison(
        verdict="",
        names=tuple(names),
        p=p,
        alone=p,
        level=level,
        test=NAMED[kind, paired],
        better=better,
        difference=float(a.mean() - b.mean()),
        interval=interval_of(a, b, level, paired),
        effect=float(wins.mean()),
        effect_name=f"share of {'seeds' if paired else 'pairs'} in which "
        f"{names[0]} is better",
        n=(len(a), len(b)),
        margin=margin,
        within=within,
    )


def decided(found: Comparison, p: float) -> Comparison:
    """The same with its verdict, by a p-value that may be corrected."""
    verdict = "alike" if found.within else "not separated"
    if p <= found.level:
        lower = found.difference < 0
        ahead = lower == (found.better == "lower")
        verdict = "better" if ahead else "worse"
    return replace(found, verdict=verdict, p=float(p))


def pick(a: np.ndarray, b: np.ndarray, paired: bool, level: float) -> str:
    """The permutation test, unless it could never reach the level.

    Where no score differs from the others of its side, a t test would be
    sure of anything, and is not taken either.
    """
    least = smallest_p(len(a), None if paired else len(b))
    spread = np.ptp(a - b) if paired else max(np.ptp(a), np.ptp(b))
    return "t" if least > level and spread > 0 else "permutation"


def told_apart(a: Sequence[float], b: Sequence[float], **options) -> bool:
    """Whether the runs separate two methods: :func:`compare`, in short.

    Example:
        >>> told_apart([1, 2, 3, 4, 5], [6, 7, 8, 9, 10])
        True
        >>> told_apart([1, 2, 3, 4, 5], [3, 4, 5, 6, 7])
        False
    """
    return compare(a, b, **options).told_apart


def _scores(values: Sequence[float], name: str) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    if values.ndim != 1:
        raise ValueError(
            f"{name}: one score for each run, not an array of shape "
            f"{values.shape}"
        )
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise ValueError(
            f"{name}: run {bad[0]} scored {values[bad[0]]}; give a run that "
            "diverged the worst score there is, such as the loss of a guess"
        )
    return values
