"""One plane through one network, evaluated where somebody looks."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dldna.checks import choice, number
from dldna.explorer.addresses import SIDE, Address
from dldna.explorer.tiles import MapTile
from dldna.guard import differentiable, untouched
from dldna.landscape import NoSecondDerivative
from dldna.landscape.curvature.moving import MovingHessian
from dldna.landscape.evaluate.metrics import accuracy, answers
from dldna.landscape.planned import planned
from dldna.landscape.scan.store import Store
from dldna.landscape.space.plane import gram_matrix
from dldna.objective import Objective, ignored
from dldna.objective.derivative import over_data
from dldna.params import exact

KEPT = 4096  # tiles in memory
TOLERANCE = 1e-2  # of the eigenvalues of a probe
PRODUCTS = 60
STATISTICS = ("eval", "train", "recalibrate")


class PlaneMap:
    r"""The loss :math:`L(w + \alpha d_1 + \beta d_2)`, tile by tile.

    What is evaluated, and how, is what :func:`dldna.landscape.surface` does:
    the same checks, directions and ways, the centre and a point far off held
    to the weights truly written.

    Args:
        f: model, loss and data; the model is at the centre.
        directions: as :func:`dldna.landscape.surface` takes them.
        extent: half width of the map as it opens.
        seed: of random directions.
        statistics: what batch normalisation uses: "eval", "train" or
            "recalibrate".
        out: folder for finished tiles, or None.
        trajectory: of a run, for ``directions="pca"``, and to be drawn.
        others: models or checkpoints, for ``directions="checkpoints"``.
        own: the centre's loss, if ``f`` has just evaluated it.

    Attributes:
        plane: origin and directions.
        centre: the directly evaluated loss at (0, 0).
        way: how points are evaluated.
        seconds: how long a point takes, about.

    Raises:
        ValueError: what was given does not fit; the message says how.
    """

    def __init__(
        self,
        f: Objective,
        directions: Any = "random",
        extent: float = 1.0,
        seed: int = 0,
        statistics: str = "eval",
        out: Path | None = None,
        trajectory: Any = None,
        others: Any = (),
        own: float | None = None,
    ):
        self.f, self.extent, self.seed = f, extent, seed
        self.statistics = choice("statistics", statistics, STATISTICS)
        self.model: nn.Module = f.model
        self.store = None if out is None else Store(out, "a map")
        self._tiles: dict[Address, MapTile] = {}
        self._moving: MovingHessian | None = None
        kinds = {p.dtype for p in f.model.parameters()}
        own = own if kinds == {f.dtype} else None
        whole = (-extent, extent * (1 - 2 / SIDE))
        with untouched(f.model) as [kept]:
            self.chosen, self.plane, self.shadow, self.run = planned(
                f.model, f.loss_fn, f.held, directions, whole, SIDE, None,
                out, seed, (), statistics, "auto", f.asked.get("dtype"), None,
                None, False, "zero", trajectory, others, 2,
                f.asked.get("params"), time.perf_counter(), kept,
                called=True, own=own,
            )  # fmt: skip
            self.run.what = "map"
            self.evaluator = self.run.ready(self.store)
        self.centre, self.way = self.run.centre, self.run.way
        self.seconds = self.run.notes["seconds_per_point_estimated"]
        first = self._known(Address(0, 0, 0))
        for at, loss in self.run.met:  # none is evaluated twice
            places = np.rint((np.array(at) / extent + 1) * SIDE / 2)
            first.put(1, places.astype(int) @ [[SIDE], [1]], loss)
        self.gram = gram_matrix(self.plane.vectors).numpy()

    def losses(self, coords: np.ndarray) -> np.ndarray:
        """Losses at any points.

        Args:
            coords: (P, 2).

        Returns:
            (P,) float64; NaN and inf are kept.
        """
        points = torch.from_numpy(np.ascontiguousarray(coords, np.float64))
        with untouched(self.model):
            return self.evaluator(points)["loss"]

    def tile(self, at: Address, stride: int = 1) -> np.ndarray:
        """Losses on a tile: from memory, from the folder, or evaluated.

        Args:
            at: which.
            stride: only every so many points along each side, of
                :data:`STRIDES`.

        Returns:
            (32 / stride, 32 / stride); row i belongs to the first direction.
        """
        return self.piece(at, stride)[0]

    def piece(
        self, at: Address, stride: int, first: int = 0, most: float = math.inf
    ) -> tuple[np.ndarray, int]:
        """A part of a tile, so that others need not wait for all of it.

        Args:
            at: which tile.
            stride: of the stage, of :data:`STRIDES`.
            first: where in the stage to begin, row by row.
            most: how many points may be evaluated.

        Returns:
            Losses of the stage, of which those before the second number are
            known.
        """
        tile = self._known(at)
        places, last = tile.lacking(stride, first, most)
        if len(places):
            axes = [axis[::stride] for axis in at.axes(self.extent)]
            coords = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
            losses = self.losses(coords.reshape(-1, 2)[places])
            tile.put(stride, places, losses)
            if self.store is not None:
                got = {"loss": tile.losses, "known": tile.known}
                self.store.put(at.number, got)
        return tile.stage(stride), last

    def _known(self, at: Address) -> MapTile:
        """A tile as far as it is known: by itself, or by the one above."""
        if at not in self._tiles:
            while len(self._tiles) >= KEPT:
                del self._tiles[next(iter(self._tiles))]
            self._tiles[at] = self._stored(at)
        tile = self._tiles[at]
        if at.above in self._tiles or self._has(at.above):
            above = self._tiles.get(at.above) or self._stored(at.above)
            tile.take(above, at.quarter)
        return tile

    def _has(self, at: Address) -> bool:
        return self.store is not None and self.store.has(at.number)

    def _stored(self, at: Address) -> MapTile:
        got = (self.store.get(at.number) or {}) if self._has(at) else {}
        parts = got.get("loss"), got.get("known")
        whole = all(p is not None and p.shape == (SIDE, SIDE) for p in parts)
        return MapTile(*parts) if whole else MapTile()

    def cut(self, start: Any, end: Any, points: int) -> dict[str, Any]:
        """Losses along a straight line of the plane.

        Args:
            start: (2,) where it begins.
            end: (2,) where it ends.
            points: how many, evenly spaced, both ends among them.

        Returns:
            "distances" in parameter space from ``start``, and "losses".
        """
        t = np.linspace(0, 1, points)[:, None]
        start, end = np.asarray(start, float), np.asarray(end, float)
        losses = self.losses((1 - t) * start + t * end)
        length = self.distance(*(end - start))
        return {"distances": length * t[:, 0], "losses": losses}

    def distance(self, a: float, b: float) -> float:
        """Length of a step of the plane, in parameter space."""
        step = np.array([a, b])
        return math.sqrt(max(0.0, step @ self.gram @ step))

    @property
    def moving(self) -> MovingHessian:
        """Loss, gradient and curvature at any point, made when asked for."""
        if self._moving is None:
            subspace = self.run.job.subspace()
            own = {k: self.f.asked.get(k) for k in ("params", "dtype")}
            try:
                made = MovingHessian(subspace, way="reverse", **own)
            except NoSecondDerivative:
                made = MovingHessian(subspace, way="difference", **own)
            self._moving = made
        return self._moving

    @contextmanager
    def at(self, coords: Sequence[float]) -> Iterator[MovingHessian]:
        """Loss, gradient and curvature at a point; the model is guarded."""
        if len(coords) != 2:
            raise ValueError(
                f"a point has two coordinates on a plane, not {len(coords)}"
            )
        for c in coords:
            number("a coordinate", c)
        with untouched(self.model), differentiable():
            self.moving.move([*coords])
            yield self.moving

    def probe(self, a: float, b: float) -> dict[str, Any]:
        r"""What lies at a point.

        Args:
            a: coordinate along the first direction.
            b: along the second.

        Returns:
            "loss"; "gradient", the norm of its gradient; "distance" from
            the centre in parameter space; "accuracy" and
            "accuracy_error", its sampling error :math:`\sqrt{p(1-p)/n}`, or
            None where the targets are no classes; "samples", their number.
        """
        with self.at([a, b]) as here:
            right, asked = self._accuracy(here)
            loss, slope = over_data(here, here.slope)
        n, error = self.run.samples, None
        if right is not None:
            error = math.sqrt(max(0.0, right * (1 - right)) / asked)
        return {
            "loss": loss,
            "gradient": float(exact(slope).norm()),
            "accuracy": right,
            "accuracy_error": error,
            "samples": n,
            "distance": self.distance(a, b),
        }

    def curvature(self, a: float, b: float) -> dict[str, Any]:
        """The Hessian's ends at a point.

        Args:
            a: coordinate along the first direction.
            b: along the second.

        Returns:
            "largest" and "smallest" eigenvalue, the length of each one's
            "residuals", and the number of "products".
        """
        draw = torch.Generator().manual_seed(0)
        with self.at([a, b]) as here:
            ends = here.ends(TOLERANCE, PRODUCTS, draw)
        low, high = ends.values.tolist()
        return {
            "largest": high,
            "smallest": low,
            "residuals": ends.residuals.tolist()[::-1],
            "products": ends.products,
        }

    def _accuracy(self, here: MovingHessian) -> tuple[float | None, int]:
        """Share of right answers, if targets are classes, and how many."""
        right, asked, left_out = 0.0, 0, ignored(here.loss_fn)
        with here.placed(), torch.no_grad():
            for batch in here.batches:
                try:
                    share = accuracy(here.output(batch), batch, left_out)
                except (ValueError, TypeError, RuntimeError, IndexError):
                    return None, 0
                if count := answers(batch, left_out):
                    right += count * float(share)
                    asked += count
        return (right / asked, asked) if asked else (None, 0)
