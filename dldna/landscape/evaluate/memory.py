"""The memory of tensors: where it begins, what is shown, what is written."""

from typing import Any

import torch
from torch import Tensor

from dldna.torch_internals import tree_flatten


class Earlier:
    """What earlier runs of a model have left behind.

    Attributes:
        left: memory of what moved and is kept.
        alive: the tensors there.
        held: constants by their memory, each as a table and its key.
    """

    def __init__(self) -> None:
        self.left: set[int] = set()
        self.alive: list[Tensor] = []
        self.held: dict[int, list[tuple[dict, str]]] = {}

    def hold(self, constants: dict[str, Tensor]) -> None:
        """Note constants, so that nobody writes into them."""
        for name, tensor in constants.items():
            self.held.setdefault(home(tensor), []).append((constants, name))

    def let_go(self, at: int) -> None:
        """Copy the constants of memory that is about to be written to."""
        for constants, name in self.held.pop(at, ()):
            constants[name] = constants[name].clone()


def targets(func, args, kwargs) -> list[Tensor]:
    """The tensors that an operation writes to."""
    if not func._schema.is_mutable:
        return []
    found = []
    for i, wanted in enumerate(func._schema.arguments):
        if wanted.alias_info is not None and wanted.alias_info.is_write:
            given = args[i] if i < len(args) else kwargs.get(wanted.name)
            found += [
                t for t in tree_flatten(given)[0] if isinstance(t, Tensor)
            ]
    return found


def as_it_was(tensor: Tensor, size: Any, stride: Any, *offset: Any) -> bool:
    """Whether new strides differ only along axes of one number."""
    pairs = zip(tensor.shape, tensor.stride(), stride, strict=False)
    same = all(n == 1 or old == new for n, old, new in pairs)
    return same and list(tensor.shape) == list(size) and not offset


def home(tensor: Tensor) -> int:
    """Where its memory begins; sparse ones have none of their own."""
    if tensor.layout != torch.strided:
        return id(tensor)
    return tensor.untyped_storage().data_ptr() or id(tensor)


def shown(tensor: Tensor) -> tuple:
    """Its memory, and which numbers of it a tensor shows as what."""
    turned = tensor.is_conj(), tensor.is_neg()
    return home(tensor), place(tensor), tensor.dtype, turned


def place(tensor: Tensor) -> tuple:
    """Which numbers of its memory it shows, and how."""
    if tensor.layout != torch.strided:
        return ()
    where = tensor.storage_offset()
    return tuple(tensor.shape), tuple(tensor.stride()), where
