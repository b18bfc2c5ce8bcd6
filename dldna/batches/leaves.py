"""What is done to every tensor of a batch alike: moved, cut, joined."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Batch = Any


def each(call: Callable, batch: Batch, kind: type = Tensor) -> Batch:
    """A batch with ``call`` of each tensor (or other ``kind``) in it.

    Lists become tuples, mappings dicts; what is of no ``kind`` stays.

    Example:
        >>> each(torch.numel, {"x": torch.ones(3), "n": [torch.ones(2), 1]})
        {'x': 3, 'n': (2, 1)}
    """
    if isinstance(batch, kind):
        return call(batch)
    if isinstance(batch, Mapping):
        return {k: each(call, v, kind) for k, v in batch.items()}
    if isinstance(batch, (tuple, list)):
        return tuple(each(call, v, kind) for v in batch)
    return batch


def tensors(batch: Batch, kind: type = Tensor) -> Iterator[Any]:
    """All tensors (or others of a ``kind``) in a batch, in order."""
    if isinstance(batch, kind):
        yield batch
    elif isinstance(batch, Mapping):
        for value in batch.values():
            yield from tensors(value, kind)
    elif isinstance(batch, (tuple, list)):
        for value in batch:
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
    if isinstance(one, Mapping):
        return {k: join([b[k] for b in group], first) for k in one}
    if isinstance(one, (tuple, list)):
        parts = zip(*group, strict=True)
        return tuple(join(part, first) for part in parts)
    if first:
        return one
    raise TypeError(f"cannot join {type(one).__name__}")
