"""A long job: what it will cost, what fits, what is done already."""

import dataclasses
import functools
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from dldna import batches as batching
from dldna import params
from dldna.landscape.evaluate import Evaluator
from dldna.landscape.scan.fingerprint import scan_identity
from dldna.landscape.scan.grid import in_tiles
from dldna.landscape.scan.held import hold, stored_centre
from dldna.landscape.scan.pool import (
    Job,
    Tile,
    elsewhere,
    here,
    wants_workers,
    workers,
)
from dldna.landscape.scan.store import Store, thin
from dldna.landscape.scan.timing import (
    LEAST_SAMPLES,
    TIMING_SECONDS,
    seconds_for_a_point,
    tile_size,
    timed,
)
from dldna.landscape.scan.truth import arithmetic, finite_counts
from dldna.objective import CLOSE, gap, loss_name, name_of
from dldna.progress import announce, duration, track
from dldna.records import Provenance


class Scan:
    """One call's work on a list of points.

    Args:
        job: what is evaluated.
        axes: the axes of the grid whose points are evaluated; or
        coords: (P, K) the points, the first and the last being ends.
        data: what the caller gave, for the probe.
        what: what is made, a noun.
        ends: networks that must be found at points of the job: pairs of
            coordinates and a model, a state dict or parameters.
        start: when the call began (``time.perf_counter``).
        budget_s: seconds from ``start`` in which to be done, or None.
        budget_points: number of points for this call, or None.

    Attributes:
        job: what is evaluated, on the samples that were chosen.
        done: (A * B,) which points have values.
        centre: the directly evaluated loss.
        way: how points are evaluated.
        own: the loss at the centre where it was evaluated just before.
        met: losses of points, as pairs, that were evaluated as checks.
        steady: whether the loss is a function of the weights; None as long
            as it is not known.
        samples: number of samples that were used.
        notes: for the record.
    """

    def __init__(
        self,
        job: Job,
        data: Any,
        *,
        axes: Sequence[np.ndarray] = (),
        coords: np.ndarray | None = None,
        what: str = "surface",
        ends: Sequence[tuple[Sequence[float], Any]] = (),
        start: float,
        budget_s: float | None = None,
        budget_points: int | None = None,
    ):
        job = dataclasses.replace(job, options=dict(job.options))
        self.job, self.data, self.what, self.ends = job, data, what, ends
        self.start, self.budget_s = start, budget_s
        self.budget_points = budget_points
        self.grid = coords is None
        if coords is None:
            mesh = np.meshgrid(*axes, indexing="ij")
            coords = np.stack([m.ravel() for m in mesh], axis=1)
        self.axes = tuple(axes) or (np.arange(len(coords)),)
        self.coords = np.asarray(coords, dtype=np.float64)
        self.done = np.zeros(len(self.coords), dtype=bool)
        self.given = job.held  # a budget may thin the data later
        self.centre = math.nan
        self.centre_seconds = math.nan
        self.own: float | None = None
        self.met: list[tuple[list[float], float]] = []
        self.steady: bool | None = None
        self.way = ""
        self.notes: dict[str, Any] = {}

    @property
    def samples(self) -> int:
        """Number of samples in use."""
        return sum(batching.size(b) for b in self.job.held)

    def provenance(
        self, made: str, seed: int | None = None, data: str = "", **notes
    ) -> Provenance:
        """Where what was scanned came from.

        Args:
            made: what was made, a noun phrase.
            seed: of random directions, if there were any.
            data: what to call the data; by default by what they are.
            **notes: what else the record should say.
        """
        job = self.job
        return Provenance(
            made=made,
            seed=seed,
            model=type(job.model).__name__,
            n_params=params.count(job.origin),
            data=data or name_of(self.data),
            n_samples=self.samples,
            loss=loss_name(job.loss_fn),
            device=str(next(job.model.parameters()).device),
            dtype=arithmetic(job.model, job.options["dtype"]),
            seconds=time.perf_counter() - self.start,
            notes={"way": self.way, **notes, **self.notes},
        )

    def all(self, out: str | Path | None, n_jobs: int | None) -> dict:
        """Evaluate what is missing and fits; give all values, flat."""
        store = None if out is None else Store(out)
        with nullcontext() if store is None else store.lock():
            plan = self._settle(store, n_jobs)
            return self._tiles(store, plan, n_jobs)

    def cost(
        self, out: str | Path | None, n_jobs: int | None
    ) -> tuple[float, int]:
        """Seconds for a point, and how many points ``out`` holds."""
        store = None if out is None else Store(out)
        plan = None if store is None else store.plan()
        if plan is not None:
            self._use(store.agree(scan_identity(self), plan)["samples"])
        elif self.budget_s is not None:
            self._fit_samples()
        self.evaluator = self.job.evaluator()
        self.way = self.evaluator.name
        seconds = self._seconds()
        if plan is not None:
            nowhere = {"loss": np.empty(len(self.coords))}
            self._load(
                store, in_tiles(self.axes, len(self.coords), plan), nowhere
            )
        return seconds, int(self.done.sum())

    def ready(self, store: Store | None) -> Evaluator:
        """What evaluates points that are asked for one by one.

        Folder and values are checked as for :meth:`all`. Where a point
        takes long, the one at the centre tells how long.

        Args:
            store: the folder, or None.
        """
        self._settle(store, None, at_once=True)
        return self.evaluator

    # What will be done

    def _settle(
        self, store: Store | None, n_jobs: int | None, at_once: bool = False
    ) -> dict:
        identity = {} if store is None else scan_identity(self)
        before = None if store is None else store.plan()
        if before is not None:
            before = store.agree(identity, before)
            self._use(before["samples"])
            if self.job.options["way"] not in ("auto", before["way"]):
                raise ValueError(
                    f"{store.folder} was begun by the way {before['way']!r}: "
                    "ask for that one, or choose another folder"
                )
            self.job.options["way"] = before["way"]
        elif self.budget_s is not None:
            self._fit_samples()
        self.evaluator = self.job.evaluator()
        self.way = self.evaluator.name
        if at_once:
            seconds = self._held_first()
        else:
            seconds = self._seconds()
            self._announce(seconds, n_jobs)
            hold(self)
        if before is not None:
            return before
        plan = {
            "samples": self.samples,
            "way": self.way,
            "order": "levels" if self.limited else "rows",
            "tile": tile_size(self, seconds, n_jobs),
        }
        return plan if store is None else store.agree(identity, plan)

    def _held_first(self) -> float:
        """Seconds for a point, timed only where that is quick."""
        hold(self)
        seconds = self.centre_seconds
        if 4 * seconds < TIMING_SECONDS:
            seconds = self._seconds()
        self.notes["seconds_per_point_estimated"] = seconds
        return seconds

    def _seconds(self) -> float:
        most = 4 * LEAST_SAMPLES  # above it, a part is timed
        whole = self.samples > most and self._whole
        return seconds_for_a_point(
            self.job, self.evaluator, self.coords, whole
        )

    @functools.cached_property
    def _whole(self) -> bool:
        """Whether batches must not be cut: their loss does not add up."""
        job = self.job
        return gap(job.model, job.loss_fn, job.held[0]) > CLOSE

    @property
    def limited(self) -> bool:
        """Whether a budget may end it early."""
        return self.budget_s is not None or self.budget_points is not None

    def _use(self, samples: int) -> None:
        if samples < self.samples:
            all_of_them = self.samples
            held = thin(self.job.held, samples, self._whole)
            self.job = dataclasses.replace(self.job, held=held)
            if self.samples < all_of_them:
                kind = "whole batches" if self._whole else "evenly spaced"
                self.notes["subset"] = (
                    f"{self.samples} of {all_of_them} samples, {kind}, "
                    "chosen to fit the budget"
                )

    def _fit_samples(self) -> None:
        """Choose as many samples as the budget allows for the whole grid."""
        total = self.samples
        if total <= LEAST_SAMPLES:
            return
        part = thin(self.job.held, LEAST_SAMPLES, self._whole)
        small = dataclasses.replace(self.job, held=part)
        used = sum(map(batching.size, part))
        each = timed(small.evaluator(), self.coords) / used
        left = 0.85 * self.budget_s - (time.perf_counter() - self.start)
        points = min(len(self.coords), self.budget_points or len(self.coords))
        fits = int(left / (each * points))
        if fits < total:
            self._use(max(LEAST_SAMPLES, fits))

    def _announce(self, seconds: float, n_jobs: int | None) -> None:
        self.notes["seconds_per_point_estimated"] = seconds
        points = len(self.coords)
        whole = seconds * points / workers(n_jobs)
        announce(f"{self.what} of {points} points ({self.way})", whole)
        if self.budget_s is not None and whole > self.budget_s:
            print(
                f"the budget of {duration(self.budget_s)} is less: the "
                "grid is filled from coarse to fine until then",
                flush=True,
            )

    # Doing it

    def _tiles(
        self, store: Store | None, plan: dict, n_jobs: int | None
    ) -> dict[str, np.ndarray]:
        names = ["loss", *self.job.options["metrics"]]
        values = {k: np.full(len(self.coords), np.nan) for k in names}
        tiles = in_tiles(self.axes, len(self.coords), plan)
        before = self._load(store, tiles, values)
        stored_centre(self, store, values["loss"])
        left = [
            (i, self.coords[index])
            for i, index in enumerate(tiles)
            if i not in before
        ]
        left = self._affordable(left)
        self.notes["tiles"] = {"found": len(before), "all": len(tiles)}
        began, fresh, slowest = time.perf_counter(), 0, 0.0
        mark = began
        results = self._results(left, n_jobs)
        try:
            for number, got in track(
                results, self.what, total=len(tiles), start=len(before)
            ):
                index = tiles[number]
                if store is not None:
                    store.put(number, got)
                for name in names:
                    values[name][index] = got[name]
                self.done[index] = True
                fresh += len(index)
                now = time.perf_counter()
                slowest, mark = max(slowest, now - mark), now
                if self._late(now + slowest):
                    break
        finally:
            results.close()
        spent = time.perf_counter() - began
        self.notes["points_per_second"] = fresh / spent if fresh else 0.0
        self.notes["evaluation"] = self.evaluator.notes
        self.notes.update(finite_counts(values["loss"][self.done]))
        return values

    def _affordable(self, left: list[Tile]) -> list[Tile]:
        """As many tiles as the points that are asked for, but one at least."""
        if self.budget_points is None:
            return left
        ends = np.cumsum([len(coords) for _, coords in left])
        return left[: max(1, int((ends <= self.budget_points).sum()))]

    def _results(self, left: list[Tile], n_jobs: int | None) -> Iterator:
        if left and wants_workers(n_jobs):
            self.job.options["way"] = self.way
            return elsewhere(self.job, left, n_jobs)
        return here(self.evaluator, left)

    def _late(self, then: float) -> bool:
        return self.budget_s is not None and then - self.start > self.budget_s

    def _load(self, store, tiles, values) -> set[int]:
        found = set()
        for number in [] if store is None else store.tiles():
            got = store.get(number) if number < len(tiles) else None
            if got is None or len(got["loss"]) != len(tiles[number]):
                continue
            for name in values:
                values[name][tiles[number]] = got[name]
            self.done[tiles[number]] = True
            found.add(number)
        return found
