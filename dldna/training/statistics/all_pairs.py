"""One voice for many methods at once: all pairs, and letters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from dldna import checks
from dldna.training.statistics.compare import (
    BETTER,
    Comparison,
    decided,
    measured,
)
from dldna.training.statistics.letter_display import letter_groups
from dldna.training.statistics.p_values import holm


@dataclass(frozen=True)
class Comparisons:
    """What the runs of several methods say about each pair.

    Args:
        order: their names, the best mean first.
        letters: for each name; two share a letter exactly if their runs
            do not separate them.
        pairs: all pairs, the better mean first.
    """

    order: tuple[str, ...]
    letters: dict[str, str]
    pairs: tuple[Comparison, ...]

    @property
    def apart(self) -> tuple[Comparison, ...]:
        """The pairs that are separated."""
        return tuple(pair for pair in self.pairs if pair.told_apart)

    @property
    def words(self) -> str:
        """How many pairs are separated, as a piece of a sentence."""
        return f"{len(self.apart)} of {len(self.pairs)} pairs separated"

    def pair(self, a: str, b: str) -> Comparison:
        """The comparison of two of them, whichever is named first.

        Raises:
            ValueError: one of them was not compared.
        """
        for name in (a, b):
            checks.choice("name", name, self.order)
        return next(p for p in self.pairs if set(p.names) == {a, b})

    def best(self) -> tuple[str, ...]:
        """Those that are not separated from the best mean."""
        first = self.order[0]
        behind = {p.names[1] for p in self.apart if p.names[0] == first}
        return tuple(name for name in self.order if name not in behind)


def compare_all(
    runs: Mapping[str, Sequence[float]],
    *,
    better: str = "lower",
    paired: bool = False,
    level: float = 0.05,
    margin: float | None = None,
    test: str = "auto",
) -> Comparisons:
    """:func:`compare` for all pairs, corrected for how many there are.

    The p-values are multiplied by Holm's factors (:func:`holm`), so that
    the chance of even one false separation stays below the level. The
    permutation test is taken where it could reach the level in spite of
    the correction, else the t test: five and five runs allow it for up
    to six pairs, six and six runs for up to 23.

    Args:
        runs: for each name, the scores of its seeds.
        better, paired, level, margin, test: as for :func:`compare`. The
            margin's test is each pair's own, uncorrected.

    Returns:
        A :class:`Comparisons`.

    Raises:
        ValueError: fewer than two names, or as :func:`compare`.

    Example:
        >>> found = compare_all(
        ...     {
        ...         "sgd": [3.0, 3.2, 3.1, 3.3, 3.2],
        ...         "adam": [1.0, 1.2, 1.1, 1.3, 1.2],
        ...         "lion": [1.1, 1.0, 1.3, 1.2, 1.1],
        ...     }
        ... )
        >>> found.words
        '2 of 3 pairs separated'
        >>> found.letters
        {'lion': 'a', 'adam': 'a', 'sgd': 'b'}
        >>> found.pair("sgd", "adam").words
        'adam better than sgd'
    """
    if len(runs) < 2:
        raise ValueError(
            f"comparing needs two methods or more, not {len(runs)}"
        )
    checks.choice("better", better, BETTER)
    sign = 1 if better == "lower" else -1
    order = sorted(runs, key=lambda name: sign * np.mean(runs[name]))
    names = list(combinations(order, 2))
    found = [
        measured(runs[a], runs[b], (a, b), better, paired, level, margin,
                 test, questions=len(names))
        for a, b in names
    ]  # fmt: skip
    corrected = holm([pair.alone for pair in found])
    found = list(map(decided, found, corrected))
    alike = np.ones((len(order), len(order)), dtype=bool)
    for pair in found:
        i, j = (order.index(name) for name in pair.names)
        alike[i, j] = alike[j, i] = not pair.told_apart
    letters = dict(zip(order, letter_groups(alike), strict=True))
    return Comparisons(tuple(order), letters, tuple(found))
