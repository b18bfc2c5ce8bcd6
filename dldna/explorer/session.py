"""The maps of one network that somebody walks in."""

import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from dldna.checks import count, folder, positive, whole
from dldna.explorer.plane_map import STATISTICS, PlaneMap
from dldna.explorer.walkers import Walkers
from dldna.guard import copy_of
from dldna.landscape import DIRECTIONS, Plane
from dldna.landscape.paths import trajectory as trajectories
from dldna.landscape.space.checkpoints import load_into
from dldna.landscape.space.points import state_of
from dldna.objective import Objective, norms
from dldna.objective.opening import opened
from dldna.records import Surface

SEEDS = 2**31
MAPS = 6  # that are kept ready
GRADIENT = ("gradient", "random")


class Explorer:
    r"""Maps of the loss around a network, computed where one looks.

    The point :math:`(\alpha, \beta)` of a map is
    :math:`L(w + \alpha d_1 + \beta d_2)`. The model is not moved.

    Args:
        model: the network, or an :class:`Objective` in place of it, the
            loss and the data.
        loss_fn: as :func:`dldna.landscape.surface` takes it.
        data: likewise.
        directions: likewise: a name of :data:`DIRECTIONS`, a
            :class:`Plane`, or two directions.
        extent: half width of the map as it opens.
        seed: of random directions.
        statistics: what batch normalisation uses: "eval", "train" or
            "recalibrate"; by default as the objective, else "eval".
        out: folder for finished tiles, in which a later call goes on.
        beside: a second checkpoint of the same network (a model, a state
            dict or its file), whose map stands beside the first.
        trajectory: of a run (:class:`Trajectory` or its folder), for
            ``directions="pca"``; it is drawn on the map.
        others: two checkpoints, for ``directions="checkpoints"``.
        params: the parameters that may move.
        dtype: "float32" or "float64"; by default the model's own.
        limit: use only the first so many samples.
        data_name: what to call the data.

    Attributes:
        f: the objective.
        maps: number of networks, 1 or 2.

    Raises:
        ValueError: what was given does not fit; the message says how.
        TypeError: likewise, for a thing of the wrong kind.

    Example:
        >>> import torch
        >>> x = torch.eye(3)
        >>> explorer = Explorer(nn.Linear(3, 1), nn.MSELoss(), (x, x[:, :1]))
        >>> explorer.map().distance(0.0, 0.0)
        0.0
    """

    def __init__(
        self,
        model: nn.Module | Objective,
        loss_fn: Callable | None = None,
        data: Any = None,
        directions: Any = "random",
        *,
        extent: float = 1.0,
        seed: int = 0,
        statistics: str | None = None,
        out: str | Path | None = None,
        beside: Any = None,
        trajectory: Any = None,
        others: Sequence[Any] = (),
        params: Any = None,
        dtype: Any = None,
        limit: int | None = None,
        data_name: str = "",
    ):
        self.extent = float(positive("extent", extent))
        self.seed, self.data_name = whole("seed", seed), data_name
        if not 0 <= self.seed < SEEDS:
            raise ValueError(
                f"seed must lie from 0 to {SEEDS - 1}, not {seed}"
            )
        self.out = None if out is None else folder("out", out)
        self.given, self.others = directions, list(others)
        self.trajectory = trajectories.opened(trajectory)
        own = {"names": params, "dtype": dtype, "limit": limit}
        self.f = _objective(model, loss_fn, data, own)
        made = self.f is not model
        self.objectives = [self.f]
        if beside is not None:
            own = {"names": self.f.names, "dtype": self.f.asked.get("dtype")}
            other = _network(self.f.model, beside)
            loss_fn, held = self.f.loss_fn, self.f.held
            self.objectives.append(Objective(other, loss_fn, held, **own))
        self.maps = len(self.objectives)
        self.walkers = Walkers()
        self.lock = threading.RLock()
        self._ready: dict[tuple, PlaneMap] = {}
        self.first = _word(directions)
        used = statistics or self.f.statistics
        self.statistics = "eval" if used == "frozen" else used
        self._just = self.f.own_loss if made else None
        self.map()
        self._just = None

    @property
    def directions(self) -> dict[str, Any]:
        """The directions that can be had here, by name."""
        found = {self.first: self.given, "gradient,random": GRADIENT}
        lacking = {"gradient"}  # there is one, which spans no plane
        if self.trajectory is None:
            lacking.add("pca")
        if len(self.others) != 2:
            lacking.add("checkpoints")
        for name in DIRECTIONS:
            if name not in lacking:
                found.setdefault(name, name)
        return found

    @property
    def ways(self) -> tuple[str, ...]:
        """The batch-norm statistics that make a difference here."""
        return STATISTICS if norms(self.f.model) else ("eval",)

    def map(
        self,
        side: int = 0,
        directions: str | None = None,
        seed: int | None = None,
        statistics: str | None = None,
    ) -> PlaneMap:
        """One of the maps, made when it is asked for the first time.

        Args:
            side: 0, or 1 for the one beside.
            directions: a name of :attr:`directions`.
            seed: of random directions.
            statistics: of batch normalisation.
        """
        key = (
            side,
            self.first if directions is None else directions,
            self.seed if seed is None else seed,
            self.statistics if statistics is None else statistics,
        )
        if key not in self._ready:
            side, word, seed, way = key
            home = None
            if self.out is not None:
                name = re.sub(r"[^\w,]", "-", f"{word}-{seed}-{way}")
                home = self.out / f"{side}-{name}"
            made = PlaneMap(
                self.objectives[side], self.directions[word], self.extent,
                seed, way, home, self.trajectory, self.others, self._just,
            )  # fmt: skip
            while len(self._ready) >= MAPS:
                del self._ready[next(iter(self._ready))]
            self._ready[key] = made
        return self._ready[key]

    def surface(
        self,
        centre: Sequence[float] = (0.0, 0.0),
        span: float | None = None,
        points: int = 65,
        **plane: Any,
    ) -> Surface:
        """What is seen in a window, as a record.

        Args:
            centre: (2,) of the window.
            span: its width and height; by default the map as it opens.
            points: along each side. 0 is added where it is not among them.
            **plane: of :meth:`map`.

        Returns:
            The record, as :func:`dldna.landscape.surface` makes it.

        Example:
            >>> import torch
            >>> x = torch.eye(3)
            >>> one = Explorer(nn.Linear(3, 1), nn.MSELoss(), (x, x[:, :1]))
            >>> one.surface((0.5, 0.0), 0.5, points=5).losses.shape
            (6, 5)
        """
        here = self.map(**plane)
        count("points", points, 2)
        span = 2 * self.extent if span is None else positive("span", span)
        axes = [
            np.union1d(c + span * np.linspace(-0.5, 0.5, points), [0.0])
            for c in centre
        ]
        mesh = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
        losses = here.losses(mesh.reshape(-1, 2)).reshape(mesh.shape[:2])
        words = [d.done for d in here.chosen]
        return Surface(
            alphas=axes[0],
            betas=axes[1],
            losses=losses,
            evaluated=np.ones(losses.shape, dtype=bool),
            centre_loss=here.centre,
            directions=[d.name for d in here.chosen],
            way=here.way,
            provenance=here.run.provenance(
                "surface", here.seed, self.data_name, directions=words,
                statistics=here.statistics, **here.plane.notes,
            ),
        )  # fmt: skip


def _objective(model: Any, loss_fn: Any, data: Any, own: dict) -> Objective:
    """What is looked at, made or as it was given."""
    if not isinstance(model, Objective):
        return Objective(model, loss_fn, data, **own)
    opened(model, loss_fn, data)  # or an error: it holds its own
    if any(v is not None for v in own.values()):
        raise TypeError(
            "an Objective holds its params, dtype and limit: give them where "
            "it is made"
        )
    return model


def _network(model: nn.Module, beside: Any) -> nn.Module:
    """A second network: itself, or a copy with a checkpoint's tensors."""
    if isinstance(beside, nn.Module):
        own, other = (
            {k: tuple(p.shape) for k, p in m.named_parameters()}
            for m in (model, beside)
        )
        differ = [k for k in own | other if own.get(k) != other.get(k)]
        if differ:
            raise ValueError(
                f"beside must be the same network with other weights: "
                f"{differ[0]!r} is {other.get(differ[0], 'not in it')} and "
                f"in the first {own.get(differ[0], 'missing')}"
            )
        return beside
    copy = copy_of(model)
    load_into(copy, state_of(beside), "beside")
    return copy


def _word(directions: Any) -> str:
    """A name for the directions that were given."""
    if isinstance(directions, str):
        return directions
    parts = directions if isinstance(directions, (list, tuple)) else ()
    if parts and all(isinstance(part, str) for part in parts):
        return ",".join(parts)
    return "plane" if isinstance(directions, Plane) else "given"
