"""What the published experiments record while a network trains."""

import math
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from dldna import batches, params
from dldna.guard import untouched
from dldna.training.callbacks import Callback, State

MIB = 2**20


def grad_norm(model: nn.Module) -> float:
    """L2 norm of the whole gradient that the parameters hold.

    Example:
        >>> net = nn.Linear(1, 1)
        >>> (3 * net.weight + 4 * net.bias).sum().backward()
        >>> grad_norm(net)
        5.0
    """
    named = model.named_parameters()
    return params.norm({k: p.grad for k, p in named if p.grad is not None})


def loss_grad_norm(
    model: nn.Module, loader: Iterable, loss_fn: Callable = F.cross_entropy
) -> float:
    """L2 norm of the gradient of the mean loss over a data set.

    Args:
        model: evaluated in eval mode; it stays as it is.
        loader: batches.
        loss_fn: a mean over the batch.

    Returns:
        The norm of the one gradient of all samples.
    """
    call, device = batches.loss_caller(loss_fn), next(model.parameters())
    moving = {k: p for k, p in model.named_parameters() if p.requires_grad}
    total, samples = [torch.zeros_like(p) for p in moving.values()], 0
    with untouched(model), torch.enable_grad():
        model.eval()
        for batch in loader:
            batch = batches.to(batch, device.device)
            inputs, _ = batches.split(batch)
            n = batches.size(batch)
            loss = n * call(batches.apply(model, inputs), batch)
            grads = torch.autograd.grad(
                loss, list(moving.values()), materialize_grads=True
            )
            torch._foreach_add_(total, grads)
            samples += n
    return params.norm(dict(zip(moving, total, strict=True))) / samples


def memory(device: torch.device) -> tuple[float, float]:
    """Memory in use, and held in reserve, in MiB.

    On a GPU what torch has allocated and reserved there. Elsewhere the
    process: what is resident now, and the most that ever was.

    Example:
        >>> now, most = memory(torch.device("cpu"))
        >>> 0 < now <= most
        True
    """
    if device.type == "cuda":
        used = torch.cuda.memory_allocated(device)
        return used / MIB, torch.cuda.memory_reserved(device) / MIB
    try:
        import resource
    except ImportError:  # there is no such module on Windows
        return math.nan, math.nan
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak *= 1 if sys.platform == "darwin" else 1024
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return peak / MIB, peak / MIB
    pages = int(statm.read_text().split()[1])
    now = pages * resource.getpagesize()
    return now / MIB, max(now, peak) / MIB


class Watch(Callback):
    """Records gradient norms, and at the end of an epoch more.

    Args:
        test_loader: data for the gradient of the test loss; or None.
        loss_fn: a mean over the batch.
    """

    def __init__(
        self,
        test_loader: Iterable | None = None,
        loss_fn: Callable = F.cross_entropy,
    ):
        self.test_loader, self.loss_fn = test_loader, loss_fn
        self.sum, self.steps, self.last = 0.0, 0, math.nan

    def on_step(self, state: State) -> None:
        self.last = grad_norm(state.model)
        self.sum, self.steps = self.sum + self.last, self.steps + 1

    def on_epoch(self, state: State) -> None:
        state.metrics["gradient_norm"] = self.sum / max(self.steps, 1)
        self.sum, self.steps = 0.0, 0
        if self.test_loader is not None:
            state.metrics["test_gradient_norm"] = loss_grad_norm(
                state.model, self.test_loader, self.loss_fn
            )
            device = next(state.model.parameters()).device
            allocated, reserved = memory(device)
            state.metrics["memory_allocated"] = allocated
            state.metrics["memory_reserved"] = reserved
