"""What callers give, checked and named."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from dldna.checks import choice
from dldna.landscape.directions import state_of
from dldna.landscape.evaluate import METRICS


def check_model(model: Any) -> None:
    """Refuse what has no parameters to move."""
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"the model must be a torch.nn.Module, not {type(model).__name__}"
        )
    if next(model.parameters(), None) is None:
        raise ValueError("the model has no parameters to move")


def named_metrics(metrics: Any) -> dict[str, Callable]:
    """Metrics by name, from names or a dict.

    Example:
        >>> list(named_metrics("accuracy"))
        ['accuracy']
    """
    if isinstance(metrics, Mapping):
        return dict(metrics)
    names = [metrics] if isinstance(metrics, str) else list(metrics)
    return {n: METRICS[choice("metric", n, METRICS)] for n in names}


def buffer_steps(model: nn.Module, others: Sequence[Any]) -> list[dict]:
    """How floating buffers move towards other models, one dict for each."""
    if not others:
        raise ValueError(
            "statistics='interpolate' needs other checkpoints to move to: "
            "directions='checkpoints', others=[...]"
        )
    own = {k: b for k, b in model.named_buffers() if b.is_floating_point()}
    steps = []
    for other in others:
        theirs = state_of(other)
        missing = [k for k in own if k not in theirs]
        if missing:
            raise ValueError(f"the checkpoint lacks buffer {missing[0]!r}")
        steps.append({k: theirs[k].detach().to(b) - b for k, b in own.items()})
    return steps


def name_of(data: Any) -> str:
    """What the data call themselves, as far as they do."""
    for thing in (data, getattr(data, "dataset", None)):
        name = getattr(thing, "name", None)
        if isinstance(name, str) and name:
            return name
    inner = getattr(data, "dataset", None)
    return type(inner).__name__ if inner is not None else ""


def loss_name(loss_fn: Callable) -> str:
    """A name for a loss."""
    return getattr(loss_fn, "__name__", type(loss_fn).__name__)
