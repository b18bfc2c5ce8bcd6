"""Data of any form as batches in memory."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dldna.batches.convention import check_sliced, size
from dldna.batches.leaves import (
    Batch,
    Sized,
    cut,
    each,
    inner,
    is_whole,
    tensors,
)
from dldna.checks import count

ARRAYS = (Tensor, np.ndarray)


class BatchList(list):
    """Batches in memory, so that :func:`held` takes them as they are.

    Attributes:
        cut: the ``limit`` that cut the last batch, and that batch as it
            was; None where no batch was cut.
    """

    cut: tuple[int, Batch] | None = None


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
    batches, seen = BatchList(), 0
    for item in _iterate(data):
        batch = _plain(item)
        room = None if limit is None else limit - seen
        if room is not None and room <= 0:
            break
        if room is not None and size(batch) > room:
            check_sliced(batch, f"limit={limit}")
            batch, batches.cut = cut(batch, 0, room), (limit, batch)
        batches.append(batch)
        seen += size(batch)
    if seen == 0:
        raise ValueError("the data are empty: not a single sample")
    return batches


class SizedBatches:
    """Data whose batches' numbers of samples the caller says.

    Args:
        data: as for :func:`held`.
        size: the number of samples of a batch.

    Raises:
        TypeError: ``size`` cannot be called.
        ValueError: it gave no whole number of 1 or more.

    Example:
        >>> bag = {"words": torch.arange(9), "offsets": torch.tensor([0, 4])}
        >>> data = SizedBatches(bag, lambda batch: len(batch["offsets"]))
        >>> [size(batch) for batch in data]
        [2]
    """

    def __init__(self, data: Any, size: Callable[[Batch], int]):
        if not callable(size):
            raise TypeError(
                "size must be a function, size=lambda batch: its number of "
                f"samples, not {size!r}"
            )
        self.data, self.size = data, size
        self.dataset = getattr(data, "dataset", None)
        self.name = getattr(data, "name", "")

    def __iter__(self) -> Iterator[Sized]:
        for batch in held_one_by_one(self.data):
            n = self.size(inner(batch))
            n = n.item() if isinstance(n, ARRAYS) else n
            yield Sized(inner(batch), count("the size of a batch", n))


def held_one_by_one(data: Any) -> Iterable[Batch]:
    """The batches of data of any form, arrays as tensors, none kept."""
    return (_plain(item) for item in _iterate(data))


def length(data: Any) -> int | None:
    """The number of batches, where it is known before one has counted.

    A DataLoader has ``__len__``, though its data set may have none.

    Example:
        >>> length([1, 2]), length(iter([1, 2]))
        (2, None)
    """
    try:
        return len(data)
    except TypeError:
        return None


def _iterate(data: Any) -> Iterable[Batch]:
    """The batches of data of any form, one after the other."""
    if isinstance(data, BatchList):
        return data
    if isinstance(data, (*ARRAYS, Mapping, Sized)) or is_whole(data):
        return [data]
    if hasattr(data, "_fields"):  # a named tuple is one batch
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
    if next(tensors(batch, np.ndarray), None) is None:
        return batch
    return each(_tensor, batch, np.ndarray)


def _tensor(array: np.ndarray) -> Tensor:
    try:
        return torch.as_tensor(
            np.require(array, requirements="CW"), device="cpu"
        )
    except TypeError as error:
        raise TypeError(
            f"an array of type {array.dtype} cannot become a tensor: give "
            "numbers, as by array.astype('float32')"
        ) from error
