"""Whether a loss is a function of the parameters that can be derived."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from dldna import batches as bt
from dldna import params
from dldna.guard import RandomStates, differentiable
from dldna.objective.gradients import values_only
from dldna.objective.inputs import NotFinite

FEW = 8  # samples that tell whether there is a gradient
RANDOM = (  # what to do about a loss that is none of the parameters alone
    "something draws random numbers in eval mode, too: dropout called "
    "with training=True (write training=self.training), noise, sampling"
)


def check_function(f: Any) -> float:
    """Refuse an objective that is no function of its parameters alone.

    Returns:
        The mean loss at the model's own weights.
    """
    losses = []
    with values_only(f.model, f.loss_fn):
        for i, batch in enumerate(f.given):
            before = RandomStates()
            loss = f.mean_loss(None, [batch])
            if not torch.isfinite(torch.tensor(loss, device="cpu")):
                raise NotFinite(
                    f"the loss is {loss} on batch {i}: curvature is not "
                    "defined there; look for NaN in the data and the "
                    "parameters, or lower the learning rate"
                )
            losses.append(loss)
            if i:
                continue
            _check_gradient(f, batch)
            if RandomStates() == before:  # nothing was drawn: a few will do
                on_few(lambda few: _check_steady(f, few), batch)
            else:
                _check_steady(f, batch, loss)
    return sum(w * x for w, x in zip(f.shares(f.given), losses, strict=True))


def on_few(look: Callable[[Any], Any], batch: Any) -> Any:
    """Look at a few samples of a batch, or at all if it cannot be cut."""
    if bt.sliced(batch) and bt.size(batch) > FEW:
        try:
            return look(bt.cut(batch, 0, FEW))
        except Exception:  # bound to its size, or wrong: all of it tells
            pass
    return look(batch)


def _check_steady(f: Any, batch: Any, loss: float | None = None) -> None:
    loss = f.mean_loss(None, [batch]) if loss is None else loss
    again = f.mean_loss(None, [batch])
    if abs(again - loss) > 32 * torch.finfo(f.dtype).eps * abs(loss):
        raise ValueError(
            "two evaluations at the same point give different losses, so "
            "there is no matrix of curvature; " + RANDOM
        )


def _check_gradient(f: Any, batch: Any) -> None:
    if on_few(lambda few: _flat(f, few), batch):
        raise ValueError(
            "the loss has no gradient, so there is no curvature: it "
            "returns a plain number, or a tensor without its history "
            "(.item(), .detach(), argmax)"
        )


@torch.enable_grad()
def _flat(f: Any, batch: Any) -> bool:
    """Whether an output that moves gives a loss that does not."""
    with f.placed():
        output = f.output(batch)
        moves = any(t.requires_grad for t in bt.tensors(output))
        return moves and not f.value(output, batch).requires_grad


def reads_model(f: Any, batch: Any) -> bool:
    """Whether the loss reads parameters itself, past the output.

    Args:
        f: the objective.
        batch: one of its ``batches``.

    Returns:
        True for a penalty on weights, a second forward in the loss,
        and the like.
    """
    with f.placed() as leaves, differentiable():
        with torch.no_grad():
            output = f.output(batch)
        try:
            loss = f.value(output, batch)
        except RuntimeError:  # it differentiates the output
            return True
        if not loss.requires_grad:
            return False
        found = torch.autograd.grad(loss, leaves, allow_unused=True)
    return any(g is not None for g in found)


def functional(f: Any, point: Mapping[str, Tensor], batch: Any) -> Tensor:
    """The loss of a batch for torch's transforms of functions.

    The tensors of ``point`` are handed to the forward alone, so a loss
    that reads the model does not see them. The transform, too, runs
    inside :meth:`placed`.
    """

    def call(*args, **kwargs):
        return params.call(f.model, point, args, kwargs)

    return f.value(bt.apply(call, bt.split(batch)[0]), batch)


def name_other_tensors(error: RuntimeError, dtype: torch.dtype) -> None:
    """Say so if the loss holds tensors of another type."""
    if "dtype" in str(error) or "scalar type" in str(error):
        word = str(dtype).removeprefix("torch.")
        raise TypeError(
            f"the loss cannot be calculated in {word} ({error}): a tensor "
            "that it closes over has another type. Keep it as a buffer of a "
            "loss module, or take it from the batch, where it is converted"
        ) from error


def name_checkpoint(error: RuntimeError) -> None:
    if "heckpoint" in str(error):
        raise TypeError(
            "the model checkpoints activations in the re-entrant way, which "
            "cannot be differentiated by autograd.grad: call checkpoint "
            "with use_reentrant=False"
        ) from error
