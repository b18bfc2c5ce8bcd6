"""Matrix products of layers, by the library that is faster for their size."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dldna.torch_internals import onednn_linear

MANY = 2**24  # multiplications from which oneDNN's product is faster


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``x W^T + b`` over the last axis, as ``F.linear``.

    In float32 torch asks the BLAS library it was built with, MKL say;
    oneDNN takes up to a third less time where the product is large. Its
    ReLU could be had in the same pass, but turns NaN into 0.

    Args:
        x: (..., inputs).
        weight: (outputs, inputs).
        bias: (outputs,), or None.

    Returns:
        (..., outputs).

    Example:
        >>> linear(torch.ones(1, 3), torch.ones(2, 3), torch.ones(2))
        tensor([[4., 4.]])
    """
    large = x.numel() * len(weight) >= MANY and x.device.type == "cpu"
    if large and x.dtype == torch.float32 and onednn_linear is not None:
        return onednn_linear(x, weight, bias, "none", [], "")
    return F.linear(x, weight, bias)
