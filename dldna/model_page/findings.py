"""What a page stands on: every number on it, saved and read again."""

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from dldna.files import write_atomic
from dldna.landscape.paths.weight_space import Embedding
from dldna.records import (
    Density,
    Line,
    Provenance,
    Record,
    Spectrum,
    Surface,
)

NORMAL = 1.959963984540054  # holds 95 % of the normal distribution
INDEX = "findings.json"


@dataclass(frozen=True, eq=False)
class SampleLosses(Record):
    r"""The loss of each sample, and what they say of the mean.

    With the shares :math:`s_i` of sum 1 that the samples have in the mean,

    .. math:: L = \sum_i s_i \ell_i, \qquad
        \mathrm{se}^2 = \frac{n}{n - 1} \sum_i s_i^2 (\ell_i - L)^2 .

    Args:
        values: (n,) losses; those of batches where a loss cannot be taken
            apart.
        shares: (n,) of sum 1.
        of: "samples" or "batches".
        right: number of right answers.
        answers: number of answers; 0 where they are not classes.
        provenance: where it came from.

    Example:
        >>> four = SampleLosses(np.arange(4.0), np.full(4, 0.25))
        >>> four.loss, round(four.error, 4)  # std / sqrt(4)
        (1.5, 0.6455)
    """

    values: np.ndarray
    shares: np.ndarray
    of: str = "samples"
    right: int = 0
    answers: int = 0
    provenance: Provenance = field(default_factory=Provenance)

    @property
    def loss(self) -> float:
        """The mean loss."""
        return float(self.shares @ self.values)

    @property
    def error(self) -> float:
        """Its standard error; NaN of a single value."""
        n = len(self.values)
        if n < 2:
            return math.nan
        parts = self.shares * (self.values - self.loss)
        return float(math.sqrt(np.square(parts).sum() * n / (n - 1)))

    @property
    def accuracy(self) -> float:
        """Share of right answers; NaN where they are not classes."""
        return self.right / self.answers if self.answers else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        r"""Wilson's 95 % interval of the accuracy :math:`p`.

        .. math:: \frac{p + \frac{z^2}{2n} \pm
            z\sqrt{\frac{p(1-p)}{n} + \frac{z^2}{4n^2}}}{1 + \frac{z^2}{n}}

        Example:
            >>> one = np.ones(1)
            >>> low, high = SampleLosses(one, one, right=8, answers=10).interval
            >>> round(low, 4), round(high, 4)
            (0.4902, 0.9433)

        References:
            Wilson, J. Am. Stat. Assoc. 22, 1927.
        """  # noqa: E501, one call
        n, p = self.answers, self.accuracy
        if not n:
            return math.nan, math.nan
        z = NORMAL
        middle = p + z * z / (2 * n)
        half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return (middle - half) / (1 + z * z / n), (middle + half) / (
            1 + z * z / n
        )


@dataclass(frozen=True, eq=False)
class Series(Record):
    """What a series of checkpoints gives away of itself.

    Args:
        labels: (T,) names of the files, in the order of their numbers.
        losses: (T,) mean losses on the samples of curvature and planes.
        accuracies: (T,) shares of right answers there, or NaN.
        duplicates: pairs of rows whose weights are equal to the bit.
        lengths: length of the way from file to file in several orders:
            "number", "alphabet" and, where the files tell it, "time".
        model_at: the rows whose weights are the model's, as a list.
        skipped: number of files left out, evenly, to fit the budget.
        provenance: where it came from.
    """

    labels: list[str]
    losses: np.ndarray
    accuracies: np.ndarray
    duplicates: list[list[int]]
    lengths: dict[str, float]
    model_at: list[int]
    skipped: int = 0
    provenance: Provenance = field(default_factory=Provenance)


@dataclass(frozen=True, eq=False)
class Findings:
    """All that a page shows; what was not measured is None or empty.

    Args:
        samples: losses of the samples, by the name of the data.
        top: the top eigenpairs.
        sharpness: measures of sharpness by name ("keskar", "sam",
            "adaptive", "trace"), those of the twin by "twin keskar", ...
        layers: the top eigenpair of each layer's own block.
        planes: planes of random directions, one for each seed.
        density: of all eigenvalues.
        lines: the band over random directions, as of
            :func:`dldna.landscape.band`.
        series: what the checkpoints give away.
        embedding: their principal components.
        left_out: why a part is not there, by its name.
        said: what was warned of while a part was measured, by its name.
        seconds: time of each part.
        facts: what else the page says (JSON values).
        provenance: of the whole.
    """

    samples: dict[str, SampleLosses] = field(default_factory=dict)
    top: Spectrum | None = None
    sharpness: dict[str, Record] = field(default_factory=dict)
    layers: dict[str, Spectrum] = field(default_factory=dict)
    planes: list[Surface] = field(default_factory=list)
    density: Density | None = None
    lines: Line | None = None
    series: Series | None = None
    embedding: Embedding | None = None
    left_out: dict[str, str] = field(default_factory=dict)
    said: dict[str, list[str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    provenance: Provenance = field(default_factory=Provenance)

    def save(self, folder: str | Path) -> Path:
        """Write each record to a file of its own, and an index.

        Args:
            folder: is made; each ``.npz`` in it is a record by itself.

        Returns:
            The index.
        """
        folder = Path(folder)

        def keep(value: Any, name: str) -> Any:
            if isinstance(value, Record):
                value.save(folder / f"{name}.npz")
                return {"record": f"{name}.npz"}
            if isinstance(value, Provenance):
                return dataclasses.asdict(value)
            if isinstance(value, list):
                return [keep(v, f"{name} {i}") for i, v in enumerate(value)]
            if isinstance(value, dict):
                return {
                    k: keep(v, f"{name} {i}")
                    for i, (k, v) in enumerate(value.items())
                }
            return value

        fields = {
            f.name: keep(getattr(self, f.name), f.name)
            for f in dataclasses.fields(self)
        }
        text = json.dumps(fields, indent=1).encode()
        return write_atomic(folder / INDEX, lambda file: file.write(text))

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what :meth:`save` wrote; nothing in it is executed.

        Raises:
            FileNotFoundError: there is nothing of the kind.
            ValueError: a file is damaged.
        """
        folder = Path(folder)
        if not (folder / INDEX).exists():
            raise FileNotFoundError(f"no findings in {folder}")

        def read(value: Any) -> Any:
            if isinstance(value, dict) and set(value) == {"record"}:
                return Record.load(folder / Path(value["record"]).name)
            if isinstance(value, dict):
                return {k: read(v) for k, v in value.items()}
            if isinstance(value, list):
                return [read(v) for v in value]
            return value

        try:
            fields = json.loads((folder / INDEX).read_text(encoding="utf-8"))
            fields = {k: read(v) for k, v in fields.items()}
            fields["provenance"] = Provenance.read(fields["provenance"])
            return cls(**fields)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(
                f"{folder / INDEX} is damaged or holds no findings ({error})"
            ) from error
