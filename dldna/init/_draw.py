"""Random numbers for weights, from a generator that is always ours.

Without a generator the numbers come from one that belongs to this room
(seeded with 0 when the process starts). torch's global generator is never
read nor moved. Numbers are drawn in the order of the indices, whatever
the order in memory: a seed means the same start in every memory format.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from dldna import checks

_OWN = torch.Generator().manual_seed(0)
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def check_weight(tensor: Tensor, axes: int = 2) -> Tensor:
    """Refuse what cannot hold a weight."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"expected a tensor, not {type(tensor).__name__}")
    if not tensor.is_floating_point():
        raise TypeError(
            f"weights must be floating point, not {tensor.dtype}; "
            "convert first, for example with .float()"
        )
    if tensor.dtype not in DTYPES:
        raise TypeError(
            f"torch draws no random numbers in {tensor.dtype}; initialize "
            "in float32, then convert"
        )
    if tensor.is_meta:
        raise ValueError(
            "a tensor on the meta device has no numbers; give it memory "
            "first, a whole model by model.to_empty(device='cpu')"
        )
    if tensor.ndim < axes or 0 in tensor.shape:
        raise ValueError(
            f"expected a weight with at least {axes} non-empty axes, "
            f"not shape {tuple(tensor.shape)}"
        )
    return tensor


def check_generator(generator: torch.Generator | None) -> torch.Generator:
    """The generator given, else the room's own."""
    if generator is None:
        return _OWN
    if not isinstance(generator, torch.Generator):
        raise TypeError(
            "generator must be a torch.Generator, "
            f"not {type(generator).__name__}; for a number use "
            "torch.Generator().manual_seed(number)"
        )
    return generator


def normal_(
    tensor: Tensor, std: float, generator: torch.Generator | None
) -> Tensor:
    """Fill with N(0, std^2), in place."""
    home = check_generator(generator)
    return _fill(tensor, home, lambda t: t.normal_(0.0, std, generator=home))


def uniform_(
    tensor: Tensor, bound: float, generator: torch.Generator | None
) -> Tensor:
    """Fill with U(-bound, bound), in place."""
    home = check_generator(generator)
    return _fill(
        tensor, home, lambda t: t.uniform_(-bound, bound, generator=home)
    )


def _fill(
    tensor: Tensor, home: torch.Generator, draw: Callable[[Tensor], Tensor]
) -> Tensor:
    """Draw in place, or beside it where order or device differ."""
    with torch.no_grad():
        if home.device == tensor.device and tensor.is_contiguous():
            return draw(tensor)
        beside = torch.empty(
            tensor.shape, dtype=tensor.dtype, device=home.device
        )
        return tensor.copy_(draw(beside))


def make_generator(
    seed: int, generator: torch.Generator | None
) -> torch.Generator:
    """The generator given, else a new one from the seed (CPU)."""
    if generator is None:
        return torch.Generator().manual_seed(checks.whole("seed", seed))
    if not isinstance(generator, torch.Generator):
        raise TypeError(
            "generator must be a torch.Generator, "
            f"not {type(generator).__name__}; for a number use seed="
        )
    return generator
