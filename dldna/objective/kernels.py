"""Plain operations where torch's fused ones have no second derivative."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from dldna.torch_internals import fused_weight_norm


class _Instead(TorchFunctionMode):
    """Other functions in the place of some of torch's."""

    def __init__(self, others: dict[Callable, Callable]):
        super().__init__()
        self.others = others

    def __torch_function__(self, func, types, args=(), kwargs=None):
        func = self.others.get(func, func)
        return func(*args, **(kwargs or {}))


def weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    """Weight norm in plain operations."""
    axes = [i for i in range(v.ndim) if dim == -1 or i != dim % v.ndim]
    return v * (g / torch.linalg.vector_norm(v, dim=axes, keepdim=True))


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


def forward_kernels() -> _Instead:
    """A context: layer norm in plain operations.

    The forward derivative of torch's own forward derivative is wrong (2.13,
    some hundredths of the form).
    """
    return _Instead({F.layer_norm: _layer_norm, torch.layer_norm: _layer_norm})


@contextmanager
def plain_kernels() -> Iterator[None]:
    """Plain operations where fused kernels lack second derivatives.

    That of torch's own weight norm is wrong (2.13, about a tenth of the
    product).
    """
    plain = _Instead({fused_weight_norm: weight_norm})
    with sdpa_kernel(SDPBackend.MATH), plain:
        yield
