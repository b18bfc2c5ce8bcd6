"""How a loss joins its samples, and what a batch counts in the mean."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from dldna import batches as bt
from dldna.objective.own_loss import OWN, OwnLoss
from dldna.params import exact


def reduction(loss_fn: Callable) -> str:
    """How a loss joins its samples: "mean", "sum" or "none".

    Example:
        >>> reduction(partial(F.mse_loss, reduction="sum"))
        'sum'
    """
    if isinstance(loss_fn, partial):
        return loss_fn.keywords.get("reduction", reduction(loss_fn.func))
    return str(getattr(loss_fn, "reduction", "mean"))


class Weighed:
    r"""A loss that says what its mean over a batch divides by.

    The mean over the data is :math:`L=\sum_b m_b L_b/\sum_b m_b`. For
    torch's losses :math:`m_b` is known; for a loss of one's own it is the
    number of samples, unless this says otherwise: a mean over tokens, over
    masked pixels, or with weights has another denominator.

    Args:
        loss_fn: any loss, see :mod:`dldna.batches`.
        weight: ``f(batch) -> number``, what the loss divides by.

    Example:
        >>> import torch
        >>> def loss(output, batch):  # a mean over the entries of a mask
        ...     return (output * batch["mask"]).sum() / batch["mask"].sum()
        >>> loss = Weighed(loss, lambda batch: batch["mask"].sum())
        >>> batch_weight(loss, {"x": torch.ones(3), "mask": torch.ones(3, 4)})
        12.0
    """

    def __init__(
        self, loss_fn: Callable, weight: Callable[[Any], float | Tensor]
    ):
        if isinstance(loss_fn, str) and loss_fn == OWN:
            loss_fn = OwnLoss()
        self.loss_fn, self.batch_weight = loss_fn, weight
        self.reduction = reduction(loss_fn)
        self.__name__ = loss_name(loss_fn)
        self._call = bt.loss_caller(loss_fn)

    def __call__(self, output: Any, batch: Any) -> Tensor:
        """The loss of one batch."""
        return self._call(output, batch)


def loss_name(loss_fn: Callable) -> str:
    """A name for a loss."""
    return getattr(loss_fn, "__name__", type(loss_fn).__name__)


def batch_weight(loss_fn: Callable, batch: Any) -> float:
    r"""What a batch's mean loss has to be multiplied by in the mean of all.

    With the weights :math:`m_b`, :math:`L=\sum_b m_b L_b/\sum_b m_b` is the
    loss of all data in one batch. For most losses :math:`m_b` is the
    number of samples. Torch's cross-entropy and negative log-likelihood of
    class indices :math:`y_i` with ``reduction="mean"`` divide by
    :math:`\sum_i c_{y_i}` over the targets that are not ignored, where
    :math:`c` are the class weights (or 1), so this sum is the weight. It
    is 0, and the loss NaN, where every target of a batch is ignored.
    :class:`Weighed` says it for any other loss.

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
    if isinstance(loss_fn, Weighed):
        return float(loss_fn.batch_weight(bt.inner(batch)))
    options = class_options(loss_fn)
    if options is None or reduction(loss_fn) != "mean":
        return float(bt.size(batch))
    target = bt.split(batch)[1]
    if not isinstance(target, Tensor) or target.is_floating_point():
        # probabilities: torch divides by their number
        return float(bt.size(batch))
    counted = target != options.get("ignore_index", -100)
    weight = options.get("weight")
    if weight is None:
        return float(counted.sum())
    weight = exact(weight)
    return float(weight[target[counted].to(weight.device)].sum())


def class_options(loss_fn: Callable) -> dict[str, Any] | None:
    """The options of a loss of class indices, or None for other losses."""
    given = {}
    if isinstance(loss_fn, partial):
        given, loss_fn = loss_fn.keywords, loss_fn.func
    if isinstance(loss_fn, (nn.CrossEntropyLoss, nn.NLLLoss)):
        return {k: getattr(loss_fn, k) for k in ("weight", "ignore_index")}
    return given if loss_fn in (F.cross_entropy, F.nll_loss) else None


def ignored(loss_fn: Callable) -> int:
    """The label that a loss of classes leaves out.

    Example:
        >>> ignored(F.cross_entropy), ignored(nn.NLLLoss(ignore_index=0))
        (-100, 0)
    """
    return int((class_options(loss_fn) or {}).get("ignore_index", -100))


def is_torchs(loss_fn: Callable) -> bool:
    """Whether a loss is one of torch's own, or made of one.

    Example:
        >>> is_torchs(partial(F.mse_loss, reduction="sum")), is_torchs(print)
        (True, False)
    """
    while isinstance(loss_fn, partial):
        loss_fn = loss_fn.func
    home = type(loss_fn) if isinstance(loss_fn, nn.Module) else loss_fn
    return str(getattr(home, "__module__", "")).startswith("torch.nn")


def cast(loss_fn: Callable, model: nn.Module, **to: Any) -> Callable:
    """A loss whose own tensors have another type, or lie elsewhere.

    Tensors of loss modules and of the keywords of a ``partial`` are
    copied; the loss that was given stays as it is. A loss module that
    holds the model is left alone.

    Args:
        loss_fn: the loss.
        model: the model.
        **to: ``device``, and ``dtype`` for floating tensors.

    Returns:
        The loss, or a copy of it.

    Example:
        >>> import torch
        >>> loss = nn.CrossEntropyLoss(torch.ones(3))
        >>> cast(loss, nn.Linear(1, 3), dtype=torch.float64).weight.dtype
        torch.float64
    """
    if isinstance(loss_fn, Weighed):
        inner = cast(loss_fn.loss_fn, model, **to)
        if inner is loss_fn.loss_fn:
            return loss_fn
        return Weighed(inner, loss_fn.batch_weight)
    if isinstance(loss_fn, partial):
        args = [bt.to(a, **to) for a in loss_fn.args]
        named = {k: bt.to(v, **to) for k, v in loss_fn.keywords.items()}
        return partial(cast(loss_fn.func, model, **to), *args, **named)
    if not isinstance(loss_fn, nn.Module):
        return loss_fn
    inside = {id(m) for m in loss_fn.modules()}
    tensors = [*loss_fn.parameters(), *loss_fn.buffers()]
    if not tensors or any(id(m) in inside for m in model.modules()):
        return loss_fn
    if all(bt.to(t, **to) is t for t in tensors):
        return loss_fn
    import copy

    twin = copy.deepcopy(loss_fn)
    return twin._apply(lambda t: bt.to(t, **to))


def dense(tensor: Tensor) -> Tensor:
    """A tensor with all its entries, such as a sparse gradient's."""
    return tensor.to_dense() if tensor.is_sparse else tensor
