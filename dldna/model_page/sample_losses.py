"""The loss of each sample of an objective, and the right answers."""

import copy
import dataclasses
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor, nn

from dldna import batches as bt
from dldna.guard import untouched
from dldna.model_page.findings import SampleLosses
from dldna.objective import (
    Objective,
    batch_weight,
    class_options,
    is_torchs,
)
from dldna.objective.gradients import values_only
from dldna.params import exact
from dldna.training.evaluation import Tally

MOST = 256  # samples of one forward


@untouched()
def sample_losses(f: Objective, held: list[Any]) -> SampleLosses:
    """Take the mean loss on some data apart, as far as it goes.

    The model runs once on each batch; the loss of a sample is that of its
    own row of the output. Where these do not add up to the mean loss (a
    loss that looks at pairs of samples, outputs that are no tensor), the
    losses of the batches stand in their place.

    Args:
        f: the objective of the model; its own data play no part.
        held: batches in memory.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> net = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.ones_(net.weight)
        >>> x = torch.tensor([[1.0], [3.0]])
        >>> f = Objective(net, nn.MSELoss(), (x, 0 * x))
        >>> sample_losses(f, [(2 * x, 0 * x)]).values
        array([ 4., 36.])
    """
    rows, batches, tally = [], [], Tally()
    to = {"device": f.device} if f.mixed else f.cast
    quiet = values_only(f.model, f.loss_fn)
    with f.placed(), quiet:
        for batch in _pieces(f, held):
            batch = bt.to(batch, **to)
            weight = batch_weight(f.loss_fn, batch)
            if not weight:  # every target is ignored
                continue
            output = f.output(batch)
            loss = float(f.value(output, batch).detach())
            batches.append((loss, weight))
            _, target = bt.split(batch)
            tally.add(loss, batch, output, target, f.loss_fn)
            if rows is not None:
                apart = _apart(f, output, batch)
                rows = None if apart is None else rows + apart
    if not batches:
        raise ValueError("every target is ignored, so there is no loss")
    found = _record(f, batches, "batches", tally)
    if rows is None:
        return found
    each = _record(f, rows, "samples", tally)
    close = abs(each.loss - found.loss) <= 1e-4 * abs(found.loss)
    return each if close else found


def _pieces(f: Objective, held: list[Any]) -> Iterator[Any]:
    """Batches that are not too large, where they may be cut."""
    for batch in held:
        n = bt.size(batch)
        if n <= MOST or f.statistics == "train" or not bt.sliced(batch):
            yield batch
            continue
        for start in range(0, n, MOST):
            yield bt.cut(batch, start, start + MOST)


def _apart(f: Objective, output: Any, batch: Any) -> list | None:
    """Loss and weight of each sample; None where that cannot be had."""
    n = bt.size(batch)
    fits = isinstance(output, Tensor) and output.ndim and len(output) == n
    if not fits or not bt.sliced(batch):
        return None
    at_once = _at_once(f, output, batch)
    if at_once is not None:
        return at_once
    found = []
    try:
        for i in range(n):
            piece = bt.cut(batch, i, i + 1)
            weight = batch_weight(f.loss_fn, piece)
            if weight > 0:
                loss = f.value(output[i : i + 1], piece)
                found.append((float(loss.detach()), weight))
    except (RuntimeError, ValueError, TypeError, IndexError):
        return None  # a loss bound to its batch
    return found


def _at_once(f: Objective, output: Tensor, batch: Any) -> list | None:
    """The same from one call of a torch loss that weighs all alike."""
    options = class_options(f.loss_fn) or {}
    n, weight = bt.size(batch), batch_weight(f.loss_fn, batch)
    if not is_torchs(f.loss_fn) or weight != n:
        return None
    if options.get("weight") is not None:
        return None
    if isinstance(f.loss_fn, nn.Module):
        loss = copy.copy(f.loss_fn)
        loss.reduction = "none"
    else:
        loss = partial(f.loss_fn, reduction="none")
    try:
        each = bt.loss_caller(loss)(output, batch).detach()
    except (RuntimeError, ValueError, TypeError):
        return None
    if not each.ndim or len(each) != n:
        return None
    return [(v, 1.0) for v in exact(each).reshape(n, -1).mean(1).tolist()]


def _record(f: Objective, pairs: list, of: str, tally: Tally) -> SampleLosses:
    values, weights = np.array(pairs, dtype=np.float64).T
    return SampleLosses(
        values=values,
        shares=weights / weights.sum(),
        of=of,
        right=tally.right,
        answers=tally.answers,
        provenance=dataclasses.replace(
            f.provenance("losses of the samples", None),
            n_samples=tally.samples,
        ),
    )
