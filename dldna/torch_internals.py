"""What torch keeps private and this package needs: imported here alone.

Where a release of torch moves one of these, this is the file to mend.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

import torch
from torch.nn.modules.batchnorm import _NormBase as Normalisation
from torch.nn.modules.conv import _ConvNd as Convolution
from torch.nn.modules.conv import _ConvTransposeNd as TransposedConvolution
from torch.nn.modules.dropout import _DropoutNd as Dropout
from torch.nn.utils import parametrize
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten
from torch.utils.weak import WeakTensorKeyDictionary

foreach_add_ = torch._foreach_add_
foreach_copy_ = torch._foreach_copy_
fused_weight_norm = torch._weight_norm
onednn_linear = (  # torch gives oneDNN the products of half precision alone
    getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    if torch.backends.mkldnn.is_available()
    else None
)
_ONE_THREAD = RLock()  # switches of the whole process are put back in turn


@contextmanager
def fast_paths_off() -> Iterator[None]:
    """Transformer encoders run by operations that torch can map."""
    with _ONE_THREAD:
        before = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(before)


@contextmanager
def without_fallback() -> Iterator[None]:
    """What vmap would run point by point is an error."""
    functorch = torch._C._functorch
    with _ONE_THREAD:
        before = functorch._is_vmap_fallback_enabled()
        functorch._set_vmap_fallback_enabled(False)
        try:
            yield
        finally:
            functorch._set_vmap_fallback_enabled(before)


@contextmanager
def fresh_weights() -> Iterator[None]:
    """Parametrized weights are computed anew, also inside ``cached()``."""
    if not parametrize._cache_enabled:
        yield
        return
    with _ONE_THREAD:
        before = parametrize._cache_enabled, parametrize._cache
        parametrize._cache_enabled, parametrize._cache = 0, {}
        try:
            yield
        finally:
            parametrize._cache_enabled, parametrize._cache = before


__all__ = [
    "Convolution",
    "Dropout",
    "Normalisation",
    "TorchDispatchMode",
    "TorchFunctionMode",
    "TransposedConvolution",
    "WeakTensorKeyDictionary",
    "fast_paths_off",
    "foreach_add_",
    "foreach_copy_",
    "fresh_weights",
    "fused_weight_norm",
    "onednn_linear",
    "tree_flatten",
    "tree_map",
    "tree_unflatten",
    "without_fallback",
]
