"""A long job: what it will cost, what fits, what is done already."""

import dataclasses
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dldna import batches as batching
from dldna.checks import warn
from dldna.landscape.evaluate import Evaluator, Slow, task
from dldna.landscape.evaluate.subspace import norms
from dldna.landscape.scan.fingerprint import (
    digest,
    loss_identity,
    model_identity,
)
from dldna.landscape.scan.grid import coarse_to_fine
from dldna.landscape.scan.pool import (
    Job,
    Tile,
    elsewhere,
    here,
    wants_workers,
    workers,
)
from dldna.landscape.scan.store import Store, thin
from dldna.landscape.scan.truth import (
    direct_loss,
    finite_counts,
    how_close,
    probe,
    same_twice,
)
from dldna.landscape.space.directions import match, point_of, state_of
from dldna.progress import announce, duration, track

TILE_SECONDS = 2.0
TILE_MOST = 4096
ROW_SECONDS = 30.0
TIMING_SECONDS = 1.0
QUICK = 1.0  # seconds in all, which need no finer estimate
LEAST_SAMPLES = 512


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
        path: name of the way of evaluating.
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
        self.way = ""
        self.notes: dict[str, Any] = {}

    @property
    def samples(self) -> int:
        """Number of samples in use."""
        return sum(batching.size(b) for b in self.job.held)

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
            self._use(store.agree(self._identity(), plan)["samples"])
        elif self.budget_s is not None:
            self._fit_samples()
        self.evaluator = self.job.evaluator()
        self.way = self.evaluator.name
        seconds = self._seconds_for_a_point()
        if plan is not None:
            nowhere = {"loss": np.empty(len(self.coords))}
            self._load(store, self._cut(plan), nowhere)
        return seconds, int(self.done.sum())

    # What will be done

    def _settle(self, store: Store | None, n_jobs: int | None) -> dict:
        identity = {} if store is None else self._identity()
        before = None if store is None else store.plan()
        if before is not None:
            before = store.agree(identity, before)
            self._use(before["samples"])
            self.job.options["way"] = before["way"]
        elif self.budget_s is not None:
            self._fit_samples()
        self.evaluator = self.job.evaluator()
        self.way = self.evaluator.name
        seconds = self._seconds_for_a_point()
        self._announce(seconds, n_jobs)
        self._check()
        if before is not None:
            return before
        plan = {
            "samples": self.samples,
            "way": self.way,
            "order": "levels" if self._limited else "rows",
            "tile": self._tile_size(seconds, n_jobs),
        }
        return plan if store is None else store.agree(identity, plan)

    @property
    def _limited(self) -> bool:
        return self.budget_s is not None or self.budget_points is not None

    def _identity(self) -> dict[str, str]:
        job = self.job
        kept = {k: job.options[k] for k in ("statistics", "dtype")}
        return {
            "weights": digest(
                model_identity(job.model),
                job.origin,
                dict(job.model.named_buffers()),
            ),
            "data": digest(job.held),
            "directions": digest(
                job.directions, job.options.get("buffer_directions")
            ),
            "grid": digest(list(self.axes) if self.grid else self.coords),
            "loss or metrics": digest(
                loss_identity(job.loss_fn),
                [
                    (name, loss_identity(metric))
                    for name, metric in sorted(job.options["metrics"].items())
                ],
            ),
            "settings": digest(kept),
        }

    def _use(self, samples: int) -> None:
        if samples < self.samples:
            all_of_them = self.samples
            held = thin(self.job.held, samples)
            self.job = dataclasses.replace(self.job, held=held)
            self.notes["subset"] = (
                f"{samples} of {all_of_them} samples, evenly spaced, chosen "
                "to fit the budget"
            )

    def _fit_samples(self) -> None:
        """Choose as many samples as the budget allows for the whole grid."""
        total = self.samples
        if total <= LEAST_SAMPLES:
            return
        small = dataclasses.replace(
            self.job, held=thin(self.job.held, LEAST_SAMPLES)
        )
        each = self._timed(small.evaluator()) / LEAST_SAMPLES
        left = 0.85 * self.budget_s - (time.perf_counter() - self.start)
        points = min(len(self.coords), self.budget_points or len(self.coords))
        fits = int(left / (each * points))
        if fits < total:
            self._use(max(LEAST_SAMPLES, fits))

    def _check(self) -> None:
        """Hold the values to the model's own, where these are known."""
        job = self.job
        own = [direct_loss(job.model, job.loss_fn, job.held[:1]) for _ in "ab"]
        self.steady = same_twice(*own)
        self.notes["probe"] = probe((own[0], own[1]), self.data, self.given)
        self.notes["batch_norm_layers"] = len(norms(job.model))
        self._truth()
        if self.grid:
            self._centre()
        for coords, end in self.ends:
            self._hold_end(coords, end)
        names = self.evaluator.task.negative(self.coords)
        if names:
            self.notes["clamped"] = names
            warn(
                "running variances become negative where they are "
                f"extrapolated ({', '.join(names[:3])}), and are taken as 0 "
                "there: losses outside the two networks are those of "
                "statistics that no data have; statistics='recalibrate' "
                "takes those of the data",
            )

    def _slow(self) -> Slow:
        plain = {k: v for k, v in self.job.options.items() if k != "way"}
        job = self.job
        given = (job.model, job.loss_fn, job.held, job.origin, job.directions)
        return Slow(task(*given, **plain), exact=True)

    def _truth(self) -> None:
        """Compare one point far off with the weights truly written.

        Where they differ, the slow way is taken for all points.
        """
        job = self.job
        if self.way == "slow" or not self.steady:
            return
        far = self.coords[int(np.abs(self.coords).sum(1).argmax())][None]
        far = torch.from_numpy(far)
        got = float(self.evaluator(far)["loss"][0])
        true = float(self._slow()(far)["loss"][0])
        self.notes["off the centre"] = {"written": true, "evaluated": got}
        how = how_close(job.model, job.options["dtype"])
        if same_twice(true, got, how, slack=10):
            return
        reason = (
            f"at {far[0].tolist()} it gives {got:.9g}, where the weights "
            f"written into the model give {true:.9g}"
        )
        if job.options["way"] != "auto":
            raise ValueError(
                f"way={self.way!r} does not fit this model: {reason}; "
                "use way='auto'"
            )
        passed = {**self.evaluator.notes.get("passed over", {})}
        passed[self.way] = reason
        self.job.options["way"] = "slow"
        self.evaluator = self.job.evaluator()
        self.evaluator.notes["passed over"] = passed
        self.way = self.evaluator.name

    def _centre(self) -> None:
        """Hold the centre to the model's own loss."""
        job = self.job
        zero = torch.zeros(1, len(job.directions), dtype=torch.float64)
        got = float(self.evaluator(zero)["loss"][0])
        self.centre = direct_loss(job.model, job.loss_fn, job.held)
        if job.options["statistics"] not in {"eval", "interpolate"}:
            self.centre = float(self._slow()(zero)["loss"][0])
        self.notes["centre"] = {"direct": self.centre, "evaluated": got}
        how = how_close(job.model, job.options["dtype"])
        if self.steady and not same_twice(self.centre, got, how):
            raise RuntimeError(
                f"the centre of the {self.what} ({got:.9g}, way "
                f"{self.way!r}) is not the model's loss "
                f"({self.centre:.9g}). If the loss or the model keeps state "
                "between calls, make it a function of its inputs; else try "
                "way='slow'"
            )
        if not math.isfinite(self.centre):
            warn(
                f"the model's own loss is {self.centre}: check its weights "
                f"and the data before trusting this {self.what}",
            )

    def _hold_end(self, coords: Sequence[float], end: Any) -> None:
        """Hold the value at another network's place to its own loss."""
        job, statistics = self.job, self.job.options["statistics"]
        at = torch.tensor([list(coords)], dtype=torch.float64)
        buffers = any(b.is_floating_point() for b in job.model.buffers())
        if statistics != "interpolate" and buffers:
            return  # its statistics are not those that are used here
        state = state_of(end)
        there = match(state, dict(job.model.named_buffers()))
        point = point_of(end, job.origin)
        true = direct_loss(job.model, job.loss_fn, job.held, point, there)
        got = float(self.evaluator(at)["loss"][0])
        self.notes[f"direct loss at {_plain(coords)}"] = true
        how = how_close(job.model, job.options["dtype"])
        if self.steady and not same_twice(true, got, how):
            raise RuntimeError(
                f"the {self.what} at {_plain(coords)} ({got:.9g}) is not "
                f"that network's own loss ({true:.9g}). If the loss or the "
                "model keeps state between calls, make it a function of its "
                "inputs; else try way='slow'"
            )

    def _seconds_for_a_point(self) -> float:
        """Measured on a part of the samples where all would take long."""
        if self.samples > 4 * LEAST_SAMPLES:
            part = thin(self.job.held, LEAST_SAMPLES)
            small = dataclasses.replace(self.job, held=part).evaluator()
            used = sum(batching.size(b) for b in part)
            seconds = self._timed(small) * self.samples / used
            if seconds > 0.5:
                return seconds
        return self._timed(self.evaluator)

    def _timed(self, evaluator: Evaluator) -> float:
        """Seconds for a point: one evaluation, or more if it is quick."""
        few, most = 1, min(len(self.coords), evaluator.chunk)
        evaluator(torch.from_numpy(self.coords[:1]))  # first calls are slow
        while True:
            some = torch.from_numpy(self.coords[:few])
            took = _clock(evaluator, some)
            whole = took / few * len(self.coords)
            if few >= most or 4 * took > TIMING_SECONDS or whole < QUICK:
                return took / few
            few = min(4 * few, most)

    def _tile_size(self, seconds: float, n_jobs: int | None) -> int:
        points = len(self.coords)
        hands = workers(n_jobs)
        wish = TILE_SECONDS
        if self.budget_s is not None:
            wish = min(wish, self.budget_s / 20)
        size = max(1, min(TILE_MOST, int(wish / max(seconds, 1e-9))))
        if hands > 1:
            size = min(size, math.ceil(points / (4 * hands)))
        if self.budget_points is not None:
            size = min(size, max(1, self.budget_points // 8))
        # Fast ways share work along rows. Whole ones also keep the last
        # digits from depending on how fast the machine was just now.
        row = len(self.axes[-1])
        if size < row and (self._limited or row * seconds > ROW_SECONDS):
            return size
        return max(row, size - size % row)

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

    def _cut(self, plan: dict) -> list[np.ndarray]:
        """Indices of each tile's points."""
        levels = [np.arange(len(self.coords))]
        if plan["order"] == "levels":
            levels = coarse_to_fine(*self.axes[:2])
        size = plan["tile"]
        return [
            level[i : i + size]
            for level in levels
            for i in range(0, len(level), size)
        ]

    def _tiles(
        self, store: Store | None, plan: dict, n_jobs: int | None
    ) -> dict[str, np.ndarray]:
        names = ["loss", *self.job.options["metrics"]]
        values = {k: np.full(len(self.coords), np.nan) for k in names}
        tiles = self._cut(plan)
        before = self._load(store, tiles, values)
        self._hold_stored_centre(store, values["loss"])
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

    def _hold_stored_centre(self, store: Store | None, losses) -> None:
        """What lies in the folder must be this loss, at the centre too."""
        centre = (self.coords == 0).all(1) & self.done & self.grid
        how = how_close(self.job.model, self.job.options["dtype"])
        for found in losses[centre] if self.steady else ():
            if not same_twice(float(found), self.centre, how):
                raise ValueError(
                    f"{store.folder} holds another loss: {found:.9g} at the "
                    f"centre, where this one is {self.centre:.9g}. Choose "
                    "another folder, or delete this one to start afresh"
                )

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


def _plain(coords: Sequence[float]) -> str:
    """Coordinates as people write them."""
    words = [f"{c:g}" for c in coords]
    return words[0] if len(words) == 1 else f"({', '.join(words)})"


def _clock(evaluator: Evaluator, coords: torch.Tensor) -> float:
    start = time.perf_counter()
    evaluator(coords)
    return time.perf_counter() - start
