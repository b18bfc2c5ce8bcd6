"""The few words the update rules share.

Each takes hyperparameters as numbers or as tensors that broadcast
against the weights, so that one rule serves one run and many.
"""

from typing import Any

import torch
from torch import Tensor

Hyper = float | Tensor
State = dict[str, Tensor]


def ema(average: Tensor, new: Tensor, beta: Hyper) -> Tensor:
    r"""``beta * average + (1 - beta) * new``, in one pass over memory.

    Example:
        >>> ema(torch.tensor(0.0), torch.tensor(1.0), 0.75)
        tensor(0.2500)
    """
    return torch.lerp(average, new, 1 - beta)


def axpy(a: Hyper, x: Tensor, y: Tensor) -> Tensor:
    """``a * x + y``, in one pass over memory where ``a`` is a number.

    Example:
        >>> axpy(-0.5, torch.tensor([2.0]), torch.tensor([3.0]))
        tensor([2.])
    """
    if isinstance(a, int | float):
        return torch.add(y, x, alpha=a)
    return a * x + y


def l2(w: Tensor, g: Tensor, weight_decay: Hyper) -> Tensor:
    r"""``g + weight_decay * w``; a plain 0 costs nothing.

    This is the gradient of the loss plus :math:`\lambda |w|^2 / 2`.

    Example:
        >>> l2(torch.tensor([2.0]), torch.tensor([1.0]), 0.5)
        tensor([2.])
    """
    return g if off(weight_decay) else axpy(weight_decay, w, g)


def decay(w: Tensor, rate: Hyper) -> Tensor:
    """``w * (1 - rate)``, as decoupled weight decay does; 0 costs nothing.

    Example:
        >>> decay(torch.tensor([2.0]), 0.25)
        tensor([1.5000])
    """
    return w if off(rate) else w * (1 - rate)


def off(value: Any) -> bool:
    """True for a number that is 0; a tensor always counts as on."""
    return not isinstance(value, Tensor) and value == 0


def pick(condition: Any, yes: Any, no: Any) -> Any:
    """``yes`` where the condition holds, else ``no``.

    Example:
        >>> pick(torch.tensor([True, False]), 1.0, 0.0)
        tensor([1., 0.])
        >>> pick(2 > 1, "yes", "no")
        'yes'
    """
    if isinstance(condition, Tensor):
        return torch.where(condition, yes, no)
    return yes if condition else no


def at_least(value: Any, bound: Any) -> Any:
    """The larger of the two, for numbers and for tensors.

    Example:
        >>> at_least(torch.tensor([-1.0, 2.0]), 0.0)
        tensor([0., 2.])
        >>> at_least(-1.0, 0.0)
        0.0
    """
    if isinstance(value, Tensor):
        return value.clamp(min=bound)
    if isinstance(bound, Tensor):
        return bound.clamp(min=value)
    return value if value > bound else bound


def at_most(value: Any, bound: Any) -> Any:
    """The smaller of the two, for numbers and for tensors.

    Example:
        >>> at_most(torch.tensor([-1.0, 2.0]), 0.0)
        tensor([-1.,  0.])
    """
    return -at_least(-value, -bound)


def scalar(w: Tensor, value: float) -> Tensor:
    """A 0-dim state tensor beside ``w``, in double precision.

    Being 0-dim it does not widen the type of ``w`` in arithmetic.
    """
    return torch.full((), value, dtype=exact(w.device), device=w.device)


def exact(device: torch.device) -> torch.dtype:
    """The widest floating type of a device: float64, where it has that."""
    return torch.float32 if device.type == "mps" else torch.float64


def wide(x: Tensor) -> Tensor:
    """``x`` in float32 if its type is a half one, else ``x`` itself.

    Factorizations do not exist in half precision, and squares of small
    numbers vanish there.

    Example:
        >>> wide(torch.ones(2, dtype=torch.bfloat16)).dtype
        torch.float32
        >>> wide(torch.ones(2, dtype=torch.float64)).dtype
        torch.float64
    """
    return x.float() if x.element_size() < 4 else x
