"""Whether a batch may be cut: does its loss add up over its samples?"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from dldna import batches as batching
from dldna.guard import loss_kept, untouched
from dldna.objective.gradients import values_only
from dldna.objective.place import in_place
from dldna.objective.reductions import batch_weight, reduction
from dldna.params import exact

CLOSE = 1e-4  # relative; in float32, both orders of summing
FAILURES = (RuntimeError, ValueError, IndexError, TypeError, KeyError)
FAR = 0.05  # what padding and the like do not explain


def gap(model: nn.Module, loss_fn: Callable, batch: Any) -> float:
    r"""How far a batch's loss is from that of its two halves.

    .. math:: \frac{|L - \sum_h m_h L_h / \sum_h m_h|}{|L|}

    with the weights :math:`m_h` of :func:`batch_weight`. It is 0, but for
    rounding, where each sample counts by itself, and is not where they
    are compared with each other (a contrastive loss) or read each other
    (the nodes of a graph).

    Args:
        model: the network, looked at in eval mode; it is left as it was.
        loss_fn: the loss.
        batch: the batch.

    Returns:
        The relative difference; inf if a half cannot be evaluated, and 0
        if the loss is not finite, or another each time.
    """
    n = batching.size(batch)
    if n < 2:
        return 0.0
    if not batching.sliced(batch):
        return math.inf
    call, summed = batching.loss_caller(loss_fn), reduction(loss_fn) == "sum"
    device = next(model.parameters()).device

    def loss_of(part: Any) -> tuple[float, float]:
        part = batching.to(part, device=device)
        output = batching.apply(model, batching.split(part)[0])
        value = float(exact(call(output, part).detach()).mean())
        weight = batch_weight(loss_fn, part)
        return value * (1 if summed else weight), weight

    with (
        untouched(model),
        loss_kept(loss_fn),
        values_only(model, loss_fn) as needs,
        in_place(model, needs=needs, write=True),
    ):
        whole, again = (loss_of(batch) for _ in "ab")
        try:
            parts = [
                loss_of(batching.cut(batch, *place))
                for place in ((0, n // 2), (n // 2, n))
            ]
        except FAILURES:
            return math.inf
    parts = [p for p in parts if p[1]]
    steady = whole == again and math.isfinite(whole[0])
    if not steady or not parts:
        return 0.0
    mean = whole[0] / whole[1]
    joined = sum(v for v, _ in parts) / sum(w for _, w in parts)
    return abs(mean - joined) / max(abs(mean), abs(joined), 1e-30)


def check_limit(
    model: nn.Module,
    loss_fn: Callable,
    held: list[Any],
    dtype: torch.dtype | None = None,
) -> None:
    """Refuse a ``limit`` that cut what hangs together.

    Args:
        model: the network.
        loss_fn: the loss.
        held: from :func:`dldna.batches.held`; the last batch is looked at
            if it was cut.
        dtype: to which the data are cast, if they are.

    Raises:
        ValueError: the whole batch can be evaluated and its part cannot,
            or the part's loss is far from that of its halves.
    """
    if getattr(held, "cut", None) is None:
        return
    (limit, before), held.cut = held.cut, None  # and is not kept
    why = (
        f"limit={limit} cuts a batch, and its samples hang together (the "
        "nodes of a graph, the pairs of a contrastive loss)"
    )
    remedy = "give whole batches, or data that you cut yourself"
    try:
        found = gap(model, loss_fn, batching.to(held[-1], dtype=dtype))
    except FAILURES as error:
        try:
            gap(model, loss_fn, batching.to(before, dtype=dtype))
        except FAILURES:  # no fault of the limit: said elsewhere
            return
        raise ValueError(f"{why}: the part gives {error}; {remedy}") from error
    if found > FAR:
        raise ValueError(
            f"{why}: its loss is {found:.0%} off that of its halves; {remedy}"
        )
