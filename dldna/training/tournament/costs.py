"""What one step of an optimizer costs: time, and memory by kind."""

import ctypes
import gc
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dldna import checks, params
from dldna.guard import untouched
from dldna.training.evaluation import home
from dldna.training.stepping import optimizer_step
from dldna.training.tournament.contestants import Contestant, chosen


class StepCost(NamedTuple):
    """Time and memory of single steps.

    Attributes:
        seconds: (T,) time of each step, its gradient included: on a CPU
            the processor's time, summed over threads, so that a busy
            machine does not count; on a GPU wall time.
        weights: bytes of the network's parameters.
        state: (T,) bytes that the optimizer keeps after each step.
        peak: (T,) most bytes in use at any moment of each step: on a GPU
            those of all tensors, on Linux what the process grew by since
            before the network was made; NaN where neither can be had.
    """

    seconds: np.ndarray
    weights: int
    state: np.ndarray
    peak: np.ndarray


def step_cost(
    make_model: Callable[[], nn.Module],
    batch: tuple[Tensor, Tensor],
    optimizer: str | Contestant,
    *,
    steps: int = 3,
    lr: float = 1e-8,
    loss_fn: Callable = F.cross_entropy,
    device: str | torch.device | None = None,
) -> StepCost:
    """Measure steps of one optimizer on one batch, one by one.

    The first step is the one that makes the state; Sophia refreshes its
    curvature in it, and again in every tenth.

    Args:
        make_model: makes the network.
        batch: inputs and targets, the same in every step.
        optimizer: a key of :data:`CONTESTANTS`, or a contestant.
        steps: how many.
        lr: learning rate; so small that the loss stays where it is.
        loss_fn: a mean over the batch.
        device: where to run; by default where the network is made.

    Returns:
        One number for each step.

    Example:
        >>> cost = step_cost(
        ...     lambda: nn.Linear(100, 10),
        ...     (torch.randn(8, 100), torch.arange(8)), "Adam", steps=2)
        >>> cost.weights, cost.state.tolist()
        (4040, [8080, 8080])
    """
    checks.count("steps", steps)
    (who,) = chosen([optimizer])
    _give_back()
    return measured(make_model, batch, who, steps, lr, loss_fn, device)


def measured(
    make_model, batch, who: Contestant, steps, lr=1e-8,
    loss_fn=F.cross_entropy, device=None,
) -> StepCost:  # fmt: skip
    """The same without giving free memory back first, a fifth of a second.

    Seconds and state are the same; the peak misses what the process had
    kept free before and takes again.
    """
    start = _resident()
    with untouched(trains=True):
        torch.manual_seed(0)
        model = make_model()
        if device is not None:
            model.to(params.usable_device(device))
        where = home(model)
        batch = tuple(part.to(where) for part in batch)
        algorithm = who.build(model, lr)
        model.train()
        clock = time.process_time
        if where.type == "cuda":
            clock = time.perf_counter
        rows = []
        for _ in range(steps):
            _forget_peak(where)
            began = clock()
            optimizer_step(model, algorithm, batch, loss_fn)
            if where.type == "cuda":
                torch.cuda.synchronize(where)
            seconds = clock() - began
            rows.append((seconds, state_bytes(algorithm), _peak(where, start)))
        weights = sum(p.numel() * p.element_size() for p in model.parameters())
    seconds, state, peak = (
        np.array(column) for column in zip(*rows, strict=True)
    )
    return StepCost(seconds, weights, state, peak)


def state_bytes(optimizer) -> int:
    """Bytes of the tensors that an optimizer keeps; single numbers apart."""
    return sum(
        v.numel() * v.element_size()
        for state in optimizer.state.values()
        for v in state.values()
        if isinstance(v, Tensor) and v.dim()
    )


_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def _resident(key: str = "VmRSS") -> float:
    """Bytes that this process holds, or has held at most, on Linux."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return float("nan")
    found = [line.split()[1] for line in lines if line.startswith(key + ":")]
    return 1024.0 * int(found[0]) if found else float("nan")


def _give_back() -> None:
    """Free memory goes to the system: reused, it would not be counted."""
    gc.collect()
    with suppress(OSError, AttributeError, TypeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)


def _forget_peak(where: torch.device) -> None:
    if where.type == "cuda":
        torch.cuda.reset_peak_memory_stats(where)
        return
    try:
        _CLEAR.write_text("5")  # from here on VmHWM counts anew
    except OSError:
        return


def _peak(where: torch.device, start: float) -> float:
    if where.type == "cuda":
        return float(torch.cuda.max_memory_allocated(where))
    return _resident("VmHWM") - start
