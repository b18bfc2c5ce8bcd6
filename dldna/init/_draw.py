"""Random numbers for weights, from a generator that is always ours.

Without a generator the numbers come from one that belongs to this room
(seeded with 0 when the process starts). torch's global generator is never
read nor moved.
"""

import torch
from torch import Tensor

_OWN = torch.Generator().manual_seed(0)


def check_weight(tensor: Tensor, axes: int = 2) -> Tensor:
    """Refuse what cannot hold a weight."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"expected a tensor, not {type(tensor).__name__}")
    if not tensor.is_floating_point():
        raise TypeError(
            f"weights must be floating point, not {tensor.dtype}; "
            "convert first, for example with .float()"
        )
    if tensor.ndim < axes or 0 in tensor.shape:
        raise ValueError(
            f"expected a weight with at least {axes} non-empty axes, "
            f"not shape {tuple(tensor.shape)}"
        )
    return tensor


def normal_(
    tensor: Tensor, std: float, generator: torch.Generator | None
) -> Tensor:
    """Fill with N(0, std^2), in place."""
    with torch.no_grad():
        home = generator or _OWN
        if home.device == tensor.device:
            return tensor.normal_(0.0, std, generator=home)
        away = torch.empty(
            tensor.shape, dtype=tensor.dtype, device=home.device
        )
        return tensor.copy_(away.normal_(0.0, std, generator=home))


def uniform_(
    tensor: Tensor, bound: float, generator: torch.Generator | None
) -> Tensor:
    """Fill with U(-bound, bound), in place."""
    with torch.no_grad():
        home = generator or _OWN
        if home.device == tensor.device:
            return tensor.uniform_(-bound, bound, generator=home)
        away = torch.empty(
            tensor.shape, dtype=tensor.dtype, device=home.device
        )
        return tensor.copy_(away.uniform_(-bound, bound, generator=home))


def make_generator(
    seed: int, generator: torch.Generator | None
) -> torch.Generator:
    """The generator given, else a new one from the seed (CPU)."""
    if generator is None:
        return torch.Generator().manual_seed(seed)
    if not isinstance(generator, torch.Generator):
        raise TypeError(
            "generator must be a torch.Generator, "
            f"not {type(generator).__name__}; for a number use seed="
        )
    return generator
