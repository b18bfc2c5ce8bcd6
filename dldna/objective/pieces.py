"""Batches joined up, where that changes nothing but the time."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch

from dldna import batches as bt
from dldna import params
from dldna.objective.reductions import batch_weight
from dldna.params import Params

MERGE = 256  # samples; smaller batches are joined up to this size


def joined(f: Any) -> list[Any]:
    """Neighbouring small batches in one, where nothing else changes."""
    if f.statistics == "train" or len(f.given) == 1:
        return f.given
    groups: list[list[Any]] = []
    filled = MERGE
    for batch in f.given:
        if filled + bt.size(batch) > MERGE:
            groups.append([])
            filled = 0
        groups[-1].append(batch)
        filled += bt.size(batch)
    if len(groups) == len(f.given):
        return f.given
    try:
        joined = [bt.join(group) for group in groups]
    except (RuntimeError, TypeError, KeyError):
        return f.given  # ragged, or not made of tensors alone
    return joined if adds_up(f, joined) else f.given


def counted(loss_fn: Callable, pieces: list[Any]) -> list[Any]:
    """The pieces whose targets are not all ignored."""
    counted = [b for b in pieces if batch_weight(loss_fn, b) > 0]
    if not counted:
        raise ValueError("every target is ignored, so there is no loss")
    return counted


def slices(f: Any, parts: int) -> list[Any]:
    """A single batch in parts of nearly equal size; whole, if it has none."""
    (batch,) = f.batches
    if not bt.sliced(batch):
        return [batch]
    n = bt.size(batch)
    edges = torch.linspace(0, n, min(parts, n) + 1, device="cpu").round().int()
    edges = sorted(set(edges.tolist()))
    return counted(
        f.loss_fn, [bt.cut(batch, a, b) for a, b in pairwise(edges)]
    )


def adds_up(f: Any, pieces: list[Any]) -> bool:
    """Whether other batches of the same samples have the same mean.

    It is asked at the model's weights and at others: where outputs are
    saturated, samples that read each other do not show in the loss.
    """
    for point in (None, _elsewhere(f.point)):
        try:
            other = f.mean_loss(point, pieces)
        except Exception:  # bound to its size, or it numbers its rows
            return False
        whole = f.mean_loss(point, f.given)
        if point is not None and not math.isfinite(whole):
            continue  # no place for this model
        if not abs(other - whole) <= 1e-4 * abs(whole):
            return False
    return True


@torch.no_grad()
def _elsewhere(point: Params) -> Params:
    """Weights of a tenth of the size, and as much by chance."""
    steps = params.randn_like(point, torch.Generator().manual_seed(0))
    for name, value in point.items():
        size = value.abs().square().mean().sqrt().clamp_min(0.1)
        steps[name] *= size
    return params.scale(params.add(point, steps), 0.1)
