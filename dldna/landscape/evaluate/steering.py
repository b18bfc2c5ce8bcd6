"""Numbers that steer a run: Python asks for them, or a shape depends on them.

Whole numbers and truth values can be compared with the record at each point:
where they are others, the record does not hold, and the slow way is asked.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dldna.torch_internals import tree_flatten

aten = torch.ops.aten
VALUES = torch.Tag.data_dependent_output
SHAPES = torch.Tag.dynamic_output_shape
# which argument the shape depends on, where it is not all of them
INDEXED = {
    aten.index.Tensor: 1, aten.masked_select.default: 1,
    aten.index_put.default: 1, aten.index_put_.default: 1,
}  # fmt: skip
# what raises an error, and gives nothing
CHECKS = {
    aten._linalg_check_errors.default, aten._assert_async.default,
    aten._assert_async.msg,
}  # fmt: skip
PUT = {aten.index_put.default, aten.index_put_.default}


def steering(func: Any, args: tuple) -> list[Tensor]:
    """The arguments whose numbers decide what Python gets, or a shape."""
    shaping = SHAPES in func.tags or "_to_sparse" in func._schema.name
    if func in PUT:
        shaping = args[2].numel() != 1
    if not (shaping or asks(func)):
        return []
    if func not in INDEXED:
        return _tensors(args)
    found = _tensors(args[INDEXED[func]])
    return [t for t in found if t.dtype in (torch.bool, torch.uint8)]


def asks(func: Any) -> bool:
    """Whether Python gets numbers, or an error, and no tensor."""
    return VALUES in func.tags or func in CHECKS


def lost(reason: str) -> Tensor:
    """A number that is not known at another point; it is never asked for."""
    raise RuntimeError(reason)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """As torch's, of which only whether it fits is asked for."""
    fits = num_classes > 0 and tensor.numel() > 0
    if not (fits and _below(tensor, num_classes)):
        return F.one_hot(tensor, num_classes)
    classes = torch.arange(num_classes, device=tensor.device)
    return (tensor.unsqueeze(-1) == classes).long()


def bincount(
    input: Tensor, weights: Tensor | None = None, minlength: int = 0
) -> Tensor:
    """As torch's, of which only whether it fits is asked for."""
    if not (input.numel() and _below(input, minlength)):
        return torch.bincount(input, weights, minlength)
    if weights is None:
        weights = torch.ones_like(input, dtype=torch.int64)
    elif weights.dtype != torch.float32:
        weights = weights.double()
    made = torch.zeros(minlength, dtype=weights.dtype, device=input.device)
    return made.scatter_add(0, input.long(), weights)


def allclose(*args: Any, **kwargs: Any) -> bool:
    """As torch's, with one truth value that is asked for."""
    return bool(torch.isclose(*args, **kwargs).all())


def equal(input: Tensor, other: Tensor) -> bool:
    """As torch's, with one truth value that is asked for."""
    return input.shape == other.shape and bool((input == other).all())


def _below(tensor: Tensor, n: int) -> bool:
    return bool(((tensor >= 0) & (tensor < n)).all())


def _tensors(values: Any) -> list[Tensor]:
    return [t for t in tree_flatten(values)[0] if isinstance(t, Tensor)]


# torch's own functions that ask for more than they need
ASKING = {
    F.one_hot: one_hot,
    torch.bincount: bincount,
    Tensor.bincount: bincount,
    torch.allclose: allclose,
    Tensor.allclose: allclose,
    torch.equal: equal,
    Tensor.equal: equal,
}
