"""Plain operations where torch's fused ones have no second derivative."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional as F
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


class _PlainLayerNorm(TorchFunctionMode):
    """Layer norm in plain operations: the forward derivative of torch's own
    forward derivative is wrong (2.13, some hundredths of the form)."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in (F.layer_norm, torch.layer_norm):
            return _layer_norm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Tensor:
    axes = [*range(-len(normalized_shape), 0)]
    var, mean = torch.var_mean(input, axes, correction=0, keepdim=True)
    z = (input - mean) * (var + eps).rsqrt()
    z = z if weight is None else z * weight
    return z if bias is None else z + bias


@contextmanager
def forward_kernels() -> Iterator[None]:
    """Plain operations where the second *forward* derivative is wrong."""
    with _PlainLayerNorm():
        yield


@contextmanager
def plain_kernels() -> Iterator[None]:
    """Plain operations where fused kernels lack second derivatives."""
    with sdpa_kernel(SDPBackend.MATH), _PlainWeightNorm():
        yield
