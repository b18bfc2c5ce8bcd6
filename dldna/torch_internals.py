"""What torch keeps private and this package needs: imported here alone.

Where a release of torch moves one of these, this is the file to mend.
"""

import torch
from torch.nn.modules.batchnorm import _NormBase as Normalisation
from torch.nn.modules.conv import _ConvNd as Convolution
from torch.nn.modules.conv import _ConvTransposeNd as TransposedConvolution
from torch.nn.modules.dropout import _DropoutNd as Dropout
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten
from torch.utils.weak import WeakTensorKeyDictionary

foreach_add_ = torch._foreach_add_
foreach_copy_ = torch._foreach_copy_
fused_weight_norm = torch._weight_norm

__all__ = [
    "Convolution",
    "Dropout",
    "Normalisation",
    "TorchDispatchMode",
    "TransposedConvolution",
    "WeakTensorKeyDictionary",
    "foreach_add_",
    "foreach_copy_",
    "fused_weight_norm",
    "tree_flatten",
    "tree_map",
    "tree_unflatten",
]
