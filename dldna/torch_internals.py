"""What torch keeps private and this package needs: imported here alone.

Where a release of torch moves one of these, this is the file to mend.
"""

import torch
from torch.nn.modules.batchnorm import _NormBase as Normalisation
from torch.nn.modules.conv import _ConvNd as Convolution
from torch.nn.modules.conv import _ConvTransposeNd as TransposedConvolution
from torch.nn.modules.dropout import _DropoutNd as Dropout
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

foreach_add_ = torch._foreach_add_
fused_weight_norm = torch._weight_norm

__all__ = [
    "Convolution",
    "Dropout",
    "Normalisation",
    "TorchDispatchMode",
    "TransposedConvolution",
    "foreach_add_",
    "fused_weight_norm",
    "tree_map",
]


def copy_all(homes: list[Tensor], values: list[Tensor]) -> None:
    """Write each value into its home, in a few calls in all.

    Example:
        >>> home = torch.zeros(2)
        >>> copy_all([home], [torch.ones(2)])
        >>> home
        tensor([1., 1.])
    """
    torch._foreach_copy_(homes, values)


def add_all(homes: list[Tensor], steps: list[Tensor], alpha: float) -> None:
    """Add alpha times its step to each home, in a few calls in all.

    Example:
        >>> home = torch.zeros(2)
        >>> add_all([home], [torch.ones(2)], alpha=3.0)
        >>> home
        tensor([3., 3.])
    """
    torch._foreach_add_(homes, steps, alpha=alpha)
