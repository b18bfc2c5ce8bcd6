"""Labels of a model that is asked for the next one at each place."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dldna import batches as bt
from dldna import params
from dldna.guard import untouched
from dldna.objective.place import in_place

LEFT_OUT = -100


def shifts(
    model: nn.Module, inputs: Any, target: Any, loss: Callable[[Any, Any], Any]
) -> bool | None:
    """Whether a model's own loss holds each output against the next label.

    Causal language models get labels that are their inputs, and shift them
    themselves. It is read off the loss: which of the two cross-entropies is
    nearer to what the model gives, with some noise on its weights, as a
    head of zeros has but one loss.

    Args:
        model: the network.
        inputs: what it is called with, labels among them.
        target: the labels, (N, T) class numbers; for others it is False.
        loss: reads the loss off an output.

    Returns:
        None where this batch does not tell: all its labels are ignored.

    Example:
        >>> class Next(nn.Embedding):
        ...     def forward(self, x):
        ...         y = super().forward(x)
        ...         cut = y[:, :-1].flatten(0, 1), x[:, 1:].flatten()
        ...         return {"loss": F.cross_entropy(*cut), "logits": y}
        >>> x = torch.tensor([[0, 1, 2]])
        >>> shifts(Next(3, 3), x, x, lambda output, _: output["loss"])
        True
    """
    if not isinstance(target, Tensor) or target.is_floating_point():
        return False
    weight = next(model.parameters(), None)
    if target.ndim != 2 or target.shape[1] < 2 or weight is None:
        return False
    inputs = bt.to(inputs, device=weight.device, dtype=weight.dtype)
    with (
        untouched(model), in_place(model) as put, torch.no_grad(),
        suppress(Exception),
    ):  # fmt: skip
        point = params.of(model)
        noise = params.randn_like(point, torch.Generator().manual_seed(0))
        put(params.add(point, params.scale(noise, 0.1)))
        output = bt.apply(model, inputs)
        own = loss(output, None)
        mapped = isinstance(output, Mapping)
        logits = output["logits"] if mapped else output.logits
        if logits.shape[:2] != target.shape or logits.ndim != 3:
            return False
        logits, target = logits.float(), target.to(logits.device)
        here = F.cross_entropy(logits.transpose(1, 2), target)
        after = F.cross_entropy(logits[:, :-1].transpose(1, 2), target[:, 1:])
        if not (after - here).isfinite():
            return None
        return bool((after - own).abs() < (here - own).abs())
    return False


def following(target: Tensor) -> Tensor:
    """At each place the label of the next; the last place has none.

    Example:
        >>> following(torch.tensor([[5, 6, 7]])).tolist()
        [[6, 7, -100]]
    """
    return F.pad(target[:, 1:], (0, 1), value=LEFT_OUT)
