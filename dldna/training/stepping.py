"""One step of an optimizer, on one batch or on several as one."""

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dldna import batches
from dldna.objective import batch_weight, check_shapes, reduction
from dldna.objective.misfits import in_words
from dldna.training.evaluation import check_labels

Seen = list[tuple[float, Any]]


class Diverged(Exception):
    """The loss of a step is NaN or infinite; the step was not taken."""

    def __init__(self, seen: Seen):
        self.seen = seen


def optimizer_step(
    model: nn.Module,
    optimizer: Optimizer,
    batch: Any,
    loss_fn: Callable,
    clip: float | None = None,
) -> tuple[float, Any]:
    """One step on one batch.

    Returns:
        The loss and the output at the weights before the step.
    """
    (seen,) = accumulated_step(model, optimizer, [batch], loss_fn, clip)
    return seen


def accumulated_step(
    model: nn.Module,
    optimizer: Optimizer,
    several: Sequence[Any],
    loss_fn: Callable,
    clip: float | None = None,
) -> Seen:
    r"""One step on the mean gradient of several batches.

    .. math:: g = \sum_b \frac{m_b}{m} \nabla L_b, \qquad m = \sum_b m_b

    with the weights of :func:`dldna.objective.batch_weight`. That is the
    gradient of the joined batch where no layer looks at the batch as a
    whole.

    Returns:
        Loss and output of each batch at the weights before the step.
    """
    call = batches.loss_caller(loss_fn)
    shares = shares_of(loss_fn, several)
    seen: Seen = []

    @torch.enable_grad()
    def closure() -> Tensor:
        optimizer.zero_grad()
        total: Any = 0.0
        first = len(seen) < len(several)
        for batch, share in zip(several, shares, strict=True):
            inputs, target = batches.split(batch)
            with in_words(model, loss_fn, batch):
                output = batches.apply(model, inputs)
            if first:
                check_labels(output, target, loss_fn)
                check_shapes(loss_fn, output, target)
            with in_words(model, loss_fn, batch, loss=True):
                loss = call(output, batch)
            if loss.ndim:  # of each sample, by reduction="none"
                loss = loss.mean()
            if first:
                seen.append((loss.item(), _detached(output)))
                if not math.isfinite(seen[-1][0]):
                    raise Diverged(seen)
            loss = loss if len(several) == 1 else loss * share
            loss.backward()
            total = loss if len(several) == 1 else total + loss.detach()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        return total

    def curvature() -> Tensor:
        outputs = [
            batches.apply(model, batches.split(batch)[0]) for batch in several
        ]
        if looks == "logits":
            return outputs[0] if len(several) == 1 else torch.cat(outputs)
        rows = zip(outputs, several, shares, strict=True)
        losses = [call(output, batch) * share for output, batch, share in rows]
        return sum(losses[1:], losses[0])

    looks = getattr(optimizer, "needs_curvature", None)
    if looks is not None:
        optimizer.step(closure, curvature=curvature)
    elif needs_closure(optimizer):
        optimizer.step(closure)
    else:
        closure()
        optimizer.step()
    return seen[: len(several)]


def shares_of(loss_fn: Callable, several: Sequence[Any]) -> list[float]:
    """What each batch counts in the loss of all of them.

    Example:
        >>> batch = torch.zeros(3, 2), torch.tensor([0, 1, -100])
        >>> shares_of(nn.CrossEntropyLoss(), [batch, batch])
        [0.5, 0.5]
    """
    if len(several) == 1 or reduction(loss_fn) == "sum":
        return [1.0] * len(several)
    weights = [batch_weight(loss_fn, batch) for batch in several]
    return [w / (sum(weights) or 1.0) for w in weights]


def grouped(items: Iterator[Any], count: int) -> Iterator[list[Any]]:
    """Items in lists of ``count``; the last may be shorter.

    Example:
        >>> list(grouped(iter("abc"), 2))
        [['a', 'b'], ['c']]
    """
    while several := list(islice(items, count)):
        yield several


def joined(several: Sequence[Any]) -> Any:
    """Batches as one, along axis 0; None if they cannot be joined.

    Example:
        >>> joined([torch.zeros(2), torch.ones(1)])
        tensor([0., 0., 1.])
    """
    if len(several) == 1:
        return several[0]
    if not all(batches.sliced(batch) for batch in several):
        return None
    try:
        return batches.join(several, first=True)
    except (RuntimeError, KeyError, ValueError):
        return None


def check_parameters(model: nn.Module, optimizer: Optimizer) -> None:
    """Refuse an optimizer's name, or one that was made for another model."""
    if not hasattr(optimizer, "param_groups"):
        raise TypeError(
            f"optimizer is a {type(optimizer).__name__}; an optimizer of the "
            "model's parameters is needed: torch.optim.Adam("
            "model.parameters())"
        )
    mine = {id(p) for p in model.parameters()}
    theirs = {id(p) for g in optimizer.param_groups for p in g["params"]}
    if not mine & theirs:
        raise ValueError(
            "the optimizer holds none of the model's parameters: it was "
            "made for another model"
        )


def switch(optimizer: Optimizer, mode: str) -> None:
    """Schedule-free optimizers evaluate at other weights than they step."""
    getattr(optimizer, mode, lambda: None)()


def to_training(model: nn.Module, optimizer: Optimizer) -> None:
    """Put a network and its optimizer in training mode."""
    try:
        model.train()
    except NotImplementedError as error:  # torch.export's
        raise TypeError(
            f"the model cannot be put in training mode ({error}): train the "
            "network that it was exported from"
        ) from error
    switch(optimizer, "train")


@contextmanager
def evaluation_weights(optimizer: Optimizer) -> Iterator[bool]:
    """Hold the weights an optimizer evaluates at; then put its own back.

    They are put back bit for bit, which going back by the optimizer's own
    arithmetic is not.

    Yields:
        Whether the two differ.
    """
    if not hasattr(optimizer, "eval"):
        yield False
        return
    params = [p for group in optimizer.param_groups for p in group["params"]]
    kept = [p.detach().clone() for p in params]
    optimizer.eval()
    try:
        yield True
    finally:
        switch(optimizer, "train")
        with torch.no_grad():
            for p, own in zip(params, kept, strict=True):
                p.copy_(own)


def needs_closure(optimizer: Any) -> bool:
    """Whether a step evaluates the loss itself.

    An optimizer says so by an attribute of that name, or by a ``step``
    that cannot do without, as torch's LBFGS has it.

    Example:
        >>> w = [nn.Parameter(torch.zeros(2))]
        >>> [needs_closure(kind(w, lr=0.1))
        ...  for kind in (torch.optim.LBFGS, torch.optim.SGD)]
        [True, False]
    """
    asked = getattr(optimizer, "needs_closure", False)
    return bool(asked) or _demands(type(optimizer).step)


@lru_cache
def _demands(step: Callable) -> bool:
    """Whether a method has an argument without a default, beside self."""
    _, *others = inspect.signature(step).parameters.values()
    plain = (inspect.Parameter.POSITIONAL_ONLY,
             inspect.Parameter.POSITIONAL_OR_KEYWORD)  # fmt: skip
    return any(p.kind in plain and p.default is p.empty for p in others)


def _detached(output: Any) -> Any:
    return output.detach() if isinstance(output, Tensor) else None
