r"""How noisy a gradient is, and which batch size that suggests."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from dldna import batches as bt
from dldna import checks, guard
from dldna.landscape.curvature.operator import Operator, of_gradients
from dldna.objective import accepts_objective, batch_weight, norms
from dldna.objective.pieces import counted
from dldna.params import exact
from dldna.records import Estimate


@checks.renamed(mode="statistics")
@accepts_objective
def gradient_noise(
    model: nn.Module,
    loss_fn: Callable,
    data: Any,
    *,
    parts: int = 32,
    seed: int = 0,
    **options: Any,
) -> Estimate:
    r"""Estimate the simple noise scale of the gradient.

    One example's gradient has mean :math:`G` and covariance
    :math:`\Sigma`; the gradient of a batch of :math:`B` has covariance
    :math:`\Sigma/B`. Noise and signal have the same length at the batch
    size

    .. math:: B_\text{simple} = \operatorname{tr}\Sigma / |G|^2 .

    The data are cut into parts of sizes :math:`b_p`. With their gradients
    :math:`g_p`, and the gradient :math:`g` over all :math:`n` samples,
    the two unbiased estimates are

    .. math::
        \operatorname{tr}\Sigma \approx \frac{1}{P-1}
        \sum_p b_p |g_p - g|^2, \qquad
        |G|^2 \approx |g|^2 - \operatorname{tr}\Sigma / n .

    Their quotient is not unbiased. Where the second is not positive, the
    data are too few to see the gradient behind the noise, and the value
    is infinite.

    Args:
        model: any ``nn.Module``; it is not written to.
        loss_fn: a loss that is a mean over the batch.
        data: one batch or tensors, which are shuffled and cut; or a
            loader, whose batches are the parts.
        parts: number of parts of a single batch; at most one for each
            sample, which is the most exact and the slowest.
        seed: of the shuffling.
        **options: of :class:`dldna.landscape.Operator`: ``params``,
            ``dtype``, ``statistics``, ``limit``.

    Returns:
        The noise scale in samples, and its standard error from the
        spread over the parts. ``provenance.notes`` holds ``trace``
        (:math:`\operatorname{tr}\Sigma`), ``trace_error``,
        ``squared_gradient`` (:math:`|G|^2`) and ``parts``.

    Raises:
        ValueError: fewer than two parts, or a single batch whose axis 0
            is not the samples.

    Example:
        >>> layer = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.zeros_(layer.weight)
        >>> x, y = torch.ones(4, 1), torch.tensor([[1.0], [1], [2], [4]])
        >>> found = gradient_noise(layer, nn.MSELoss(), (x, y), parts=4)
        >>> found.provenance.notes["trace"], round(float(found.value), 4)
        (8.0, 0.5714)

    References:
        McCandlish, Kaplan, Amodei, "An empirical model of large-batch
        training", 2018, arXiv 1812.06162.
    """
    checks.count("parts", parts, 2)
    with guard.untouched(model):
        operator = of_gradients(model, loss_fn, data, **options)
        return noise_of(operator, parts, seed)


def noise_of(operator: Operator, parts: int, seed: int) -> Estimate:
    """As :func:`gradient_noise`, for an operator that is there already."""
    pieces = _pieces(operator, parts, seed)
    if len(pieces) < 2:
        raise ValueError(
            "the spread of a gradient needs at least two parts: give more "
            "samples, or a loader with more batches"
        )
    weights = [batch_weight(operator.loss_fn, piece) for piece in pieces]
    sizes = np.array(weights, dtype=float)
    n, count = sizes.sum(), len(pieces)
    rows = torch.stack([operator.slope(piece)[1] for piece in pieces])
    rows = exact(rows)
    shares = torch.from_numpy(sizes / n).to(rows)
    mean = shares @ rows
    squares = (rows - mean).square().sum(1).cpu().numpy()
    each = sizes * squares * count / (count - 1)
    trace = float(each.mean())
    trace_error = float(each.std(ddof=1) / count**0.5)
    signal = float(mean.square().sum()) - trace / n
    value = trace / signal if signal > 0 else np.inf
    # The gradient's length is uncertain by the noise along itself.
    along = (rows - mean) @ mean
    spread = float((shares * along).square().sum().sqrt())
    signal_error = 2 * spread * (count / (count - 1)) ** 0.5
    error = 0.0
    if signal <= 0:
        error = np.inf
    elif trace > 0:
        error = value * np.hypot(trace_error / trace, signal_error / signal)
    return Estimate(
        value=np.asarray(value),
        error=np.asarray(error),
        products=0,
        method="parts of the data",
        samples=each,
        matrix="covariance of the gradient",
        provenance=operator.provenance(
            "gradient noise",
            seed,
            trace=trace,
            trace_error=trace_error,
            squared_gradient=signal,
            parts=count,
        ),
    )


def _pieces(operator: Operator, parts: int, seed: int) -> list[Any]:
    """The loader's batches, or a single batch shuffled and cut."""
    if len(operator.given) > 1:
        return operator.given
    (batch,) = operator.given
    bt.check_sliced(batch, "the gradient noise of a single batch")
    if operator.statistics == "train" and norms(operator.model):
        raise ValueError(
            "a single batch cannot be cut where batch norm takes each batch's "
            "own statistics: give several batches, or statistics='eval'"
        )
    n = bt.size(batch)
    order = torch.randperm(
        n, generator=torch.Generator().manual_seed(seed), device="cpu"
    )
    mixed = bt.select(batch, order)
    edges = np.linspace(0, n, min(parts, n) + 1).round().astype(int).tolist()
    cuts = [bt.cut(mixed, a, b) for a, b in pairwise(edges)]
    return counted(operator.loss_fn, cuts)
