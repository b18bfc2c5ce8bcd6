"""NumPy's arrays and torch's tensors by one code, torch imported or not."""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Array = TypeVar("Array", np.ndarray, "Tensor")
"""An array of NumPy or a tensor; what comes back is of the same kind."""


def torch_if_imported() -> ModuleType | None:
    """The module torch, if something has imported it.

    Example:
        >>> import torch
        >>> torch_if_imported() is torch
        True
    """
    return sys.modules.get("torch")


def library(x: Array) -> ModuleType:
    """The module whose functions take ``x``: torch for tensors, or NumPy.

    Example:
        >>> library(np.ones(2)).__name__
        'numpy'
    """
    torch = torch_if_imported()
    return torch if torch and isinstance(x, torch.Tensor) else np
