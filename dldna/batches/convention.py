"""What a batch is, and how a model meets it."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from dldna.batches.leaves import (
    Batch,
    Called,
    Sized,
    each,
    is_graph,
    is_whole,
    tensors,
)

TARGETS = ("labels", "label", "targets", "target", "y")


def split(batch: Batch) -> tuple[Any, Any]:
    """Part a batch into inputs and target (None where there is none).

    Raises:
        TypeError: not a pair, a dict or a tensor.

    Example:
        >>> split({"x": 1, "labels": 2})
        ({'x': 1}, 2)
    """
    if isinstance(batch, Sized):
        return split(batch.batch)
    if isinstance(batch, Mapping):
        target = next((batch[k] for k in TARGETS if k in batch), None)
        return {k: v for k, v in batch.items() if k not in TARGETS}, target
    if is_whole(batch):
        found = (getattr(batch, k, None) for k in TARGETS)
        return batch, next((t for t in found if t is not None), None)
    names = [k for k in getattr(batch, "_fields", ()) if k in TARGETS]
    if names and len(batch) > 2:  # a named tuple says what is what
        rest = [k for k in batch._fields if k not in TARGETS]
        inputs = tuple(getattr(batch, k) for k in rest)
        return inputs, getattr(batch, names[0])
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
    return spread(call, each(Tensor.clone, inputs))


def spread(call: Callable, inputs: Any) -> Any:
    """As :func:`apply`, on the inputs themselves.

    A tuple or list is spread, unless the model takes fewer arguments and
    would take it as one (a list of images, say).

    Example:
        >>> spread(lambda a, b: a - b, (3, 1)), spread(lambda a: a[0], [3, 1])
        (2, 3)
    """
    if isinstance(inputs, Called):
        if not isinstance(call, nn.Module):
            raise TypeError("the model is not run by its plain call")
        return inputs.call(call, inputs.inputs)
    if isinstance(inputs, Tensor):
        return call(inputs)
    if isinstance(inputs, Mapping):
        return call(**inputs)
    if isinstance(inputs, (tuple, list)) and not is_whole(inputs):
        one = not _binds(call, inputs) and _binds(call, [inputs])
        return call(inputs) if one else call(*inputs)
    return call(inputs)


def signature_of(call: Callable) -> inspect.Signature:
    """As inspect's, which takes longer than a small network: kept for methods.

    Example:
        >>> list(signature_of(nn.Linear(1, 1).forward).parameters)
        ['input']
    """
    function = getattr(call, "__func__", None)
    return inspect.signature(call) if function is None else _bound(function)


@lru_cache(64)
def _bound(function: Callable) -> inspect.Signature:
    return inspect.signature(MethodType(function, object()))


def _binds(call: Callable, inputs: Sequence[Any]) -> bool:
    """Whether a call takes these as its arguments."""
    try:
        signature_of(getattr(call, "forward", call)).bind(*inputs)
    except TypeError:
        return False
    except ValueError:  # builtins tell nothing
        return True
    return True


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
    if isinstance(batch, Sized):
        return batch.n
    shapes = [t.shape for t in tensors(batch) if t.ndim]
    try:
        inputs, target = split(batch)
    except TypeError:
        inputs, target = batch, None
    if isinstance(inputs, Called):
        inputs = inputs.inputs
        if isinstance(inputs, (tuple, list)) and len(inputs) == 2:
            inputs, target = inputs
    if isinstance(inputs, PackedSequence):
        return int(inputs.batch_sizes[0])
    if _is_list(inputs, target):
        return len(inputs)
    known = {n for t in tensors(inputs) for n in t.shape[:2]}
    for tensor in tensors(target):
        if tensor.ndim and (len(tensor) in known or not known):
            return len(tensor)
    lengths = [len(t) for t in tensors(inputs) if t.ndim]
    if is_graph(inputs) or (is_whole(inputs) and len(set(lengths)) > 1):
        raise TypeError(
            f"how many samples does a {type(inputs).__name__} hold? Its "
            "target does not tell: give size=lambda batch: ..., the number "
            "that the mean loss of a batch stands for (of graphs, of nodes)"
        )
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
    if _hangs_together(batch):
        return False
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
    if _hangs_together(batch):
        raise ValueError(
            f"{why} cuts the data along axis 0, and what is in a "
            f"{_hangs_together(batch)} hangs together: give fewer batches, "
            "or smaller ones"
        )
    if not sliced(batch):
        first, second = _ends(batch)
        raise ValueError(
            f"{why} cuts the data along axis 0, and axis 0 of the inputs "
            f"({first}) is not the batch ({second}): put the batch first "
            "(recurrent layers: batch_first=True, and x.transpose(0, 1)), "
            "or cut the data yourself"
        )


def _hangs_together(batch: Batch) -> str:
    """The kind of what nobody may cut, in a batch; "" where there is none."""
    if isinstance(batch, Sized):
        batch = batch.batch
        return _hangs_together(batch) or type(batch).__name__
    pair = isinstance(batch, (tuple, list)) and len(batch) == 2
    if pair and isinstance(batch[0], Called):
        return _hangs_together(batch[0].inputs)
    inputs = batch[0] if pair and not is_whole(batch) else batch
    if pair and _is_list(*batch):
        return "list of samples"
    if is_whole(inputs):
        return type(inputs).__name__
    return next(filter(None, map(_without_rows, tensors(batch))), "")


def _without_rows(tensor: Tensor) -> str:
    """The kind of a tensor that torch cannot cut along axis 0, or ""."""
    if tensor.is_nested:
        return "nested tensor"
    return "" if tensor.layout == torch.strided else "sparse tensor"


def _is_list(inputs: Any, target: Any) -> bool:
    """Whether each sample has a tensor of its own, as images of many sizes."""
    several = isinstance(inputs, list) and isinstance(target, (list, Tensor))
    return several and _length(target) == len(inputs)


def _length(thing: Any) -> int | None:
    scalar = isinstance(thing, Tensor) and not thing.ndim
    return None if scalar else len(thing)


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
