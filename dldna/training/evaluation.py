"""Loss and accuracy of a model on data."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dldna import batches
from dldna.guard import loss_kept, untouched
from dldna.objective import (
    batch_weight,
    check_ready,
    check_shapes,
    ignored,
    is_torchs,
    reduction,
)
from dldna.objective.gradients import notice, values_only
from dldna.objective.inputs import check_denominator
from dldna.objective.misfits import in_words
from dldna.objective.own_loss import resolved
from dldna.params import exact


def evaluate(
    model: nn.Module,
    loader: Iterable,
    loss_fn: Callable = F.cross_entropy,
) -> tuple[float, float]:
    """Mean loss and share of right answers, in eval mode.

    Args:
        model: stays as it is, its mode included.
        loader: batches, as :mod:`dldna.batches` reads them, or one.
        loss_fn: any loss; batches count as
            :func:`dldna.objective.batch_weight` says, as
            everywhere in the package.

    Returns:
        The mean loss over all data, and the accuracy, a fraction of the
        targets that are not ignored; NaN where the answers are not
        classes.

    Raises:
        ValueError: no data, or labels outside the classes.

    Example:
        >>> from dldna.data import load
        >>> from dldna.models import SimpleNetwork
        >>> toy = load("blobs")
        >>> net = SimpleNetwork(nn.ReLU(), 2, 3, [8])
        >>> loss, accuracy = evaluate(net, toy.loaders()[1])
        >>> loss > 0, 0 <= accuracy <= 1
        (True, True)
    """
    check_ready(model)
    loss_fn, loader = resolved(loss_fn, loader, model)
    with untouched(model, trains=True), loss_kept(loss_fn):
        held: list[Any] = []
        found = measure(model, _first_two(loader, held), loss_fn)
        check_denominator(
            lambda batch: measure(model, [batch], loss_fn)[0], loss_fn, held
        )
    return found


def _first_two(loader: Any, held: list[Any]) -> Iterator[Any]:
    """The batches of a loader; its first two are held."""
    for batch in one_or_many(loader):
        if len(held) < 2:
            held.append(batch)
        yield batch


def measure(
    model: nn.Module, loader: Iterable, loss_fn: Callable
) -> tuple[float, float]:
    """As :func:`evaluate`, for a caller who guards the model himself."""
    call = batches.loss_caller(loss_fn)
    device = home(model)
    total = Tally()
    with evaluating(model):
        for batch in one_or_many(loader):
            batch = batches.to(batch, device)
            _, target = batches.split(batch)
            try:
                output, loss = _measured(model, call, loss_fn, batch)
            except RuntimeError as error:
                with torch.no_grad():
                    if not notice(model, loss_fn, error):
                        raise
                output, loss = _measured(model, call, loss_fn, batch)
            total.add(loss, batch, output, target, loss_fn)
    if total.samples == 0:
        raise ValueError("the loader is empty: nothing to evaluate on")
    return total.loss, total.accuracy


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """A network in eval mode; each module's mode comes back.

    Example:
        >>> net = nn.Dropout()
        >>> with evaluating(net):
        ...     net.training
        False
        >>> net.training
        True
    """
    modes = [(module, module.training) for module in model.modules()]
    with suppress(NotImplementedError):  # exported: it has one mode
        model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _measured(model, call, loss_fn, batch) -> tuple[Any, float]:
    """Output and loss of one batch."""
    inputs, target = batches.split(batch)
    with values_only(model, loss_fn):
        with in_words(model, loss_fn, batch):
            output = batches.apply(model, inputs)
        check_labels(output, target, loss_fn)
        check_shapes(loss_fn, output, target)
        with in_words(model, loss_fn, batch, loss=True):
            loss = exact(call(output, batch).detach()).mean().item()
    return output, loss


class Tally:
    """Running sums of a loss and of right answers."""

    def __init__(self):
        self.loss_sum, self.right = 0.0, 0
        self.samples, self.weight, self.answers = 0, 0.0, 0

    def add(
        self, loss: float, batch: Any, output: Any, target: Any, loss_fn: Any
    ) -> None:
        """Count one batch, and the targets in it that are not ignored."""
        self.samples += batches.size(batch)
        weight = batch_weight(loss_fn, batch)
        if weight:  # else all is ignored, and its mean NaN
            self.weight += weight
            summed = reduction(loss_fn) == "sum"
            self.loss_sum += loss * (1 if summed else weight)
        if is_classes(output, target):
            counted = target != ignored(loss_fn)
            answers = output.argmax(dim=1)
            self.right += int(((answers == target) & counted).sum())
            self.answers += int(counted.sum())

    @property
    def loss(self) -> float:
        return self.loss_sum / self.weight if self.weight else math.nan

    @property
    def accuracy(self) -> float:
        return self.right / self.answers if self.answers else math.nan


def is_classes(output: Any, target: Any) -> bool:
    """Whether logits (B, C, ...) meet integer labels (B, ...)."""
    return (
        isinstance(output, Tensor)
        and isinstance(target, Tensor)
        and not target.is_floating_point()
        and output.ndim == target.ndim + 1
        and output.shape[1] > 1
        and output.shape[:1] + output.shape[2:] == target.shape
    )


def _within(labels: Tensor, classes: int) -> bool:
    if labels.numel() == 0:
        return True
    low, high = labels.aminmax()
    return int(low) >= 0 and int(high) < classes


def check_labels(output: Any, target: Any, loss_fn: Callable) -> None:
    """Refuse labels that are none of the classes the model tells apart.

    Raises:
        ValueError: the message names the label and the number of classes.
        TypeError: torch's losses of classes take 64 bits (or 8 without
            sign), and these are others.
    """
    if not is_classes(output, target):
        return
    if is_torchs(loss_fn) and target.dtype in (
        torch.int8, torch.int16, torch.int32
    ):  # fmt: skip
        kind = str(target.dtype).removeprefix("torch.")
        raise TypeError(
            f"the labels are {kind}, and torch's losses take int64: give "
            "labels.long()"
        )
    classes = output.shape[1]
    if _within(target, classes):  # as most often, at once
        return
    known = target[target != ignored(loss_fn)]
    if not _within(known, classes):
        low, high = (int(v) for v in known.aminmax())
        raise ValueError(
            f"label {low if low < 0 else high} is outside the {classes} "
            f"classes (0 to {classes - 1}) that the model tells apart"
        )


def home(model: nn.Module) -> torch.device:
    """The device of a model's parameters."""
    first = next(model.parameters(), None)
    return torch.device("cpu") if first is None else first.device


def one_or_many(data: Any) -> Iterable:
    """Batches of a loader, or the one batch that is given.

    Of a loader that shuffles, always the same epoch: the same sums in the
    same order, whenever they are asked for.
    """
    return data.batches(0) if hasattr(data, "batches") else as_batches(data)


def as_batches(data: Any) -> Iterable:
    """What to iterate for batches: of one batch, as a pair, a list of it.

    Example:
        >>> x, y = torch.zeros(3, 2), torch.zeros(3)
        >>> len(as_batches((x, y))), len(as_batches([(x, y), (x, y), (x, y)]))
        (1, 3)
    """
    pair = isinstance(data, (tuple, list)) and len(data) == 2
    one = isinstance(data, (Tensor, Mapping)) or hasattr(data, "_fields")
    return [data] if one or (pair and isinstance(data[1], Tensor)) else data
