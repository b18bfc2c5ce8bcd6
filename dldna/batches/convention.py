"""What a batch is, and how a model meets it."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from dldna.batches.leaves import Batch, tensors
from dldna.torch_internals import tree_map

TARGETS = ("labels", "label", "targets", "target", "y")


def split(batch: Batch) -> tuple[Any, Any]:
    """Part a batch into inputs and target (None where there is none).

    Raises:
        TypeError: not a pair, a dict or a tensor.

    Example:
        >>> split({"x": 1, "labels": 2})
        ({'x': 1}, 2)
    """
    if isinstance(batch, Mapping):
        target = next((batch[k] for k in TARGETS if k in batch), None)
        return {k: v for k, v in batch.items() if k not in TARGETS}, target
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        return batch[0], batch[1]
    if isinstance(batch, (tuple, list)) and len(batch) == 1:
        return split(batch[0])
    if isinstance(batch, Tensor):
        return batch, None
    kind, hint = type(batch).__name__, ""
    if isinstance(batch, (tuple, list)):
        kind = f"{kind} of {len(batch)} items"
        hint = (
            ". For more inputs or targets give dicts, "
            "{'name of the input': ..., 'labels': ...}, or nest them: "
            "((x1, x2), y) or (x, (y1, y2))"
        )
    raise TypeError(
        "a batch must be a pair (inputs, targets), a dict or a tensor, "
        f"not a {kind}{hint}"
    )


def apply(call: Callable, inputs: Any) -> Any:
    """Call a model on inputs: spread dicts and tuples, pass the rest.

    It is called on copies. A model whose first layer works in place would
    write into the caller's data, and the next call would find other data.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> x = torch.tensor([-1.0, 1.0])
        >>> apply(nn.ReLU(inplace=True), x), x
        (tensor([0., 1.]), tensor([-1.,  1.]))
    """
    if isinstance(inputs, Tensor):
        return call(inputs.clone())
    if isinstance(inputs, Mapping):  # of a kind that tree_map may not know
        inputs = dict(inputs)
    return spread(call, tree_map(_copy, inputs))


def spread(call: Callable, inputs: Any) -> Any:
    """As :func:`apply`, on the inputs themselves."""
    if isinstance(inputs, Mapping):
        return call(**inputs)
    if isinstance(inputs, (tuple, list)):
        return call(*inputs)
    return call(inputs)


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


def size(batch: Batch) -> int:
    """Number of samples: the length of the target.

    Where there is no target, or none of the inputs has an axis of its
    length, it is the length that most of the inputs share, or that of the
    first. Numbers without axes have no length.

    Example:
        >>> import torch
        >>> size((torch.zeros(12, 5, 2), torch.zeros(5)))
        5
        >>> size({"bag": torch.zeros(40), "x": torch.zeros(4, 2),
        ...       "label": torch.zeros(4)})
        4

    Raises:
        TypeError: there is no tensor.
    """
    shapes = [t.shape for t in tensors(batch) if t.ndim]
    try:
        inputs, target = split(batch)
    except TypeError:
        inputs, target = batch, None
    known = {n for t in tensors(inputs) for n in t.shape[:2]}
    for tensor in tensors(target):
        if tensor.ndim and (len(tensor) in known or not known):
            return len(tensor)
    lengths = [len(t) for t in tensors(inputs) if t.ndim]
    if lengths:
        return max(lengths, key=lengths.count)  # the first of the most
    if not shapes and next(tensors(batch), None) is None:
        raise TypeError("the batch holds no tensor, so it has no size")
    return shapes[0][0] if shapes else 1


def sliced(batch: Batch) -> bool:
    """Whether axis 0 is the samples, as far as inputs and target tell.

    Only then can a batch be cut into smaller ones.

    Example:
        >>> import torch
        >>> sliced((torch.zeros(12, 5, 2), torch.zeros(5)))
        False
    """
    first, second = _ends(batch)
    return first is None or second in (None, 1, first)


def check_sliced(batch: Batch, why: str) -> None:
    """Refuse to cut a batch whose axis 0 is not the samples.

    Args:
        batch: the batch.
        why: what asks for the cut, for the message.

    Raises:
        ValueError: inputs and target differ along axis 0.
    """
    if not sliced(batch):
        first, second = _ends(batch)
        raise ValueError(
            f"{why} cuts the data along axis 0, and axis 0 of the inputs "
            f"({first}) is not the batch ({second}): put the batch first "
            "(recurrent layers: batch_first=True, and x.transpose(0, 1)), "
            "or cut the data yourself"
        )


def _ends(batch: Batch) -> tuple[int | None, int | None]:
    """Lengths along axis 0 of the first input and of the target."""
    pair = isinstance(batch, (tuple, list)) and len(batch) == 2
    if not pair and not isinstance(batch, Mapping):
        return None, None
    inputs, target = split(batch)
    first = next(tensors(inputs), None)
    lengths = [
        len(t) if isinstance(t, Tensor) and t.ndim else None
        for t in (first, target)
    ]
    return lengths[0], lengths[1]
