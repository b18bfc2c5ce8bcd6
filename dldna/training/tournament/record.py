"""What a tournament found, and what can be concluded from it."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from dldna import checks, files
from dldna.records import Provenance, Record
from dldna.training.statistics import (
    Comparisons,
    compare_all,
    expected_best,
)

_TESTS = {
    "welch": {"test": "t"},
    "permutation": {"test": "permutation"},
    "paired": {"test": "permutation", "paired": True},
}
TESTS = tuple(_TESTS)


class Pair(NamedTuple):
    """Two optimizers, and whether their scores can be told apart.

    Attributes:
        a, b: their names, the better first.
        difference: of the mean test accuracies.
        p: p-value of this pair alone.
        adjusted: the same after Holm's correction for all pairs.
        distinguishable: whether ``adjusted`` is below alpha.
    """

    a: str
    b: str
    difference: float
    p: float
    adjusted: float
    distinguishable: bool


class Rank(NamedTuple):
    """One line of the ranking.

    Attributes:
        optimizer: its name.
        lr: the learning rate that its trials chose.
        mean, sd: of the test accuracy over seeds; ``sd`` is that of the
            sample (n - 1).
        low, high: worst and best seed.
        letters: optimizers that share a letter cannot be told apart.
    """

    optimizer: str
    lr: float
    mean: float
    sd: float
    low: float
    high: float
    letters: str


@dataclass(frozen=True, eq=False)
class Arena(Record):
    """What a tournament measured: O optimizers, B trials, K seeds, M marks.

    A run that diverged scores 0.

    Args:
        optimizers: the O names.
        rates: (O, B) learning rates that were tried.
        valid: (O, B) validation accuracy of the trials.
        tested: (O, B) their test accuracy, which chose nothing.
        chosen: (O,) the trial of the best validation accuracy.
        seeds: (K,) seeds of the final runs.
        accuracy: (O, K) test accuracy of the final runs.
        loss: (O, K) their test loss; infinite where they diverged.
        diverged: (O, K) whether they did.
        marks: (M,) steps after which the final runs were looked at.
        curve: (O, K, M) validation accuracy there.
        batch_loss: (O, K, M) mean batch loss since the mark before.
        grad_norm: (O, K, M) mean length of the gradient since then.
        step_seconds: (O,) mean time of a step, as :func:`step_cost`
            counts it; not part of what a rerun repeats.
        state_bytes: (O,) bytes the optimizer keeps between steps.
        weight_bytes: bytes of the network's weights.
        provenance: where it came from.
    """

    optimizers: list[str]
    rates: np.ndarray
    valid: np.ndarray
    tested: np.ndarray
    chosen: np.ndarray
    seeds: np.ndarray
    accuracy: np.ndarray
    loss: np.ndarray
    diverged: np.ndarray
    marks: np.ndarray
    curve: np.ndarray
    batch_loss: np.ndarray
    grad_norm: np.ndarray
    step_seconds: np.ndarray
    state_bytes: np.ndarray
    weight_bytes: int = 0
    provenance: Provenance = field(default_factory=Provenance)

    def compare(self, level: float = 0.05, **options: Any) -> Comparisons:
        """All pairs of optimizers, by :func:`~dldna.training.compare_all`.

        Args:
            level: chance of even one false difference among all pairs.
            **options: ``test``, ``paired`` and ``margin`` of that
                function. The seeds of all optimizers share start and
                order of the batches.
        """
        runs = dict(zip(self.optimizers, self.accuracy, strict=True))
        options |= {"better": "higher", "level": level}
        return compare_all(runs, **options)

    def pairs(self, test: str = "welch", alpha: float = 0.05) -> list[Pair]:
        """Which pairs of optimizers can be told apart.

        Args:
            test: ``"welch"`` (:func:`welch_test`), ``"permutation"``
                (:func:`permutation_test`), or ``"paired"``, the same on
                the differences seed by seed, which share start and order
                of the batches.
            alpha: chance of even one false difference among all pairs.

        Returns:
            All pairs, the largest difference first.
        """
        found = self.compare(
            alpha, **_TESTS[checks.choice("test", test, TESTS)]
        )
        rows = [
            Pair(*p.names, p.difference, p.alone, p.p, p.told_apart)
            for p in found.pairs
        ]
        return sorted(rows, key=lambda r: -r.difference)

    def ranking(self, test: str = "welch", alpha: float = 0.05) -> list[Rank]:
        """All optimizers, the best mean first, with letters for ties."""
        options = _TESTS[checks.choice("test", test, TESTS)]
        letters = self.compare(alpha, **options).letters
        rows = []
        for i in self.order():
            scores = self.accuracy[i]
            rows.append(
                Rank(
                    self.optimizers[i],
                    float(self.rates[i, self.chosen[i]]),
                    float(scores.mean()),
                    float(scores.std(ddof=1)),
                    float(scores.min()),
                    float(scores.max()),
                    letters[self.optimizers[i]],
                )
            )
        return rows

    def order(self) -> list[int]:
        """Positions of the optimizers, the best mean accuracy first."""
        means = self.accuracy.mean(1)
        return sorted(range(len(means)), key=lambda i: (-means[i], i))

    def budget_curve(self, replace: bool = False) -> np.ndarray:
        """Expected test accuracy of the best of k trials: (O, B).

        The best is the one of the best validation accuracy; see
        :func:`expected_best`.
        """
        pairs = zip(self.valid, self.tested, strict=True)
        return np.stack([expected_best(v, t, replace) for v, t in pairs])

    def steps_to(self, target: float) -> np.ndarray:
        """Steps until the validation accuracy first reaches a target.

        Only the marks are looked at, so that the answer is a mark.

        Args:
            target: accuracy, a fraction.

        Returns:
            (O, K) steps; NaN for runs that diverge or do not reach it.
        """
        reached = (self.curve >= target) & ~self.diverged[..., None]
        first = self.marks[reached.argmax(-1)].astype(float)
        return np.where(reached.any(-1), first, np.nan)

    def seconds_to(self, target: float) -> np.ndarray:
        """The same in seconds, by the mean time of a step."""
        return self.steps_to(target) * self.step_seconds[:, None]

    def to_csv(self, path: str | Path) -> Path:
        """Write every run, trials and final ones, one line each.

        No times are in it: a rerun writes the same file.

        Returns:
            The path.
        """
        out = io.StringIO()
        writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for o, name in enumerate(self.optimizers):
            for b, lr in enumerate(self.rates[o]):
                row = {"kind": "trial", "trial": b + 1}
                scores = self.valid[o, b], self.tested[o, b]
                writer.writerow(row | _shared(name, lr, *scores))
            lr = self.rates[o, self.chosen[o]]
            for k, seed in enumerate(self.seeds):
                row = {"kind": "final", "seed": int(seed)}
                row["test_loss"] = f"{self.loss[o, k]:.6g}"
                row["diverged"] = int(self.diverged[o, k])
                scores = self.curve[o, k, -1], self.accuracy[o, k]
                writer.writerow(row | _shared(name, lr, *scores))
        text = out.getvalue().encode()
        return files.write_atomic(path, lambda f: f.write(text))

    def to_dict(self) -> dict[str, Any]:
        """All fields but the provenance, for :func:`dldna.stored.store`."""
        named = {f.name: getattr(self, f.name) for f in fields(self)}
        named.pop("provenance")
        return named

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """The record that :meth:`to_dict` was taken from."""
        known = {f.name for f in fields(cls)} - {"provenance"}
        values = {
            k: np.array(v, dtype=_TYPES.get(k, float)) if _is_rows(v) else v
            for k, v in content.items()
            if k in known
        }
        about = Provenance.read(content.get("provenance", {}))
        return cls(**values, provenance=about)


COLUMNS = (
    "kind",
    "optimizer",
    "lr",
    "trial",
    "seed",
    "validation_accuracy",
    "test_accuracy",
    "test_loss",
    "diverged",
)
_TYPES = {"chosen": int, "seeds": int, "marks": int, "diverged": bool}


def _shared(name: str, lr: float, valid: float, test: float):
    return {
        "optimizer": name,
        "lr": f"{lr:.6g}",
        "validation_accuracy": f"{valid:.6g}",
        "test_accuracy": f"{test:.6g}",
    }


def _is_rows(value: Any) -> bool:
    return isinstance(value, Sequence) and not (
        isinstance(value, str) or (value and isinstance(value[0], str))
    )
