"""What a batch is, and how a model and a loss meet it.

A batch is a pair ``(inputs, targets)``, a dict, or a bare tensor. The one
convention that all rooms share:

- pair: ``model(inputs)``; the target is the second item. ``inputs`` that
  are themselves a tuple are spread: ``model(*inputs)``. A list of two
  tensors is a pair, too: ``[x1, x2]`` is inputs and target, not two
  batches.
- dict: ``model(**batch)`` without the keys of the target (``labels``,
  ``label``, ``targets``, ``target``, ``y``).
- bare tensor: ``model(batch)``; no target. A tuple or list of one item is
  that item.

The samples of a batch lie along axis 0 of its tensors. NumPy arrays become
tensors of their own type.

A loss from ``torch.nn`` or ``torch.nn.functional`` is called as
``loss(output, target)``. Your own callable is called as
``loss(output, batch)``, or as ``loss(output, target)`` when its second
parameter bears one of the names of a target (``TARGETS`` or
``PARAMETERS``). It returns one number: a tensor or a plain number.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from dldna.checks import count

Batch = Any
TARGETS = ("labels", "label", "targets", "target", "y")
# More names for the second parameter of a loss. They are no keys of a dict
# batch: there, "tgt" may well be an input of the model.
PARAMETERS = (
    "y_true",
    "y_target",
    "true",
    "truth",
    "true_labels",
    "labels_true",
    "ground_truth",
    "gt",
    "gold",
    "tgt",
    "trg",
    "expected",
)


ARRAYS = (Tensor, np.ndarray)


class Held(list):
    """Batches in memory, so that :func:`held` takes them as they are."""


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


def tensors(batch: Batch) -> Iterator[Tensor]:
    """All tensors in a batch, in order."""
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, Mapping):
        for value in batch.values():
            yield from tensors(value)
    elif isinstance(batch, (tuple, list)):
        for value in batch:
            yield from tensors(value)


def to(batch: Batch, *args, **kwargs) -> Batch:
    """Move a batch; floating point tensors alone change dtype.

    Example:
        >>> [t.dtype for t in to((torch.ones(1), torch.tensor([1])), \
torch.float64)]
        [torch.float64, torch.int64]
    """
    if isinstance(batch, Tensor):
        if not batch.is_floating_point():
            args = [a for a in args if not isinstance(a, torch.dtype)]
            kwargs = {k: v for k, v in kwargs.items() if k != "dtype"}
        return batch.to(*args, **kwargs) if args or kwargs else batch
    if isinstance(batch, Mapping):
        return {k: to(v, *args, **kwargs) for k, v in batch.items()}
    if isinstance(batch, (tuple, list)):
        return tuple(to(v, *args, **kwargs) for v in batch)
    return batch


def loss_caller(loss_fn: Callable) -> Callable[[Any, Batch], Tensor]:
    """Turn any loss into ``f(output, batch) -> tensor``.

    Args:
        loss_fn: a torch loss, or a callable after this module's rules.

    Returns:
        A callable of output and whole batch.

    Raises:
        TypeError: ``loss_fn`` cannot be called, or is a class.

    Example:
        >>> f = loss_caller(nn.MSELoss())
        >>> f(torch.tensor([1.0]), (None, torch.tensor([3.0])))
        tensor(4.)
    """
    if not callable(loss_fn):
        said = repr(loss_fn)
        if len(said) > 60:
            said = f"a {type(loss_fn).__name__}"
        raise TypeError(f"the loss must be callable, not {said}")
    if isinstance(loss_fn, type):
        name = loss_fn.__name__
        raise TypeError(
            f"the loss is the class {name}; give one made of it: {name}()"
        )
    if wants_target(loss_fn):
        return lambda output, batch: _number(loss_fn(output, split(batch)[1]))

    def call(output: Any, batch: Batch) -> Tensor:
        try:
            return _number(loss_fn(output, batch))
        except (TypeError, AttributeError) as error:
            about = (type(batch).__name__, "positional argument")
            if not any(word in str(error) for word in about):
                raise
            raise TypeError(
                f"{error}. If the loss wants the target alone: a loss of "
                "your own is called as loss(output, batch), unless its "
                "second parameter is named 'target', or one of "
                f"{', '.join(TARGETS + PARAMETERS)}"
            ) from error

    return call


def _number(loss: Any) -> Tensor:
    """The loss as a tensor."""
    if isinstance(loss, Tensor):
        return loss
    if isinstance(loss, (int, float, np.number)):
        return torch.tensor(float(loss), dtype=torch.float64)
    hint = ": does it lack 'return'?" if loss is None else ""
    raise TypeError(
        "the loss must return a tensor or a number, not "
        f"{type(loss).__name__}{hint}"
    )


def wants_target(loss_fn: Callable) -> bool:
    """Whether a loss is called with the target, not the whole batch.

    Example:
        >>> wants_target(nn.MSELoss()), wants_target(lambda out, batch: 0)
        (True, False)
    """
    home = type(loss_fn) if isinstance(loss_fn, nn.Module) else loss_fn
    if (getattr(home, "__module__", "") or "").startswith("torch.nn"):
        return True
    call = loss_fn.forward if isinstance(loss_fn, nn.Module) else loss_fn
    try:
        names = list(inspect.signature(call).parameters)
    except (TypeError, ValueError):  # builtins tell nothing: torch's own
        return True
    return len(names) > 1 and names[1] in TARGETS + PARAMETERS


def held(data: Any, limit: int | None = None) -> list[Batch]:
    """Bring data into memory as a list of batches.

    Args:
        data: an iterable of batches (a loader), one batch, or one tensor.
            One batch is a pair of tensors, a dict of tensors, or a pair
            of a tensor and several targets of its length. A list of two
            tensors is a pair. NumPy arrays do, too.
        limit: stop after this many samples (the last batch is cut).

    Returns:
        The batches, in order.

    Raises:
        TypeError: these are no data.
        ValueError: there is not a single sample, or ``limit`` is no whole
            number or cuts a batch whose axis 0 is not the samples.

    Example:
        >>> [size(b) for b in held((torch.zeros(5, 2), torch.zeros(5)), 3)]
        [3]
    """
    if limit is not None:
        limit = count("limit", limit)
    batches, seen = Held(), 0
    for item in _iterate(data):
        batch = _plain(item)
        room = None if limit is None else limit - seen
        if room is not None and room <= 0:
            break
        if room is not None and size(batch) > room:
            check_sliced(batch, f"limit={limit}")
            batch = cut(batch, 0, room)
        batches.append(batch)
        seen += size(batch)
    if seen == 0:
        raise ValueError("the data are empty: not a single sample")
    return batches


def cut(batch: Batch, start: int, stop: int) -> Batch:
    """Samples ``start`` to ``stop`` of a batch."""
    if isinstance(batch, Tensor):
        return batch[start:stop] if batch.ndim else batch
    if isinstance(batch, Mapping):
        return {k: cut(v, start, stop) for k, v in batch.items()}
    if isinstance(batch, (tuple, list)):
        return tuple(cut(v, start, stop) for v in batch)
    return batch


def select(batch: Batch, index: Tensor) -> Batch:
    """Some samples of a batch, in the order of their numbers.

    Example:
        >>> select((torch.arange(4), torch.arange(4)), torch.tensor([2, 0]))
        (tensor([2, 0]), tensor([2, 0]))
    """
    if isinstance(batch, Tensor):
        return batch[index.to(batch.device)] if batch.ndim else batch
    if isinstance(batch, Mapping):
        return {k: select(v, index) for k, v in batch.items()}
    if isinstance(batch, (tuple, list)):
        return tuple(select(v, index) for v in batch)
    return batch


def join(group: list[Any]) -> Any:
    """Some batches of the same make as one.

    Example:
        >>> join([(torch.ones(1), 2 * torch.ones(1))] * 2)
        (tensor([1., 1.]), tensor([2., 2.]))
    """
    first = group[0]
    if isinstance(first, Tensor):
        return torch.cat(group)
    if isinstance(first, Mapping):
        return {k: join([b[k] for b in group]) for k in first}
    if isinstance(first, (tuple, list)):
        return tuple(map(join, zip(*group, strict=True)))
    raise TypeError(f"cannot join {type(first).__name__}")


def _iterate(data: Any) -> Iterable[Batch]:
    if isinstance(data, Held):
        return data
    if isinstance(data, (*ARRAYS, Mapping)):
        return [data]
    pair = isinstance(data, (tuple, list)) and len(data) == 2
    if pair and (isinstance(data[1], ARRAYS) or _several_targets(*data)):
        return [tuple(data)]
    if isinstance(data, torch.utils.data.Dataset):
        raise TypeError(
            "give a DataLoader over this data set, or its tensors, "
            "not the data set itself"
        )
    if isinstance(data, (str, bytes)) or not isinstance(data, Iterable):
        what = "None" if data is None else f"a {type(data).__name__}"
        raise TypeError(
            "the data must be a loader, a pair of tensors (inputs, targets), "
            f"a dict of tensors or one tensor, not {what}"
        )
    return data


def _several_targets(inputs: Any, targets: Any) -> bool:
    """Whether these are one tensor and several targets for it."""
    if not isinstance(inputs, ARRAYS) or not inputs.ndim:
        return False
    if isinstance(targets, Mapping):
        targets = list(targets.values())
    return (
        isinstance(targets, (tuple, list))
        and len(targets) > 0
        and all(
            isinstance(t, ARRAYS) and t.ndim and len(t) == len(inputs)
            for t in targets
        )
    )


def _plain(batch: Batch) -> Batch:
    """Arrays as tensors, and what a batch of one item holds."""
    if isinstance(batch, (tuple, list)) and len(batch) == 1:
        return _plain(batch[0])
    return _as_tensors(batch) if _has_array(batch) else batch


def _has_array(batch: Any) -> bool:
    if isinstance(batch, Mapping):
        batch = list(batch.values())
    if isinstance(batch, (tuple, list)):
        return any(_has_array(item) for item in batch)
    return isinstance(batch, np.ndarray)


def _as_tensors(batch: Any) -> Any:
    if isinstance(batch, Mapping):
        return {k: _as_tensors(v) for k, v in batch.items()}
    if isinstance(batch, (tuple, list)):
        return tuple(_as_tensors(v) for v in batch)
    if not isinstance(batch, np.ndarray):
        return batch
    try:
        return torch.as_tensor(np.require(batch, requirements="CW"))
    except TypeError as error:
        raise TypeError(
            f"an array of type {batch.dtype} cannot become a tensor: give "
            "numbers, as by array.astype('float32')"
        ) from error
