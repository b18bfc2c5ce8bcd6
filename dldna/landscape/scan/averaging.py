"""Whether the mean of a metric over batches is that of all samples."""

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from dldna import batches as bt
from dldna.landscape.evaluate import Subspace, accuracy
from dldna.landscape.evaluate.slow import forward, placed
from dldna.objective import CLOSE
from dldna.params import exact

TINY = 1e-12
Piece = tuple[Any, Any]  # an output and its batch


def not_means(given: Subspace, point: Sequence[float]) -> list[str]:
    """Say which metrics do not add up over the samples of a batch.

    R squared, F1 and other ratios of a whole batch are not the mean of
    what its parts have. Looked at is one batch, at one point, and only
    where several batches are averaged; it is cut in two places, as equal
    parts of a ratio of counts are common. What depends on chance, or
    cannot be evaluated on a part, is passed over.

    Args:
        given: model, metrics and batches.
        point: (K,) coordinates at which to look.

    Returns:
        A sentence for each such metric.

    Example:
        >>> import torch
        >>> from torch.nn import Linear, MSELoss
        >>> from dldna import params
        >>> data = [(torch.eye(4), torch.arange(4.0)[:, None])] * 2
        >>> asked = {"sd": lambda output, batch: batch[1].std()}
        >>> model = Linear(4, 1)
        >>> w = params.of(model)
        >>> given = Subspace.of(model, MSELoss(), data, w, [w], metrics=asked)
        >>> not_means(given, [0.0])[0][:38]
        "The metric 'sd' is no mean over sample"
    """
    own = {k: m for k, m in given.metrics.items() if m is not accuracy}
    if not own or len(given.batches) < 2:
        return []
    batch = given.batches[0]
    try:
        if bt.size(batch) < 2:
            batch = bt.join(given.batches[:2])
        found = _apart(given, own, batch, point)
    except Exception:  # no two parts: ragged, or bound to the batch's size
        return []
    return [
        f"The metric {name!r} is no mean over samples: it is {whole:.4g} on "
        f"a batch, and {mean:.4g} as the mean of two parts of it. The "
        "mean over batches is shown, which depends on how the data are "
        "cut; one batch with all data gives the right number."
        for name, (whole, mean) in found.items()
    ]


def _apart(
    given: Subspace, metrics: dict[str, Callable], batch: Any, point: Any
) -> dict[str, tuple[float, float]]:
    """Values on a batch and means of two parts of it, where they differ."""
    if not bt.sliced(batch):
        return {}
    n, found = bt.size(batch), {}
    with placed(given) as put:
        put(given.origin, given.buffers_at(point), given.moves(point))
        output = forward(given, batch)
        for at in (n // 2, max(1, n // 3)):
            ends = (0, at), (at, n)
            two = [_part(given, output, batch, *end) for end in ends]
            for name, metric in metrics.items():
                whole = _value(metric, (output, batch))
                parts = [_value(metric, part) for part in two]
                mean = (parts[0] * at + parts[1] * (n - at)) / n
                size = max(map(abs, (whole, *parts, TINY)))
                apart = abs(whole - mean) > CLOSE * size  # never so of NaN
                if apart and whole == _value(metric, (output, batch)):
                    found.setdefault(name, (whole, mean))
    return {k: v for k, v in found.items() if all(map(math.isfinite, v))}


def _part(
    given: Subspace, output: Any, batch: Any, start: int, stop: int
) -> Piece:
    """Some samples of a batch and their output, not run again if sliced."""
    part = bt.cut(batch, start, stop)
    if isinstance(output, Tensor) and len(output) == bt.size(batch):
        return output[start:stop], part
    return forward(given, part), part


def _value(metric: Callable, piece: Piece) -> float:
    """A metric of an output, or NaN; the mean of one given per sample."""
    output, batch = piece
    with warnings.catch_warnings():  # of parts that nobody asked for
        warnings.simplefilter("ignore")
        try:
            value = metric(output, bt.inner(batch))
        except Exception:  # too few samples, or one class
            return math.nan
    if isinstance(value, Tensor) and value.ndim:
        value = exact(value).mean()
    return float(value)
