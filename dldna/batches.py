"""What a batch is, and how a model and a loss meet it.

A batch is a pair ``(inputs, targets)``, a dict, or a bare tensor. The one
convention that all rooms share:

- pair: ``model(inputs)``; the target is the second item. ``inputs`` that
  are themselves a tuple are spread: ``model(*inputs)``.
- dict: ``model(**batch)`` without the keys of the target (``labels``,
  ``label``, ``targets``, ``target``, ``y``).
- bare tensor: ``model(batch)``; no target.

A loss from ``torch.nn`` or ``torch.nn.functional`` is called as
``loss(output, target)``. Your own callable is called as
``loss(output, batch)``, or as ``loss(output, target)`` when its second
parameter bears one of the target's names.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

Batch = Any
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
    if isinstance(batch, Tensor):
        return batch, None
    raise TypeError(
        "a batch must be a pair (inputs, targets), a dict or a tensor, "
        f"not {type(batch).__name__}"
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
    """Number of samples: the length of the first tensor found.

    Example:
        >>> size((torch.zeros(5, 2), torch.zeros(5)))
        5
    """
    for tensor in tensors(batch):
        return len(tensor) if tensor.ndim else 1
    raise TypeError("the batch holds no tensor, so it has no size")


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
    """Turn any loss into ``f(output, batch) -> scalar tensor``.

    Args:
        loss_fn: a torch loss, or a callable after this module's rules.

    Returns:
        A callable of output and whole batch.

    Raises:
        TypeError: ``loss_fn`` cannot be called.

    Example:
        >>> f = loss_caller(nn.MSELoss())
        >>> f(torch.tensor([1.0]), (None, torch.tensor([3.0])))
        tensor(4.)
    """
    if not callable(loss_fn):
        raise TypeError(f"the loss must be callable, not {loss_fn!r}")
    if _wants_target(loss_fn):
        return lambda output, batch: loss_fn(output, split(batch)[1])
    return loss_fn


def _wants_target(loss_fn: Callable) -> bool:
    home = type(loss_fn) if isinstance(loss_fn, nn.Module) else loss_fn
    if (getattr(home, "__module__", "") or "").startswith("torch.nn"):
        return True
    call = loss_fn.forward if isinstance(loss_fn, nn.Module) else loss_fn
    try:
        names = list(inspect.signature(call).parameters)
    except (TypeError, ValueError):  # builtins tell nothing: torch's own
        return True
    return len(names) > 1 and names[1] in TARGETS


def held(data: Any, limit: int | None = None) -> list[Batch]:
    """Bring data into memory as a list of batches.

    Args:
        data: an iterable of batches (a loader), one batch (a pair of
            tensors, a dict of tensors), or one tensor.
        limit: stop after this many samples (the last batch is cut).

    Returns:
        The batches, in order.

    Raises:
        ValueError: there is not a single sample.

    Example:
        >>> [size(b) for b in held((torch.zeros(5, 2), torch.zeros(5)), 3)]
        [3]
    """
    batches, seen = [], 0
    for batch in _iterate(data):
        room = None if limit is None else limit - seen
        if room is not None and room <= 0:
            break
        if room is not None and size(batch) > room:
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


def _iterate(data: Any) -> Iterable[Batch]:
    if isinstance(data, (Tensor, Mapping)):
        return [data]
    pair = isinstance(data, (tuple, list)) and len(data) == 2
    if pair and isinstance(data[1], Tensor):
        return [tuple(data)]
    if isinstance(data, torch.utils.data.Dataset):
        raise TypeError(
            "give a DataLoader over this data set, or its tensors, "
            "not the data set itself"
        )
    return data
