"""How much a batch counts in the mean loss over the data."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from dldna import batches as bt


def reduction(loss_fn: Callable) -> str:
    """How a loss joins its samples: "mean", "sum" or "none".

    Example:
        >>> reduction(partial(F.mse_loss, reduction="sum"))
        'sum'
    """
    if isinstance(loss_fn, partial):
        return loss_fn.keywords.get("reduction", reduction(loss_fn.func))
    return str(getattr(loss_fn, "reduction", "mean"))


def batch_weight(loss_fn: Callable, batch: Any) -> float:
    r"""What a batch's mean loss has to be multiplied by in the mean of all.

    With the weights :math:`m_b`, :math:`L=\sum_b m_b L_b/\sum_b m_b` is the
    loss of all data in one batch. For most losses :math:`m_b` is the
    number of samples. Torch's cross-entropy and negative log-likelihood of
    class indices :math:`y_i` with ``reduction="mean"`` divide by
    :math:`\sum_i c_{y_i}` over the targets that are not ignored, where
    :math:`c` are the class weights (or 1), so this sum is the weight. It
    is 0, and the loss NaN, where every target of a batch is ignored.

    Args:
        loss_fn: the loss as it was given.
        batch: see :mod:`dldna.batches`.

    Returns:
        The weight, in samples, targets, or class weights.

    Example:
        >>> import torch
        >>> batch = torch.zeros(3, 2), torch.tensor([0, 1, -100])
        >>> batch_weight(nn.MSELoss(), batch)
        3.0
        >>> batch_weight(nn.CrossEntropyLoss(), batch)
        2.0
        >>> batch_weight(nn.CrossEntropyLoss(torch.tensor([1, 3.0])), batch)
        4.0
    """
    samples = float(bt.size(batch))
    options = _class_options(loss_fn)
    if options is None or reduction(loss_fn) != "mean":
        return samples
    target = bt.split(batch)[1]
    if not isinstance(target, Tensor) or target.is_floating_point():
        return samples  # probabilities: torch divides by their number
    counted = target[target != options.get("ignore_index", -100)]
    weight = options.get("weight")
    if weight is None:
        return float(counted.numel())
    return float(weight.double()[counted.to(weight.device)].sum())


def _class_options(loss_fn: Callable) -> dict[str, Any] | None:
    """The options of a loss of class indices, or None for other losses."""
    given = {}
    if isinstance(loss_fn, partial):
        given, loss_fn = loss_fn.keywords, loss_fn.func
    if isinstance(loss_fn, (nn.CrossEntropyLoss, nn.NLLLoss)):
        return {k: getattr(loss_fn, k) for k in ("weight", "ignore_index")}
    return given if loss_fn in (F.cross_entropy, F.nll_loss) else None
