"""How a model that computes its own loss wants to be called for it."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from dldna import batches as bt
from dldna.batches.convention import signature_of
from dldna.guard import untouched
from dldna.objective.place import in_place
from dldna.torch_internals import Normalisation

Call = Callable[[nn.Module, Any], Any]
LOGS = ("log", "log_dict")


def own_call(
    model: nn.Module, batch: Any, loss: Callable[[Any, Any], Any]
) -> Call | None:
    """The call by which a model gives its loss, found by trying.

    A module with a ``training_step``, as Lightning's, is asked for that;
    then the plain call is tried, and last the plain call in training mode,
    where detectors give their losses. A dict of numbers that are all
    derived from the parameters is one of losses there, whatever their names.

    Args:
        model: the network.
        batch: a batch, of which the model gets all.
        loss: reads the loss off an output, or raises.

    Returns:
        :func:`training_step`, :func:`in_training`, :func:`all_losses`, or
        None for the plain call, also where none gives a loss.

    Example:
        >>> class Step(nn.Linear):
        ...     def training_step(self, batch, number):
        ...         return self(batch).sum()
        >>> def read(output, batch):
        ...     assert output.ndim == 0
        >>> own_call(Step(2, 1), torch.ones(3, 2), read).__name__
        'training_step'
        >>> own_call(nn.Linear(2, 1), torch.ones(3, 2), read) is None
        True
    """
    weight = next(model.parameters(), None)
    if weight is None:
        return None
    batch = bt.to(batch, device=weight.device, dtype=weight.dtype)
    step = callable(getattr(model, "training_step", None))
    calls = [training_step] * step + [None, in_training]
    names = [k for k, p in model.named_parameters() if p.is_floating_point()]
    with (
        untouched(model),
        in_place(model, needs=names),
        torch.no_grad(),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        for call in calls:
            inputs = batch if call is None else bt.Called(batch, call)
            with suppress(Exception):
                loss(bt.apply(model, inputs), batch)
                return call
        with suppress(Exception), torch.enable_grad():
            found = bt.apply(model, bt.Called(batch, in_training))
            if all(v.requires_grad and not v.ndim for v in found.values()):
                return all_losses
    return calls[0]


def training_step(model: nn.Module, batch: Any) -> Any:
    """What the step of a Lightning module returns; what it logs is dropped.

    Args:
        model: the module.
        batch: its batch.

    Example:
        >>> class Step(nn.Linear):
        ...     def training_step(self, batch, number):
        ...         return number
        >>> training_step(Step(2, 1), torch.ones(3, 2))
        0
    """
    step = model.training_step
    number = (0,) if len(signature_of(step).parameters) > 1 else ()
    with _unlogged(model):
        return step(batch, *number)


def in_training(model: nn.Module, batch: Any) -> Any:
    """What a model returns in training mode, dropout and statistics off.

    Normalisation, dropout and the other layers of torch keep the mode that
    they have. What the model draws, as the regions that a detector looks
    at, it draws alike in each call.

    Args:
        model: the network.
        batch: its batch, spread over its arguments.

    Example:
        >>> class Mode(nn.Module):
        ...     def forward(self, x):
        ...         return self.training
        >>> in_training(Mode().eval(), torch.ones(1))
        True
    """
    off = [m for m in model.modules() if not (m.training or _stays(type(m)))]
    cuda = set()
    if torch.cuda.is_initialized():
        cuda = {p.device for p in model.parameters() if p.is_cuda}
    with torch.random.fork_rng(cuda):
        # torch.manual_seed takes longer than a small network
        torch.random.default_generator.manual_seed(0)
        if cuda:
            torch.cuda.manual_seed_all(0)
        try:
            for module in off:
                module.training = True
            return bt.spread(model, batch)
        finally:
            for module in off:
                module.training = False


def all_losses(model: nn.Module, batch: Any) -> dict[str, Any]:
    """As :func:`in_training`, of a model that returns losses alone."""
    return {"loss": sum(in_training(model, batch).values())}


@lru_cache(256)
def _stays(kind: type[nn.Module]) -> bool:
    """Whether training mode would only make a layer draw or count."""
    name = kind.__name__.lower()
    return (
        issubclass(kind, Normalisation)
        or kind.__module__.startswith("torch.nn")
        or "drop" in name
        or "stochastic" in name
    )


@contextmanager
def _unlogged(model: nn.Module) -> Iterator[None]:
    """Let a step log as if it were trained."""
    steps = [
        vars(m) for m in model.modules() if hasattr(type(m), "training_step")
    ]
    kept = [{k: own[k] for k in LOGS if k in own} for own in steps]
    try:
        for own in steps:
            own.update(dict.fromkeys(LOGS, _nothing))
        yield
    finally:
        for own, before in zip(steps, kept, strict=True):
            for name in LOGS:
                own.pop(name, None)
            own.update(before)


def _nothing(*args: Any, **kwargs: Any) -> None:
    """Log nothing."""
