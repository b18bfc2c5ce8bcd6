"""Optimizers that walk in the full space, seen as shadows on a plane."""

import math
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
    with here.at(start) as f, f.placed(params.copy(f.point)):
        torch.manual_seed(seed)
        walker = Contestant(optimizer, optimizer, lr).build(f.model, lr)
        seen, ended = _walked(here, walker, steps)
    at, coords, off, losses = zip(*seen, strict=True)
    return {
        "steps": list(at),
        "coords": np.array(coords),
        "losses": np.array(losses),
        "off": np.array(off),
        "ended": ended,
    }


def _walked(here: PlaneMap, walker: Any, steps: int) -> tuple[list, str]:
    """What is seen on the way, and why it ended early."""
    f, seen = here.moving, []
    every = max(1, math.ceil(steps / SHOWN))
    for t in range(steps + 1):
        if t % every == 0 or t == steps:
            seen.append((t, *_seen(here, walker)))
            if not math.isfinite(seen[-1][-1]):
                return seen, f"diverged at step {t}"
        if t < steps:
            try:
                accumulated_step(f.model, walker, f.batches, f.run_loss)
            except Diverged:
                return seen, f"diverged at step {t}"
    return seen, ""


def _seen(here: PlaneMap, walker: Any) -> tuple[list, float, float]:
    """The nearest point of the plane, how far it is, and the loss."""
    f = here.moving
    with evaluation_weights(walker):
        now = {k: p.detach() for k, p in f.model.named_parameters()}
        coords, off = here.plane.project(
            {k: now[k] for k in here.plane.origin}
        )
        return coords.tolist(), off, f.mean_loss(now, f.batches)
