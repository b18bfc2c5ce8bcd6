"""The loss that a model computes itself, when it gets labels."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from dldna import batches as bt
from dldna.objective.next_label import following, shifts
from dldna.objective.own_call import own_call

OWN = "model"


class NoLoss(TypeError):
    """A model returned no loss, where its own is asked for."""


class OwnLoss:
    """A loss that is read off what the model returns.

    It is the output's ``loss`` (an attribute or an entry), or the sum of
    a dict of losses (whose names say so, as "loss_box"), or the one number
    among several outputs, or the output itself where that is one number.

    Example:
        >>> import torch
        >>> OwnLoss()({"loss": torch.tensor(2.0), "logits": None}, None)
        tensor(2.)
        >>> one = torch.ones(())
        >>> OwnLoss()({"loss_box": one, "loss_class": one}, None)
        tensor(2.)
    """

    __name__ = "the model's own loss"

    def __call__(self, output: Any, batch: Any) -> Tensor:
        """The loss.

        Raises:
            NoLoss: there is none in what the model returned.
        """
        found, held = None, ""
        if isinstance(output, Mapping):
            found = output.get("loss")
            named = {k: v for k, v in output.items() if "loss" in str(k)}
            if found is None and named and all(map(_number, named.values())):
                found = sum(named.values())
            held = f", which holds {', '.join(map(repr, output))}"
        elif isinstance(output, (tuple, list)) and not hasattr(output, "loss"):
            numbers = [v for v in output if _number(v)]
            found = numbers[0] if len(numbers) == 1 else None
        else:
            found = (
                output if _number(output) else getattr(output, "loss", None)
            )
        if not isinstance(found, Tensor):
            raise NoLoss(
                "loss_fn='model' takes the loss that the model returns, and "
                f"it returned a {type(output).__name__} without one{held}: "
                "do the data hold its labels, by the name that its forward "
                "has for them, and does it return a loss in eval mode, too? "
                "A model that computes none needs one, as "
                "nn.CrossEntropyLoss() with data (x, y)"
            )
        return found


def _number(value: Any) -> bool:
    number = isinstance(value, Tensor) and value.ndim == 0
    return number and value.is_floating_point()


class WholeBatches:
    """Batches of which the model gets all, labels too.

    What metrics take for the target are the labels, each one place earlier
    where the model's loss shifts them so.

    Args:
        data: as for :func:`dldna.batches.held`.
        model: the network, which tells how it wants to be called (see
            :func:`dldna.objective.own_call.own_call`).

    Example:
        >>> import torch
        >>> data = {"x": torch.zeros(2, 3), "labels": torch.ones(2)}
        >>> [(inputs, target)] = list(WholeBatches(data))
        >>> sorted(inputs), target.tolist()
        (['labels', 'x'], [1.0, 1.0])
    """

    def __init__(self, data: Any, model: Any = None):
        self.data, self.model = data, model
        self.dataset = getattr(data, "dataset", None)
        self.name = getattr(data, "name", "")
        self.call: Any = None
        self.asked = not isinstance(model, nn.Module)
        self.ahead = False if self.asked else None  # not known yet

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        for given in bt.held_one_by_one(self.data):
            batch = bt.inner(given)
            if not self.asked:
                self.call = own_call(self.model, batch, OwnLoss())
                self.asked = True
            inputs = dict(batch) if isinstance(batch, Mapping) else batch
            target = bt.split(batch)[1]
            if target is None:  # under a name that only the model knows
                size = bt.size(batch)
                target = next(
                    t for t in bt.tensors(batch) if t.ndim and len(t) == size
                )
            sized = isinstance(given, bt.Sized)
            if self.call is not None:
                inputs = bt.Called(inputs, self.call)
            if self.ahead is None:
                self.ahead = shifts(self.model, inputs, target, OwnLoss())
            if self.ahead:
                target = following(target)
            pair = inputs, target
            yield bt.Sized(pair, given.n) if sized else pair


_READY = (WholeBatches, bt.BatchList)


def resolved(
    loss_fn: Any, data: Any, model: Any = None
) -> tuple[Callable, Any]:
    """A loss and data as they are worked with; "model" is the model's own.

    Example:
        >>> resolved("model", [])[0].__name__
        "the model's own loss"
    """
    if isinstance(loss_fn, str) and loss_fn == OWN:
        return OwnLoss(), WholeBatches(data, model)
    inner = getattr(loss_fn, "loss_fn", None)  # a Weighed one's
    if isinstance(inner, OwnLoss) and not isinstance(data, _READY):
        return loss_fn, WholeBatches(data, model)
    return loss_fn, data


def is_own(loss_fn: Any) -> bool:
    """Whether a loss is the model's own."""
    return isinstance(getattr(loss_fn, "loss_fn", loss_fn), OwnLoss)
