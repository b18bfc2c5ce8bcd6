"""Optimizers that walk in the full space, seen as shadows on a plane."""

import math
from typing import Any

import numpy as np
import torch

from dldna import params
from dldna.explorer.plane_map import PlaneMap
from dldna.guard import differentiable, untouched
from dldna.objective import in_place, norms
from dldna.optim import OPTIMIZERS, VARIANTS
from dldna.training import Contestant
from dldna.training.stepping import Diverged, accumulated_step

WALKERS = tuple(sorted((*OPTIMIZERS, *VARIANTS), key=str.lower))
STEPS = 500  # at most, in one walk
SHOWN = 100  # points of a walk, at most


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
    ``statistics="train"``, and the running ones on all others.

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
    f = here.f
    train = norms(f.model) if here.statistics == "train" else ()
    point = params.copy(here.plane.point(start))
    found: dict[str, list] = {k: [] for k in ("at", "coords", "off", "loss")}
    every, ended = max(1, math.ceil(steps / SHOWN)), ""

    def note(t: int, loss: float) -> None:
        weights = {k: point[k] for k in here.plane.origin}
        coords, off = here.plane.project(weights)
        found["at"].append(t)
        found["coords"].append(coords.tolist())
        found["off"].append(off)
        found["loss"].append(loss)

    with (
        untouched(f.model),
        in_place(f.model, training=train, needs=f.names) as put,
        differentiable(),
    ):
        put(point)
        torch.manual_seed(seed)
        walker = Contestant(optimizer, optimizer, lr).build(f.model, lr)
        batches = f.batches
        for t in range(steps + 1):
            if t % every == 0 or t == steps:
                _to_the_point(walker, "eval")
                with torch.no_grad():
                    loss = _loss(f)
                note(t, loss)
                _to_the_point(walker, "train")
                if not math.isfinite(loss):
                    ended = f"diverged at step {t}"
            if t == steps or ended:
                break
            try:
                accumulated_step(f.model, walker, batches, f.run_loss)
            except Diverged:
                ended = f"diverged at step {t}"
                break
    return {
        "steps": found["at"],
        "coords": np.array(found["coords"]),
        "losses": np.array(found["loss"]),
        "off": np.array(found["off"]),
        "ended": ended,
    }


def _to_the_point(walker: Any, mode: str) -> None:
    """Weights that are trained or, of schedule-free ones, their mean."""
    if hasattr(walker, mode):
        getattr(walker, mode)()


def _loss(f: Any) -> float:
    each = [float(f.batch_loss(piece).detach()) for piece in f.batches]
    return sum(w * x for w, x in zip(f.weights, each, strict=True))
