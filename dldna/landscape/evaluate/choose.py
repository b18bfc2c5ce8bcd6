"""The choice of a way to evaluate."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from dldna.checks import choice
from dldna.landscape.evaluate.slow import Slow
from dldna.landscape.evaluate.task import Evaluator, task
from dldna.params import Params

WAYS = {"slow": Slow}


def choose(
    model: nn.Module,
    loss_fn: Callable,
    batches: list[Any],
    origin: Params,
    directions: Sequence[Params],
    *,
    metrics: Mapping[str, Callable] | None = None,
    path: str = "auto",
    precision: str = "float32",
    statistics: str = "eval",
    buffer_directions: Sequence[Mapping[str, Tensor]] | None = None,
    memory: float | None = None,
) -> Evaluator:
    """The fastest way to evaluate that gives what the slow way gives."""
    choice("path", path, ["auto", *WAYS])
    given = task(
        model,
        loss_fn,
        batches,
        origin,
        directions,
        metrics=metrics,
        precision=precision,
        statistics=statistics,
        buffer_directions=buffer_directions,
    )
    return Slow(given)
