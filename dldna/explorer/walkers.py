"""Optimizers that walk in the full space, seen as shadows on a plane."""

import math
import time
from typing import Any

import numpy as np
import torch

from dldna import params
from dldna.explorer.plane_map import PlaneMap
from dldna.optim import OPTIMIZERS, VARIANTS
from dldna.training import Contestant
from dldna.training.stepping import (
    Diverged,
    accumulated_step,
    evaluation_weights,
)

WALKERS = tuple(sorted((*OPTIMIZERS, *VARIANTS), key=str.lower))
STEPS = 500  # at most, in one walk
SHOWN = 100  # points of a walk, at most
AT_ONCE = 4  # walks on their way: each keeps weights and an optimizer's state


def walk(
    here: PlaneMap,
    optimizer: str,
    start: tuple[float, float],
    steps: int = 50,
    lr: float = 0.05,
    seed: int = 0,
) -> dict[str, Any]:
    r"""Let an optimizer walk from a point of a plane.

    It moves all parameters that may move, on the gradient over all data
    (each step is one of the training loop's). What is seen of
    it is the nearest point of the plane; :math:`r_t`, the rest, is said.

    .. math:: w_t - w = \alpha_t d_1 + \beta_t d_2 + r_t,
        \qquad r_t \perp d_1, d_2

    Batch normalisation uses each batch's own statistics on a map of
    ``statistics="train"``, and on all others those of the start.

    Args:
        here: the plane.
        optimizer: a name of :data:`WALKERS`; Muon moves hidden matrices and
            AdamW the rest.
        start: where on the plane it begins.
        steps: number of steps, at most 500.
        lr: the rate.
        seed: of what the optimizer draws.

    Returns:
        "coords" (T, 2), "losses" (T,) and "off" (T,), the distance from the
        plane, at the "steps" (T,), of which at most 101 are kept; and
        "ended", empty or why it ended early.

    Raises:
        ValueError: the optimizer does not serve this network.
    """
    return Walker(here, optimizer, start, steps, lr, seed).go()


class Walker:
    """One walk that goes on piece by piece, the same whatever the pieces.

    Between them the model is as it was: the walker keeps its own weights
    and its optimizer's state (which draws by a seed and the step alone).

    Args:
        here: as of :func:`walk`, like all the others.
        optimizer: likewise.
        start: likewise.
        steps: likewise.
        lr: likewise.
        seed: likewise.

    Attributes:
        t: number of steps that were taken.
        done: whether it is at its end.
    """

    def __init__(
        self,
        here: PlaneMap,
        optimizer: str,
        start: tuple[float, float],
        steps: int,
        lr: float,
        seed: int = 0,
    ):
        self.here, self.start, self.steps = here, start, steps
        self.every = max(1, math.ceil(steps / SHOWN))
        self.t, self.done, self.ended = 0, False, ""
        with here.at(start) as f:
            self.point = params.copy(f.point)
            with f.placed(self.point):
                torch.manual_seed(seed)
                made = Contestant(optimizer, optimizer, lr)
                self.optimizer = made.build(f.model, lr)

    def go(self, seconds: float = math.inf) -> dict[str, Any]:
        """Walk on.

        Args:
            seconds: after which it stops, at the next step.

        Returns:
            What :func:`walk` does, of this piece alone.
        """
        seen, late = [], time.monotonic() + seconds
        with self.here.at(self.start) as f, f.placed(self.point):
            while not self.done:
                self._step(f, seen)
                if time.monotonic() >= late:
                    break
            named = dict(f.model.named_parameters())
            self.point = {k: named[k].detach().clone() for k in self.point}
        return {
            "steps": [at for at, *_ in seen],
            "coords": np.array([c for _, c, _, _ in seen]).reshape(-1, 2),
            "losses": np.array([loss for *_, loss in seen]),
            "off": np.array([off for _, _, off, _ in seen]),
            "ended": self.ended,
        }

    def _step(self, f: Any, seen: list) -> None:
        """Note where it is, if that is shown, and take a step."""
        if self.t % self.every == 0 or self.t == self.steps:
            seen.append((self.t, *_seen(self.here, self.optimizer)))
            if not math.isfinite(seen[-1][-1]):
                self.ended = f"diverged at step {self.t}"
        if self.t < self.steps and not self.ended:
            try:
                accumulated_step(
                    f.model, self.optimizer, f.batches, f.run_loss
                )
                self.t += 1
            except Diverged:
                self.ended = f"diverged at step {self.t}"
        else:
            self.done = True


class Walkers:
    """Walks that are on their way, by number.

    There is room for :data:`AT_ONCE`; who was not asked for longest makes
    room.
    """

    def __init__(self) -> None:
        self._kept: dict[int, Walker] = {}
        self._last = 0

    def begin(self, walker: Walker, seconds: float) -> dict[str, Any]:
        """Keep a walker, and let it go for so many seconds."""
        while len(self._kept) >= AT_ONCE:
            del self._kept[next(iter(self._kept))]
        self._last += 1
        self._kept[self._last] = walker
        return self.further(self._last, seconds)

    def further(self, number: int, seconds: float) -> dict[str, Any]:
        """The next piece of a walk, with its number and how far it is.

        Raises:
            ValueError: it has ended, or made room for others.
        """
        if number not in self._kept:
            raise ValueError(
                "this walk is no longer kept: it has ended, or was stopped, "
                f"or made room ({AT_ONCE} may be on their way at once)"
            )
        walker = self._kept.pop(number)  # not kept if it fails
        found = walker.go(seconds)
        if not walker.done:
            self._kept[number] = walker
        return {
            **found, "walker": number, "at": walker.t, "done": walker.done
        }  # fmt: skip

    def stop(self, number: int) -> None:
        """Forget a walk, if it is still kept."""
        self._kept.pop(number, None)


def _seen(here: PlaneMap, walker: Any) -> tuple[list, float, float]:
    """The nearest point of the plane, how far it is, and the loss."""
    f = here.moving
    with evaluation_weights(walker):
        now = {k: p.detach() for k, p in f.model.named_parameters()}
        coords, off = here.plane.project(
            {k: now[k] for k in here.plane.origin}
        )
        return coords.tolist(), off, f.mean_loss(now, f.batches)
