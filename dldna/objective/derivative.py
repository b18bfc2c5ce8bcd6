"""Gradients of an objective: of one batch, and of all the data."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from dldna.objective.function import name_checkpoint


def slope_at(
    f: Any, batch: Any, leaves: Sequence[Tensor]
) -> tuple[float, Tensor]:
    """Loss and gradient of one batch, inside ``f.placed``.

    Args:
        f: an objective.
        batch: one of its batches.
        leaves: what ``f.placed`` gave.

    Returns:
        The loss and the gradient (n,) in the order of ``f.flat``.
    """
    loss = f.batch_loss(batch)
    if not loss.requires_grad:
        return float(loss), torch.zeros(f.n, **f.cast)
    try:
        found = torch.autograd.grad(loss, leaves, allow_unused=True)
    except RuntimeError as error:
        name_checkpoint(error)
        raise
    parts = {
        name: torch.zeros_like(p) if g is None else g
        for g, (name, p) in zip(found, f.point.items(), strict=True)
    }
    return float(loss.detach()), f.flat(parts)


def over_data(
    f: Any, slope: Callable[[Any], tuple[float, Tensor]]
) -> tuple[float, Tensor]:
    """Mean loss and gradient over all data, from those of each batch.

    Args:
        f: an objective.
        slope: loss and gradient (n,) of one of its batches.
    """
    loss, out = 0.0, torch.zeros(f.n, **f.cast)
    for weight, batch in zip(f.weights, f.batches, strict=True):
        value, part = slope(batch)
        loss += weight * value
        out += weight * part
    return loss, out
