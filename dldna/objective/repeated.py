"""Whether a model gives the same loss when it is called again."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from dldna import batches as batching
from dldna.guard import loss_kept, untouched
from dldna.objective.gradients import values_only
from dldna.objective.place import in_place
from dldna.params import exact, of

FEW = 16  # samples
LOOKED_AT = 2**20  # bytes of a tensor that is compared with itself


def check_state(model: nn.Module, loss_fn: Callable, batch: Any) -> None:
    """Refuse a model whose loss depends on how often it was called.

    Args:
        model: the network; it is looked at in eval mode.
        loss_fn: the loss.
        batch: on the model's device.

    Raises:
        ValueError: with the same weights, data and random numbers another
            loss comes out; the message names what has changed meanwhile.
    """
    small = batching.sliced(batch) and batching.size(batch) > FEW
    try:
        few = batching.cut(batch, 0, FEW) if small else batch
        first, second, changed = _twice(model, loss_fn, few)
    except (RuntimeError, ValueError, IndexError, AssertionError):  # its size
        if not small:
            raise
        first, second, changed = _twice(model, loss_fn, batch)
    kinds = {p.dtype for p in model.parameters()}
    rough = 1e-4 if any(p.is_cuda for p in model.parameters()) else 1e-6
    rough = 1e-2 if kinds & {torch.float16, torch.bfloat16} else rough
    if abs(first - second) > rough * max(abs(first), abs(second)):
        names = ", ".join(changed[:3]) or "something, or the loss does,"
        raise ValueError(
            f"the loss depends on how often the model ran: {first:.9g}, then "
            f"{second:.9g}, with the same weights, data and random numbers. "
            f"The model keeps {names} from call to call: reset it at the "
            "start of forward, or hand it in with the data"
        )


def _twice(
    model: nn.Module, loss_fn: Callable, batch: Any
) -> tuple[float, float, list[str]]:
    """Two losses of a batch, and what the model keeps that has changed."""
    call, found = batching.loss_caller(loss_fn), []
    inputs, _ = batching.split(batch)
    with (
        loss_kept(loss_fn),
        values_only(model, loss_fn) as needs,
        in_place(model, needs=needs, write=True) as put,
    ):
        put(of(model), dict(model.named_buffers()))
        kept = _kept_by(model)
        for _ in range(2):
            with untouched():
                output = batching.apply(model, inputs)
                loss = call(output, batch)
            if not isinstance(loss, torch.Tensor):
                return 0.0, 0.0, []  # others say so
            found.append(float(exact(loss.detach()).mean()))
        now = _kept_by(model)
    return *found, [k for k, v in now.items() if kept.get(k) != v]


def _kept_by(model: nn.Module) -> dict[str, Any]:
    """What a module keeps beside its parameters, in a form to compare."""
    found: dict[str, Any] = {}
    for name, module in model.named_modules():
        at = f"{name}." if name else ""
        for key, value in vars(module).items():
            if not key.startswith("_"):
                found[at + key] = _content(value)
        for key, value in module._buffers.items():
            found[at + key] = _content(value)
    return found


def _content(value: Any) -> Any:
    if isinstance(value, torch.Tensor) and value.layout == torch.strided:
        flat = value.detach().cpu().reshape(-1)
        if flat.nbytes < LOOKED_AT:
            return flat.contiguous().view(torch.uint8).numpy().tobytes()
    if isinstance(value, torch.Generator):
        return value.get_state().numpy().tobytes()
    if isinstance(value, np.ndarray) and value.nbytes < LOOKED_AT:
        return value.tobytes()
    return repr(value) if isinstance(value, (int, float)) else id(value)
