"""Losses of many points at once, from their logits."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dldna import batches as bt
from dldna.landscape.evaluate.metrics import accuracy
from dldna.landscape.evaluate.subspace import Subspace
from dldna.landscape.evaluate.total import Total
from dldna.objective import ignored
from dldna.params import exact

CLASS_OPTIONS = {
    "weight": None,
    "ignore_index": -100,
    "label_smoothing": 0.0,
    "size_average": None,
    "reduce": None,
}


def per_sample(subspace: Subspace) -> str | None:
    """What the loss is as a sum over samples, if that is known.

    Returns:
        "cross-entropy", "squared error" or None. For those two, and with
        no metric but accuracy, batches may be cut and joined at will.
    """
    if any(m is not accuracy for m in subspace.metrics.values()):
        return None
    for batch in subspace.batches:
        if not isinstance(batch, (tuple, list)):
            return None
        if not all(isinstance(t, Tensor) for t in batch):
            return None
    targets = [bt.split(b)[1] for b in subspace.batches]
    call, options = _call(subspace.loss_fn)
    if options.pop("reduction", "mean") not in ("mean", "sum"):
        return None
    if call is F.cross_entropy:
        default = all(
            k in CLASS_OPTIONS and v == CLASS_OPTIONS[k]
            for k, v in options.items()
            if v is not None
        )
        classes = all(
            t.ndim == 1 and t.dtype == torch.int64 and (t >= 0).all()
            for t in targets
        )
        return "cross-entropy" if default and classes else None
    if call is F.mse_loss and not any(v is not None for v in options.values()):
        floats = all(t.ndim == 2 and t.is_floating_point() for t in targets)
        return "squared error" if floats else None
    return None


def _call(loss_fn: Callable) -> tuple[Callable, dict[str, Any]]:
    if isinstance(loss_fn, partial) and not loss_fn.args:
        return loss_fn.func, dict(loss_fn.keywords)
    if type(loss_fn) is nn.CrossEntropyLoss:
        names = ("weight", "ignore_index", "label_smoothing", "reduction")
        return F.cross_entropy, {k: getattr(loss_fn, k) for k in names}
    if type(loss_fn) is nn.MSELoss:
        return F.mse_loss, {"reduction": loss_fn.reduction}
    return loss_fn, {}


def add_losses(
    total: Total, at, logits: Tensor, batch: Any, kind: str | None
) -> None:
    """Add the losses and metrics of one batch at many points.

    Args:
        total: where to.
        at: indices of the points.
        logits: (P, C, N) outputs, one (C, N) matrix for each point.
        batch: the batch of N samples.
        kind: what :func:`per_sample` found.
    """
    subspace, n = total.subspace, logits.shape[2]
    if kind is None:
        for p, z in zip(at, logits, strict=True):
            add_one(total, p, z.t(), batch)
        return
    target = bt.split(batch)[1]
    # Sums of the kernels below are over samples (and, for the squared
    # error, outputs), so a mean needs the right divisor.
    if kind == "cross-entropy":
        logs = torch.log_softmax(exact(logits), 1)
        index = (
            target.to(logs.device).view(1, 1, -1).expand(len(logits), 1, -1)
        )
        value = -logs.gather(1, index).sum((1, 2))
        divisor = n
    else:
        if target.shape != (n, logits.shape[1]):
            raise ValueError(
                f"an output of shape {(n, logits.shape[1])} and a target "
                f"of shape {tuple(target.shape)} do not fit together"
            )
        value = exact(logits - target.t()).square_().sum((1, 2))
        divisor = n * logits.shape[1]
    value = value if subspace.summed else value / divisor
    total.add("loss", at, value, batch)
    for name in subspace.metrics:  # accuracy, or per_sample had said None
        if target.ndim == 1 and logits.shape[1] > 1:
            right = exact(logits.argmax(1) == target).mean(1)
            total.add(name, at, right, batch)
        else:
            for p, z in zip(at, logits, strict=True):
                total.add(name, p, accuracy(z.t(), batch), batch)


def add_one(
    total: Total, p: int, output: Any, batch: Any, exactly: bool = False
) -> None:
    """Add the loss and metrics of one batch at one point."""
    subspace = total.subspace
    values = measured(subspace, output, batch, exactly)
    for name, value in zip(("loss", *subspace.metrics), values, strict=True):
        total.add(name, p, value, batch)


def measured(
    subspace: Subspace, output: Any, batch: Any, exactly: bool = False
) -> tuple:
    """Loss and metrics of an output.

    Args:
        subspace: whose loss and metrics.
        output: of the model.
        batch: the batch it belongs to.
        exactly: take a tensor's in float64, where the device has it.
    """
    if exactly and output.device.type != "mps":  # Apple's GPUs have it not
        output = output.double()
    values = [subspace.loss(output, batch)]
    for metric in subspace.metrics.values():
        more = {}
        if metric is accuracy:
            more["ignore"] = ignored(subspace.loss_fn)
        values.append(metric(output, bt.inner(batch), **more))
    return tuple(map(mean, values))


def mean(value: Any) -> Any:
    """A value per sample (``reduction="none"``) becomes their mean."""
    if isinstance(value, Tensor) and value.ndim:
        return exact(value).mean()
    return value


def joined(batches: list[Any], tile: int) -> list[Any]:
    """The same samples, cut anew into batches of ``tile``."""
    x = torch.cat([bt.split(b)[0] for b in batches])
    y = torch.cat([bt.split(b)[1] for b in batches])
    return [(x[i : i + tile], y[i : i + tile]) for i in range(0, len(x), tile)]
