"""The loss that a model computes itself, when it gets labels."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor

from dldna import batches as bt

OWN = "model"


class OwnLoss:
    """A loss that is read off what the model returns.

    It is the output's ``loss`` (an attribute, an entry, or the first of
    several outputs), or the sum of a dict of losses, or the output itself
    where that is one number.

    Example:
        >>> import torch
        >>> OwnLoss()({"loss": torch.tensor(2.0), "logits": None}, None)
        tensor(2.)
        >>> losses = {"box": torch.tensor(1.0), "class": torch.tensor(0.5)}
        >>> OwnLoss()(losses, None)
        tensor(1.5000)
    """

    __name__ = "the model's own loss"

    def __call__(self, output: Any, batch: Any) -> Tensor:
        """The loss.

        Raises:
            TypeError: there is none in what the model returned.
        """
        if isinstance(output, Mapping):
            found = output.get("loss")
            numbers = [v for v in output.values() if _number(v)]
            if found is None and len(numbers) == len(output) > 0:
                return sum(numbers[1:], numbers[0])
        else:
            found = getattr(output, "loss", None)
        if found is None and isinstance(output, (tuple, list)) and output:
            found = output[0] if _number(output[0]) else None
        if found is None and _number(output):
            found = output
        if not isinstance(found, Tensor):
            kind = type(output).__name__
            raise TypeError(
                f"loss_fn='model' takes the loss that the model returns, and "
                f"it returned a {kind} without one: do the data hold its "
                "labels, by the name that its forward has for them?"
            )
        return found


def _number(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim == 0


class WholeBatches:
    """Batches of which the model gets all, labels too.

    Args:
        data: as for :func:`dldna.batches.held`.

    Example:
        >>> import torch
        >>> data = {"x": torch.zeros(2, 3), "labels": torch.ones(2)}
        >>> [(inputs, target)] = list(WholeBatches(data))
        >>> sorted(inputs), target.tolist()
        (['labels', 'x'], [1.0, 1.0])
    """

    def __init__(self, data: Any):
        self.data = data
        self.dataset = getattr(data, "dataset", None)
        self.name = getattr(data, "name", "")

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        for batch in bt.iterate(self.data):
            inputs = dict(batch) if isinstance(batch, Mapping) else batch
            target = bt.split(batch)[1]
            if target is None:  # under a name that only the model knows
                size = bt.size(batch)
                target = next(t for t in bt.tensors(batch) if len(t) == size)
            yield inputs, target


def resolved(loss_fn: Any, data: Any) -> tuple[Callable, Any]:
    """A loss and data as they are worked with; "model" is the model's own.

    Example:
        >>> resolved("model", [])[0].__name__
        "the model's own loss"
    """
    if isinstance(loss_fn, str) and loss_fn == OWN:
        return OwnLoss(), WholeBatches(data)
    return loss_fn, data
