"""What a job is: a search of a rate, a training, or a script's table."""

import dataclasses
import json
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Training:
    """One network, trained; all that its numbers follow from.

    Args:
        name: of the job and of its files.
        tier: A, B or C: the order of the work.
        model: see :func:`benchmarks.studies.networks.build`.
        rate: largest learning rate, or the names of the searches that
            choose it: of several, the one with the lowest loss on
            validation gives the optimizer, too.
        epochs: passes over the images; or stretches, see below.
        images: of the training set: all, or the first so many of those
            that are not kept for validation.
        batch: images for each step.
        optimizer: ``sgd`` or ``adam``.
        decay: weight decay.
        augment: shifts of up to four pixels, and mirrors.
        seed: of the weights, the order and the augmentation.
        stretch: steps after which a line of numbers is kept, instead of
            after a pass over the images.
        until: end when the mean loss of a stretch is at most this.
        schedule: ``cycle`` up in the first quarter and down to nothing,
            or ``constant`` after a rise over 5 % of the steps.
        points: checkpoints of the path in the first epoch, the second,
            ...; the last number holds for all that follow, and none for
            no path.
        precision: of the path on disk.
        options: more for the network, as pairs.
    """

    name: str
    tier: str
    model: str
    rate: float | tuple[str, ...]
    epochs: int
    images: int = 50_000
    batch: int = 128
    optimizer: str = "sgd"
    decay: float = 5e-4
    augment: bool = True
    seed: int = 0
    stretch: int = 0
    until: float = 0.0
    schedule: str = "cycle"
    points: tuple[int, ...] = ()
    precision: str = "float32"
    options: tuple[tuple[str, int], ...] = ()

    def steps(self, everything: int = 50_000) -> int:
        """Steps of an epoch, or of a stretch."""
        return self.stretch or min(self.images, everything) // self.batch

    def seen(self) -> int:
        """Images that all steps see."""
        return self.epochs * self.steps() * self.batch


@dataclass(frozen=True)
class Search:
    """Rates tried on a part of the data; validation chooses.

    Args:
        name: of the job.
        tier: A, B or C.
        of: what is tried, but for its rate, images, epochs and points.
        rates: tried first; while the best is at an edge, the next beyond
            it is tried too.
        epochs: of each trial.
        images: of each trial.
        more: how many rates beyond the first may be tried.
    """

    name: str
    tier: str
    of: Training
    rates: tuple[float, ...]
    epochs: int = 1
    images: int = 10_000
    more: int = 3

    def trial(self, rate: float) -> Training:
        """The training of one rate."""
        return replace(
            self.of,
            name=f"{self.name}/{rate:.3g}",
            rate=rate,
            epochs=self.epochs,
            images=self.images,
            points=(),
        )

    def seen(self) -> int:
        """Images that all trials see, if the best is not at an edge."""
        return len(self.rates) * self.trial(self.rates[0]).seen()


@dataclass(frozen=True)
class Table:
    """A piece of another script's work, in a process of its own.

    Args:
        name: of the job.
        tier: A, B or C.
        make: a function of :mod:`benchmarks.studies.tables`.
        options: its arguments, as pairs.
        hours: what it took, or about what it will take.
    """

    name: str
    tier: str
    make: str
    options: tuple[tuple[str, object], ...] = ()
    hours: float = 1.0


Job = Training | Search | Table


def asked(job: Job) -> dict[str, Any]:
    """A job in JSON's types, as results and checkpoints keep it."""
    return json.loads(json.dumps(dataclasses.asdict(job)))


def changed(job: Job, before: dict[str, Any]) -> str | None:
    """What a job now asks otherwise than it did, in words, or None.

    Its tier and its estimate may change. A setting that did not exist
    then had its present default.
    """
    now = asked(job)
    for field in dataclasses.fields(job):
        key = field.name
        if key in ("tier", "hours"):
            continue
        if key == "of":
            found = changed(job.of, before[key])
            if found is not None:
                return found
            continue
        was = before.get(key, field.default)
        if isinstance(was, tuple):
            was = list(was)
        if was != now[key]:
            return f"{key}={was!r}, not {now[key]!r}"
    return None


def searched(of: Training, rates, **options) -> tuple[Search, Training]:
    """A training, and before it the search of its rate."""
    name = f"{of.name}-rate"
    search = Search(name, of.tier, of, tuple(rates), **options)
    return search, replace(of, rate=(name,))
