"""A gradient scaler for optimizers that evaluate the loss themselves."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def scaled_step(
    optimizer: torch.optim.Optimizer,
    loss: Callable[[], Tensor],
    scaler: Any,
    **more: Any,
) -> Tensor:
    """One step with a gradient scaler, in place of ``scaler.step``.

    SAM, PAL and their like call for gradients more than once a step, and
    ``scaler.step`` unscales them once. Here each evaluation multiplies its
    loss, divides its gradients and lets the scale adapt. Where gradients
    overflow, the step is not taken: weights and state stay as they were,
    and the scale falls. ``scaler.update()`` has been called then.

    Args:
        optimizer: any optimizer whose ``step`` takes a closure.
        loss: evaluates the loss, under ``autocast`` where that is wanted,
            and returns it with its graph. It does not call ``backward``.
        scaler: a ``torch.amp.GradScaler``; switched off it does nothing.
        **more: further arguments of ``optimizer.step``.

    Returns:
        The loss of the first evaluation, not scaled.

    Example:
        >>> from dldna.optim import SAM
        >>> w = torch.nn.Parameter(torch.tensor([1.0]))
        >>> scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        >>> sam = SAM([w], lr=0.25, rho=0.5)
        >>> scaled_step(sam, lambda: (w**2).sum() / 2, scaler).item()
        0.5
        >>> w.item()
        0.625
    """
    values: list[Tensor] = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        with torch.enable_grad():
            value = loss()
            values.append(value.detach())
            scaler.scale(value).backward()
        if any(p.grad is not None for p in held):
            scaler.unscale_(optimizer)
            if scaler.is_enabled():
                scaler.update()
        if not all(p.grad is None or p.grad.isfinite().all() for p in held):
            raise _Overflow
        return value

    held = [p for group in optimizer.param_groups for p in group["params"]]
    try:
        optimizer.step(closure, **more)
    except _Overflow:
        optimizer.zero_grad()
    return values[0]


class _Overflow(Exception):
    """A gradient of the scaled loss is infinite."""
