"""How a loss is called: with the target, or with the whole batch."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dldna.batches.convention import TARGETS, split
from dldna.batches.leaves import Batch, inner

# More names for the second parameter of a loss. They are no keys of a dict
# batch: there, "tgt" may well be an input of the model.
PARAMETERS = (
    "y_true",
    "y_target",
    "true",
    "truth",
    "true_labels",
    "labels_true",
    "ground_truth",
    "gt",
    "gold",
    "tgt",
    "trg",
    "expected",
)


def loss_caller(loss_fn: Callable) -> Callable[[Any, Batch], Tensor]:
    """Turn any loss into ``f(output, batch) -> tensor``.

    Args:
        loss_fn: a torch loss, or a callable after this package's rules.

    Returns:
        A callable of output and whole batch.

    Raises:
        TypeError: ``loss_fn`` cannot be called, or is a class.

    Example:
        >>> f = loss_caller(nn.MSELoss())
        >>> f(torch.tensor([1.0]), (None, torch.tensor([3.0])))
        tensor(4.)
    """
    if not callable(loss_fn):
        said = repr(loss_fn)
        if len(said) > 60:
            said = f"a {type(loss_fn).__name__}"
        raise TypeError(f"the loss must be callable, not {said}")
    if isinstance(loss_fn, type):
        name = loss_fn.__name__
        raise TypeError(
            f"the loss is the class {name}; give one made of it: {name}()"
        )
    if wants_target(loss_fn):
        return lambda output, batch: _number(loss_fn(output, split(batch)[1]))

    def call(output: Any, batch: Batch) -> Tensor:
        batch = inner(batch)
        try:
            return _number(loss_fn(output, batch))
        except (TypeError, AttributeError) as error:
            about = (type(batch).__name__, "positional argument")
            if not any(word in str(error) for word in about):
                raise
            raise TypeError(
                f"{error}. If the loss wants the target alone: a loss of "
                "your own is called as loss(output, batch), unless its "
                "second parameter is named 'target', or one of "
                f"{', '.join(TARGETS + PARAMETERS)}"
            ) from error

    return call


def _number(loss: Any) -> Tensor:
    """The loss as a tensor."""
    if isinstance(loss, Tensor):
        return loss
    if isinstance(loss, (int, float, np.number)):
        return torch.tensor(float(loss), dtype=torch.float64, device="cpu")
    hint = ": does it lack 'return'?" if loss is None else ""
    raise TypeError(
        "the loss must return a tensor or a number, not "
        f"{type(loss).__name__}{hint}"
    )


def wants_target(loss_fn: Callable) -> bool:
    """Whether a loss is called with the target, not the whole batch.

    Example:
        >>> wants_target(nn.MSELoss()), wants_target(lambda out, batch: 0)
        (True, False)
        >>> wants_target(partial(nn.MSELoss()))
        True
    """
    if isinstance(loss_fn, partial) and isinstance(loss_fn.func, nn.Module):
        inner = partial(loss_fn.func.forward, *loss_fn.args)
        return wants_target(partial(inner, **loss_fn.keywords))
    home = type(loss_fn) if isinstance(loss_fn, nn.Module) else loss_fn
    if (getattr(home, "__module__", "") or "").startswith("torch.nn"):
        return True
    call = loss_fn.forward if isinstance(loss_fn, nn.Module) else loss_fn
    try:
        names = list(inspect.signature(call).parameters)
    except (TypeError, ValueError):  # builtins tell nothing: torch's own
        return True
    return len(names) > 1 and names[1] in TARGETS + PARAMETERS
