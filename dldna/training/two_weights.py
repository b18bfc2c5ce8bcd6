"""Optimizers on two free parameters: many starts and settings at once."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dldna import checks
from dldna.data import Loader
from dldna.landscape import Slice
from dldna.progress import track
from dldna.records import Provenance, Record
from dldna.training.updates import Update, of_rule

EVERY = ("epoch", "step")


@dataclass(frozen=True, eq=False)
class SlicePaths(Record):
    """Paths over a slice: S settings, P starts, T + 1 points each.

    Args:
        rule: the optimizer.
        settings: the S settings, as they were given.
        points: (S, P, T + 1, 2) where each path was, the start first.
            NaN and inf are kept.
        losses: (S, P) loss over all samples at each last point.
        every: what lies between two points, "epoch" or "step".
        provenance: where it came from.
    """

    rule: str
    settings: list[dict[str, Any]]
    points: np.ndarray
    losses: np.ndarray
    every: str
    provenance: Provenance = field(default_factory=Provenance)

    def reached(self, loss: float) -> np.ndarray:
        """Which paths (S, P) end at this loss or below; NaN does not."""
        return self.losses <= loss


def slice_paths(
    part: Slice,
    rule: str,
    starts: Tensor | Sequence[Sequence[float]],
    settings: Sequence[Mapping[str, Any]] = ({},),
    *,
    batch_size: int | None = None,
    epochs: int = 200,
    every: str = "epoch",
    seed: int = 0,
) -> SlicePaths:
    r"""Walk over a slice from many starts under many settings, in one pass.

    Both numbers move as the optimizer moves two weights of a network whose
    other weights have no gradient. All paths of a call see the same
    batches, in the order of :class:`dldna.data.Loader`, so that they
    differ by start and setting alone.

    Args:
        part: the slice.
        rule: an optimizer's name, in any spelling that
            :func:`dldna.optim.find` knows. A rule that looks at whole
            tensors sees one of two numbers; Sophia, Muon and those that
            evaluate the loss themselves need more than that.
        starts: (P, 2) values of the two parameters.
        settings: keyword arguments of the rule, one mapping for each
            setting; what is left out takes the rule's default.
        batch_size: samples in a batch, the last one may be smaller; all
            if left out.
        epochs: passes over the data.
        every: record a point after each "epoch" or after each "step".
        seed: of the order of the samples.

    Returns:
        The paths.

    Raises:
        ValueError: unknown rule, keyword or ``every``; starts of another
            shape; a rule that needs more than the gradient.

    Example:
        >>> from dldna.landscape import Slice, toy_network
        >>> part = Slice.of(toy_network("tanh"))
        >>> got = slice_paths(part, "adam", [[0.0, 1.0], [1.0, 1.0]],
        ...                   [{"lr": 0.1}], epochs=3)
        >>> got.points.shape
        (1, 2, 4, 2)
    """
    given = settings
    pure, settings = of_rule(rule, settings)
    rule = pure.name
    if rule == "muon":
        raise ValueError("Muon needs a matrix of weights, not two numbers")
    checks.choice("every", every, EVERY)
    checks.count("epochs", epochs)
    starts = torch.as_tensor(starts, dtype=torch.float64, device="cpu")
    if starts.ndim != 2 or starts.shape[1] != 2 or not len(starts):
        raise ValueError(
            f"starts must have shape (P, 2), not {tuple(starts.shape)}"
        )
    if not settings:
        raise ValueError("no settings: a path needs at least one")
    begin = time.perf_counter()
    n = len(part.y)
    size = n if batch_size is None else min(batch_size, n)
    loader = Loader(part.x, part.y, size, shuffle=size < n, seed=seed)
    job = _Walkers(starts.repeat_interleave(len(settings), dim=0))
    update = Update(pure, settings, job, {})
    points, t = [job.flat], 0
    for epoch in track(range(epochs), f"{rule} paths"):
        whole = [None]
        if size < n:
            whole = loader.order(epoch).split(size)
        for index in whole:
            t += 1
            _, gradient = part.gradient(job.flat, index)
            update(gradient, t, 1.0)
            if every == "step":
                points.append(update.point())
        if every == "epoch":
            points.append(update.point())
    shape = (len(starts), len(settings), -1, 2)
    walked = torch.stack(points, 1).view(shape).transpose(0, 1).contiguous()
    return SlicePaths(
        rule=rule,
        settings=[dict(s) for s in given],
        points=walked.numpy(),
        losses=part.losses(walked[:, :, -1]).numpy(),
        every=every,
        provenance=replace(
            part.provenance.derived(
                f"paths of {rule}", batch_size=size, steps=t, free=part.names
            ),
            seed=seed,
            seconds=time.perf_counter() - begin,
        ),
    )


class _Walkers:
    """The positions (R, 2) in the form that the update of a sweep takes."""

    still = None

    def __init__(self, flat: Tensor):
        self.flat = flat
        self.like = {"free": torch.zeros(2, dtype=flat.dtype, device="cpu")}
