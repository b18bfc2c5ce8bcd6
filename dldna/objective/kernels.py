"""Plain operations where torch's fused ones have no second derivative."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from dldna.torch_internals import fused_weight_norm


class _PlainWeightNorm(TorchFunctionMode):
    """Weight norm in plain operations: the second derivative of torch's own
    kernel is wrong (2.13, about a tenth of the product)."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is fused_weight_norm:
            return _weight_norm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    axes = [i for i in range(v.ndim) if dim == -1 or i != dim % v.ndim]
    return v * (g / torch.linalg.vector_norm(v, dim=axes, keepdim=True))


@contextmanager
def plain_kernels() -> Iterator[None]:
    """Plain operations where fused kernels lack second derivatives."""
    with sdpa_kernel(SDPBackend.MATH), _PlainWeightNorm():
        yield
