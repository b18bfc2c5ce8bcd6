"""What an optimizer keeps for each weight, measured."""

from collections.abc import Iterable
from typing import NamedTuple

import torch

from dldna.optim.registry import OPTIMIZERS, make


class StateMemory(NamedTuple):
    """An optimizer's state after two steps, for each weight.

    Attributes:
        tensors: state numbers for each weight: 2 for Adam.
        bytes: the same in bytes.
    """

    tensors: float
    bytes: float


def state_memory(
    names: Iterable[str] | None = None,
    shape: tuple[int, int] = (64, 48),
    dtype: torch.dtype = torch.float32,
) -> dict[str, StateMemory]:
    """Measure the state each optimizer holds between steps.

    A matrix of weights is moved twice; then every tensor of the state is
    counted, except single numbers. What lives only within a step (SAM's
    and PAL's copy of the weights, Entropy-SGD's walker) is not counted.

    Args:
        names: optimizers; None for every class, SGD+ and AMSGrad.
        shape: of the matrix; it matters for those that keep matrices.
        dtype: of the weights.

    Returns:
        For each name the numbers and bytes held for each weight.

    Example:
        >>> measured = state_memory(["SGD", "SGD+", "Adam"])
        >>> {name: m.tensors for name, m in measured.items()}
        {'SGD': 0.0, 'SGD+': 1.0, 'Adam': 2.0}
    """
    if names is None:
        names = [*OPTIMIZERS, "SGD+", "AMSGrad"]
    return {name: _measure(name, shape, dtype) for name in names}


def _measure(
    name: str, shape: tuple[int, int], dtype: torch.dtype
) -> StateMemory:
    draw = torch.Generator().manual_seed(0)
    start = torch.randn(shape, generator=draw, device="cpu").to(dtype)
    w = torch.nn.Parameter(start)
    optimizer = make(name, [w])

    def loss() -> torch.Tensor:
        return (w**2).sum()

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    kind = getattr(optimizer, "needs_curvature", None)
    looks = {"loss": loss, "logits": lambda: w}
    more = {"curvature": looks[kind]} if kind else {}
    for _ in range(2):
        optimizer.step(closure, **more)
    held = [
        v
        for v in optimizer.state[w].values()
        if isinstance(v, torch.Tensor) and v.dim()
    ]
    count = w.numel()
    return StateMemory(
        sum(v.numel() for v in held) / count,
        sum(v.numel() * v.element_size() for v in held) / count,
    )
