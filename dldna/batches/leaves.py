"""What is done to every tensor of a batch alike: moved, cut, joined."""

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

Batch = Any


@dataclasses.dataclass(frozen=True, eq=False)
class Sized:
    """A batch whose number of samples the caller has said.

    Args:
        batch: the batch.
        n: its number of samples.
    """

    batch: Batch
    n: int


@dataclasses.dataclass(frozen=True, eq=False)
class Called:
    """Inputs that a model does not get by its plain call.

    Args:
        inputs: all that the call gets.
        call: ``f(model, inputs) -> output``.
    """

    inputs: Batch
    call: Callable[[Any, Batch], Any]


def inner(batch: Batch) -> Batch:
    """A batch as the caller gave it.

    Example:
        >>> inner(Sized({"bags": 1}, 40)), inner({"x": 1})
        ({'bags': 1}, {'x': 1})
    """
    if isinstance(batch, Sized):
        batch = batch.batch
    called = isinstance(batch, tuple) and isinstance(batch[0], Called)
    return (batch[0].inputs, *batch[1:]) if called else batch


def is_graph(batch: Batch) -> bool:
    """Whether this is an object that applies functions to its own tensors.

    Those of PyTorch Geometric (``Data``, ``Batch``, ``HeteroData``) do.
    """
    own = type(batch)
    return callable(getattr(own, "apply", None)) and callable(
        getattr(own, "to_dict", None)
    )


def is_whole(batch: Batch) -> bool:
    """Whether a model gets this as one argument, and nothing may cut it.

    Example:
        >>> from torch.nn.utils.rnn import pack_sequence
        >>> is_whole((1, 2)), is_whole(pack_sequence([torch.ones(2)]))
        (False, True)
    """
    if isinstance(batch, (Mapping, Tensor, Sized, Called)):
        return False
    record = dataclasses.is_dataclass(batch) and not isinstance(batch, type)
    return record or isinstance(batch, PackedSequence) or is_graph(batch)


def parts(batch: Batch) -> tuple[list[Any], Callable[[list], Batch]] | None:
    """What a container holds, and how it is made of other contents.

    Returns:
        The contents and the maker; None for what is no container.

    Example:
        >>> values, made = parts({"x": 1, "y": 2})
        >>> made([v + 1 for v in values])
        {'x': 2, 'y': 3}
    """
    if isinstance(batch, Mapping):
        return list(batch.values()), lambda v: dict(zip(batch, v, strict=True))
    if isinstance(batch, Sized):
        return [batch.batch], lambda v: Sized(v[0], batch.n)
    if isinstance(batch, Called):
        return [batch.inputs], lambda v: Called(v[0], batch.call)
    if isinstance(batch, PackedSequence):
        # the sizes of its steps stay on the CPU, whatever moves
        data, sizes, order, back = batch
        return [data, order, back], lambda v: PackedSequence(
            v[0], sizes, v[1], v[2]
        )
    if isinstance(batch, tuple):
        return list(batch), getattr(type(batch), "_make", tuple)
    if isinstance(batch, list):
        return list(batch), list
    if is_whole(batch) and not is_graph(batch):
        names = [f.name for f in dataclasses.fields(batch)]
        return [getattr(batch, k) for k in names], lambda v: _with(
            batch, dict(zip(names, v, strict=True))
        )
    return None


def _with(record: Any, fields: Mapping[str, Any]) -> Any:
    """A dataclass's copy with other values, its ``__init__`` not called."""
    made = copy.copy(record)
    for name, value in fields.items():
        object.__setattr__(made, name, value)
    return made


def each(call: Callable, batch: Batch, kind: type = Tensor) -> Batch:
    """A batch with ``call`` of each tensor (or other ``kind``) in it.

    Mappings become dicts; other containers keep their type; what is of no
    ``kind`` stays.

    Example:
        >>> each(torch.numel, {"x": torch.ones(3), "n": (torch.ones(2), 1)})
        {'x': 3, 'n': (2, 1)}
    """
    if isinstance(batch, kind):
        return call(batch)
    if is_graph(batch):
        return copy.copy(batch).apply(call) if kind is Tensor else batch
    found = parts(batch)
    if found is None:
        return batch
    values, made = found
    return made([each(call, v, kind) for v in values])


def tensors(batch: Batch, kind: type = Tensor) -> Iterator[Any]:
    """All tensors (or others of a ``kind``) in a batch, in order."""
    if isinstance(batch, kind):
        yield batch
        return
    held = batch.to_dict() if is_graph(batch) else batch
    for value in (parts(held) or ([], None))[0]:
        yield from tensors(value, kind)


def to(batch: Batch, *args, **kwargs) -> Batch:
    """Move a batch; floating point tensors alone change dtype.

    Example:
        >>> [t.dtype for t in to((torch.ones(1), torch.tensor([1])), \
torch.float64)]
        [torch.float64, torch.int64]
    """

    def move(tensor: Tensor) -> Tensor:
        where, how = args, kwargs
        if not tensor.is_floating_point():
            where = [a for a in args if not isinstance(a, torch.dtype)]
            how = {k: v for k, v in kwargs.items() if k != "dtype"}
        return tensor.to(*where, **how) if where or how else tensor

    return each(move, batch)


def cut(batch: Batch, start: int, stop: int) -> Batch:
    """Samples ``start`` to ``stop`` of a batch."""
    return each(lambda t: t[start:stop] if t.ndim else t, batch)


def select(batch: Batch, index: Tensor) -> Batch:
    """Some samples of a batch, in the order of their numbers.

    Example:
        >>> select((torch.arange(4), torch.arange(4)), torch.tensor([2, 0]))
        (tensor([2, 0]), tensor([2, 0]))
    """
    return each(lambda t: t[index.to(t.device)] if t.ndim else t, batch)


def join(group: Sequence[Batch], first: bool = False) -> Batch:
    """Some batches of the same make as one, along axis 0.

    Args:
        group: the batches.
        first: take the first batch's where there is no axis to join along,
            instead of refusing.

    Raises:
        TypeError, RuntimeError: there is no such axis.

    Example:
        >>> join([(torch.ones(1), 2 * torch.ones(1))] * 2)
        (tensor([1., 1.]), tensor([2., 2.]))
        >>> join([{"x": torch.ones(1), "scale": 3}] * 2, first=True)
        {'x': tensor([1., 1.]), 'scale': 3}
    """
    one = group[0]
    if isinstance(one, Tensor) and (one.ndim or not first):
        return torch.cat(list(group))
    known = isinstance(one, (Mapping, tuple, list)) and not is_whole(one)
    found = parts(one) if known else None
    if found is not None:
        if isinstance(one, Mapping):
            group = [[b[k] for k in one] for b in group]
        if len({len(b) for b in group}) > 1:
            raise TypeError("cannot join lists of several lengths")
        columns = zip(*group, strict=True)
        return found[1]([join(column, first) for column in columns])
    if first:
        return one
    raise TypeError(f"cannot join {type(one).__name__}")
