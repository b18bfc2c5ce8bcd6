"""What stands for a model, a loss and data in a public call."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from torch import nn

from dldna.batches import SizedBatches
from dldna.guard import loss_kept
from dldna.objective.own_loss import resolved

TWICE = (
    "an Objective holds its loss and data: give it alone, and what follows by "
    "keyword"
)


SIZED = "size= goes with data: give it where the Objective is made"


class Held:
    """A model with its loss and one pass of its data, in memory."""

    model: nn.Module
    loss_fn: Callable
    held: list
    asked: dict[str, Any]  # by keyword, for whatever is computed of it


def opened(
    model: Any, loss_fn: Any = None, data: Any = None, size: Any = None
) -> tuple[nn.Module, Callable, Any]:
    """Model, loss and data of a call, or of the objective in their place.

    Raises:
        TypeError: a loss or data are missing, or given beside an
            objective.

    Example:
        >>> import torch
        >>> from dldna.objective import Objective
        >>> x = torch.ones(3, 1)
        >>> f = Objective(nn.Linear(1, 1), nn.MSELoss(), (x, x))
        >>> opened(f)[0] is f.model
        True
    """
    if size is not None:
        if isinstance(model, Held):
            raise TypeError(SIZED)
        data = SizedBatches(data, size)
    if isinstance(model, Held):
        if loss_fn is not None or data is not None:
            raise TypeError(TWICE)
        return model.model, model.loss_fn, model.held
    if loss_fn is None or data is None:
        missing = "the loss is" if loss_fn is None else "the data are"
        raise TypeError(
            f"{missing} missing: give a model, a loss and data, or an "
            "Objective"
        )
    return model, *resolved(loss_fn, data, model)


def accepts_objective(function: Callable) -> Callable:
    """Let a public call take an objective in place of model, loss and data.

    The loss and the data come from the objective; what else the call takes
    goes by keyword. ``size=lambda batch: ...`` says how many samples a batch
    holds, where that cannot be known (graphs, bags).

    Example:
        >>> import torch
        >>> from dldna.objective import Objective
        >>> @accepts_objective
        ... def loss_of(model, loss_fn, data, scale=1.0):
        ...     return scale * Objective(model, loss_fn, data).loss()
        >>> x = torch.ones(3, 1)
        >>> f = Objective(nn.Linear(1, 1), nn.MSELoss(), (x, x))
        >>> loss_of(f, scale=2.0) == 2 * f.loss()
        True
    """

    known = inspect.signature(function)

    @wraps(function)
    def call(*args, size=None, **kwargs):
        held = bool(args) and isinstance(args[0], Held)
        if held:
            given = kwargs.get("loss_fn"), kwargs.get("data")
            model, loss_fn, data = opened(args[0], *given)
            kwargs |= {"loss_fn": loss_fn, "data": data}
            kwargs = _asked(args[0], known) | kwargs
            args = (model, *args[1:])
        try:
            bound = known.bind_partial(*args, **kwargs)
        except TypeError:  # the call itself says what does not fit
            if held:
                raise TypeError(TWICE) from None
            return function(*args, **kwargs)
        named = bound.arguments
        if size is not None:
            if held or "data" not in named:
                raise TypeError(SIZED)
            named["data"] = SizedBatches(named["data"], size)
        if "loss_fn" in named and "data" in named:
            first = next(iter(named.values()))
            pair = resolved(named["loss_fn"], named["data"], first)
            named["loss_fn"], named["data"] = pair
        with loss_kept(_loss_of(named)):
            return function(*bound.args, **bound.kwargs)

    return call


def _asked(given: Held, known: inspect.Signature) -> dict[str, Any]:
    """What the objective was made with, for a call that takes it."""
    every = inspect.Parameter.VAR_KEYWORD
    open_ = any(p.kind is every for p in known.parameters.values())
    for name in given.asked:
        if not open_ and name not in known.parameters:
            raise TypeError(
                f"the Objective was made with {name}=..., which this call "
                "does not know: give model, loss and data"
            )
    return dict(given.asked)


def _loss_of(named: dict[str, Any]) -> Any:
    """The loss among a call's arguments, wherever it stands."""
    rest, others = named.get("args", ()), named.get("kwargs", {})
    other = rest[1] if len(rest) > 1 else others.get("loss_fn")
    return named.get("loss_fn", other)
