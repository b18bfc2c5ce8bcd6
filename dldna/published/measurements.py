"""What the published experiments record while a network trains."""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dldna import batches, params
from dldna.guard import differentiable, untouched
from dldna.objective import batch_weight, loss_name, reduction
from dldna.torch_internals import foreach_add_
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
        The norm of the one gradient of the mean over all the data, as if
        they were one batch.

    Example:
        >>> net = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.zeros_(net.weight)
        >>> x, y = torch.ones(3, 1), torch.tensor([[1.0], [1.0], [4.0]])
        >>> parts = [(x[:1], y[:1]), (x[1:], y[1:])]
        >>> loss_grad_norm(net, parts, nn.MSELoss())
        4.0
    """
    call, device = batches.loss_caller(loss_fn), next(model.parameters())
    moving = {k: p for k, p in model.named_parameters() if p.requires_grad}
    total, count = [torch.zeros_like(p) for p in moving.values()], 0.0
    with untouched(model), differentiable():
        model.eval()
        for batch in loader:
            batch = batches.to(batch, device.device)
            weight = batch_weight(loss_fn, batch)
            if not weight:  # every target is ignored
                continue
            inputs, _ = batches.split(batch)
            loss = call(batches.apply(model, inputs), batch)
            if reduction(loss_fn) != "sum":
                loss = weight * loss.mean()
            grads = torch.autograd.grad(
                loss, list(moving.values()), materialize_grads=True
            )
            foreach_add_(total, grads)
            count += weight
    if not count:
        return math.nan
    return params.norm(dict(zip(moving, total, strict=True))) / count


class OfTargets:
    """A reader's loss of outputs and targets, whatever it calls them.

    Args:
        loss_fn: called with the outputs and the targets.
    """

    def __init__(self, loss_fn: Callable):
        self.loss_fn, self.reduction = loss_fn, reduction(loss_fn)
        self.__name__ = loss_name(loss_fn)

    def __call__(self, output: Any, target: Any) -> Tensor:
        """The loss."""
        return self.loss_fn(output, target)


def of_targets(loss_fn: Callable) -> Callable:
    """A loss as version 0.1 called it: with the targets, not the batch.

    The rooms tell by the second argument's name; here it gets the targets
    unless it is called "batch".

    Example:
        >>> mine = of_targets(lambda o, t: F.cross_entropy(o, t))
        >>> mine(torch.zeros(1, 2), torch.tensor([1]))
        tensor(0.6931)
        >>> of_targets(F.cross_entropy) is F.cross_entropy
        True
    """
    if not callable(loss_fn) or isinstance(loss_fn, type):
        return loss_fn  # the rooms say what is wrong with it
    if batches.wants_target(loss_fn):
        return loss_fn
    call = loss_fn.forward if isinstance(loss_fn, nn.Module) else loss_fn
    takes = list(inspect.signature(call).parameters.values())
    any_number = takes[:1] and takes[0].kind is takes[0].VAR_POSITIONAL
    plain = any_number or (len(takes) > 1 and takes[1].name != "batch")
    return OfTargets(loss_fn) if plain else loss_fn


class Mean:
    """The mean loss of several batches, as if they were one.

    Args:
        loss_fn: the loss; it says how much a batch counts.

    Example:
        >>> mean = Mean(nn.MSELoss())
        >>> mean.add(1.0, torch.zeros(3, 2))
        >>> mean.add(5.0, torch.zeros(1, 2))
        >>> mean.value
        2.0
    """

    def __init__(self, loss_fn: Callable):
        self.loss_fn, self.total, self.count = loss_fn, 0.0, 0.0

    def add(self, loss: float, batch: Any) -> None:
        """Count one batch, with its loss."""
        weight = batch_weight(self.loss_fn, batch)
        if weight:  # else every target is ignored, and the loss NaN
            summed = reduction(self.loss_fn) == "sum"
            self.total += loss * (1 if summed else weight)
            self.count += weight

    @property
    def value(self) -> float:
        return self.total / self.count if self.count else math.nan


def memory(
    device: torch.device, model: nn.Module, optimizer: Any, saved: int
) -> tuple[float, float]:
    """Memory in use, and held in reserve, in MiB.

    On a GPU what torch has allocated and reserved there. Elsewhere what
    this experiment holds, whatever the process did before: weights,
    buffers, gradients and the optimizer's state; and with these what one
    step keeps for its way back.

    Args:
        device: where the model is.
        model: the model.
        optimizer: its optimizer.
        saved: bytes that a step keeps, see :func:`saved_bytes`.

    Example:
        >>> net = nn.Linear(1024, 256, bias=False)
        >>> adam = torch.optim.Adam(net.parameters())
        >>> memory(torch.device("cpu"), net, adam, 2**20)
        (1.0, 2.0)
    """
    if device.type == "cuda":
        used = torch.cuda.memory_allocated(device)
        return used / MIB, torch.cuda.memory_reserved(device) / MIB
    held = [*model.parameters(), *model.buffers()]
    held += [p.grad for p in model.parameters() if p.grad is not None]
    held += _tensors(vars(optimizer), set())
    used = sum(_storages(held).values())
    return used / MIB, (used + saved) / MIB


def saved_bytes(
    model: nn.Module, batch: Any, loss_fn: Callable = F.cross_entropy
) -> int:
    """Bytes that one forward pass keeps for the way back.

    Args:
        model: run once in the mode it is in; it stays as it is.
        batch: on the model's device.
        loss_fn: the loss.

    Example:
        >>> saved_bytes(nn.Linear(4, 4), (torch.ones(8, 4), torch.ones(8, 4)),
        ...             nn.MSELoss())
        384
    """
    kept: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    call = batches.loss_caller(loss_fn)
    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t)
    with untouched(model), differentiable(), hooks:
        # The loss must stay: with it goes what it keeps.
        loss = call(batches.apply(model, batches.split(batch)[0]), batch)
        own = _storages(list(model.parameters()))
        found = _storages(kept)
        del loss
    return sum(size for key, size in found.items() if key not in own)


def _storages(tensors: list[Tensor]) -> dict[int, int]:
    """Bytes of each piece of memory behind some tensors, once."""
    homes = [t.untyped_storage() for t in tensors if t.layout == torch.strided]
    return {home.data_ptr(): home.nbytes() for home in homes}


def _tensors(value: Any, seen: set[int]) -> list[Tensor]:
    """All tensors in dicts, lists and optimizers inside each other."""
    if isinstance(value, Tensor):
        return [value]
    if id(value) in seen:
        return []
    seen.add(id(value))
    if isinstance(value, torch.optim.Optimizer) or hasattr(value, "step"):
        value = getattr(value, "__dict__", {})
    if isinstance(value, Mapping):
        value = list(value.values())
    if not isinstance(value, (list, tuple)):
        return []
    return [t for item in value for t in _tensors(item, seen)]


class EpochMeasurements(Callback):
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
        self.sum, self.steps, self.saved = 0.0, 0, -1

    def on_step(self, state: State) -> None:
        self.sum += grad_norm(state.model)
        self.steps += 1
        device = next(state.model.parameters()).device
        if self.saved < 0 and device.type != "cuda":
            self.saved = saved_bytes(state.model, state.batch, self.loss_fn)

    def on_epoch(self, state: State) -> None:
        state.metrics["gradient_norm"] = self.sum / max(self.steps, 1)
        self.sum, self.steps = 0.0, 0
        if self.test_loader is not None:
            state.metrics["test_gradient_norm"] = loss_grad_norm(
                state.model, self.test_loader, self.loss_fn
            )
            device = next(state.model.parameters()).device
            allocated, reserved = memory(
                device, state.model, state.optimizer, self.saved
            )
            state.metrics["memory_allocated"] = allocated
            state.metrics["memory_reserved"] = reserved
