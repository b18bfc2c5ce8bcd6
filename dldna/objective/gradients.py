"""Losses that take derivatives themselves: gradients must be on for them.

Values are computed without a graph, which is faster. A gradient penalty, or
the residual of a differential equation, needs one all the same.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from weakref import WeakKeyDictionary, WeakSet

import torch
from torch import nn

_KNOWN: WeakKeyDictionary[nn.Module, WeakSet] = WeakKeyDictionary()


def notice(model: nn.Module, loss_fn: Callable, error: Exception) -> bool:
    """Whether an error says that the loss differentiates; keeps that in mind.

    Args:
        model: the network.
        loss_fn: the loss.
        error: what forward and loss raised without gradients.

    Example:
        >>> net = nn.Linear(1, 1)
        >>> notice(net, nn.MSELoss(), RuntimeError("another"))
        False
    """
    if "does not require grad" not in str(error) or torch.is_grad_enabled():
        return False
    with suppress(TypeError):  # neither hash nor weak references
        _KNOWN.setdefault(model, WeakSet()).add(_of(loss_fn))
        return True
    return False


def differentiates(model: nn.Module, loss_fn: Callable) -> bool:
    """Whether forward and loss were found to work with gradients alone."""
    with suppress(TypeError):
        return _of(loss_fn) in _KNOWN.get(model, ())
    return False


@contextmanager
def values_only(model: nn.Module, loss_fn: Callable) -> Iterator[tuple]:
    """Compute without a graph, but for losses that need one.

    Args:
        model: the network.
        loss_fn: the loss.

    Returns:
        A context; what it gives are the names of the parameters that must
        ask for gradients.

    Example:
        >>> with values_only(nn.Linear(1, 1), nn.MSELoss()) as names:
        ...     names, torch.is_grad_enabled()
        ((), False)
    """
    needed = differentiates(model, loss_fn)
    named = model.named_parameters() if needed else ()
    with torch.set_grad_enabled(needed):
        yield tuple(k for k, p in named if p.is_floating_point())


def _of(loss_fn: Callable) -> Callable:
    return getattr(loss_fn, "__func__", loss_fn)
