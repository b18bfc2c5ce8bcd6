"""What callers of the landscape give, checked and named."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from torch import nn

from dldna import batches as batching
from dldna import params
from dldna.checks import choice, count, positive
from dldna.landscape.evaluate import METRICS
from dldna.landscape.evaluate.choose import OWN
from dldna.landscape.evaluate.subspace import DTYPES
from dldna.landscape.space.names import match
from dldna.landscape.space.points import state_of


def way_for(way: str, held: list[Any]) -> str:
    """The way of evaluating, which must not cut what cannot be cut.

    Ways that rearrange a model try themselves on parts of a batch. Where
    axis 0 is not the samples there are no parts.
    """
    if way not in ("auto", "slow", *OWN):
        for batch in held:
            batching.check_sliced(batch, f"way={way!r}")
    return way


def statistics_of(word: str) -> str:
    """The package's word for batch-norm statistics: "frozen" is "eval".

    Example:
        >>> statistics_of("frozen"), statistics_of("train")
        ('eval', 'train')
    """
    return "eval" if word == "frozen" else word


def named_metrics(metrics: Any) -> dict[str, Callable]:
    """Metrics by name, from names or a dict.

    Example:
        >>> list(named_metrics("accuracy"))
        ['accuracy']
    """
    named = isinstance(metrics, Mapping)
    for name, call in metrics.items() if named else ():
        if not (isinstance(name, str) and callable(call)):
            raise TypeError(
                "a metric is a name and a function f(output, batch), as in "
                f"{{'mae': mae}}, not {name!r}: {call!r}"
            )
    if named:
        return dict(metrics)
    if callable(metrics) or not isinstance(metrics, Iterable):
        raise TypeError(
            "metrics must be names or a dict of functions, as in "
            f"{{'mae': mae}}, not {metrics!r}"
        )
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
    names = [*params.of(model), *dict(model.named_buffers())]
    steps = []
    for other in others:
        theirs = match(state_of(other), names)
        missing = [k for k in own if k not in theirs]
        if missing:
            raise ValueError(f"the checkpoint lacks buffer {missing[0]!r}")
        steps.append({k: theirs[k].detach().to(b) - b for k, b in own.items()})
    return steps


def check_budget(seconds: Any, points: Any = None) -> None:
    """Refuse a budget that is no time or no number of points."""
    if seconds is not None:
        positive("budget_s", seconds)
    if points is not None:
        count("budget_points", points)


def job_options(
    held: list[Any],
    metrics: Any = (),
    statistics: str = "eval",
    dtype: Any = None,
    way: str = "auto",
) -> dict[str, Any]:
    """How a job evaluates its points, from what a public call was given.

    Example:
        >>> job_options([], statistics="frozen")["statistics"]
        'eval'
    """
    return {
        "metrics": named_metrics(metrics),
        "statistics": statistics_of(statistics),
        "dtype": params.dtype_name(dtype, DTYPES),
        "way": way_for(way, held),
    }
