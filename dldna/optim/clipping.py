"""Gradient clipping: by norm, by value, and relative to the weights."""

from collections.abc import Iterable

import torch
from torch import Tensor

from dldna import checks


def by_norm(g: Tensor, norm: Tensor, *, c: float) -> Tensor:
    r"""Shorten, keeping the direction: :math:`g \min(1, c / |g|)`.

    ``norm`` is the length over all tensors; 1e-6 is added to it, as torch
    does.

    Example:
        >>> g = torch.tensor([3.0, 4.0], dtype=torch.float64)
        >>> [round(x, 8) for x in by_norm(g, g.norm(), c=1.0).tolist()]
        [0.59999988, 0.79999984]
    """
    return g * (c / (norm + 1e-6)).clamp(max=1)


def by_value(g: Tensor, *, c: float) -> Tensor:
    r"""Cut each entry to [-c, c]; the direction changes.

    Example:
        >>> by_value(torch.tensor([3.0, 0.5]), c=1.0)
        tensor([1.0000, 0.5000])
    """
    return g.clamp(-c, c)


def adaptive(
    w: Tensor, g: Tensor, *, c: float = 0.01, eps: float = 1e-3
) -> Tensor:
    r"""Shorten each unit's gradient relative to the unit's weights.

    .. math::
        g_i \min\!\left(1,
            \frac{c \max(|w_i|, \epsilon)}{|g_i|}\right)

    A unit is an index of the first axis (a row, a filter); a vector is one
    unit.

    Example:
        >>> w, g = torch.eye(2), torch.tensor([[5.0, 0.0], [0.0, 0.1]])
        >>> adaptive(w, g, c=0.5)
        tensor([[0.5000, 0.0000],
                [0.0000, 0.1000]])
    """
    most = c * unit_norm(w).clamp(min=eps)
    length = unit_norm(g)
    return torch.where(length > most, g * (most / length), g)


def unit_norm(x: Tensor) -> Tensor:
    """Norm of each unit, shaped to broadcast against ``x``."""
    if x.dim() < 2:
        return x.norm()
    axes = tuple(range(1, x.dim()))
    return torch.linalg.vector_norm(x, dim=axes, keepdim=True)


def clip_grad_norm(params: Iterable[Tensor], max_norm: float) -> Tensor:
    """Clip the gradients of parameters by their common norm, in place.

    Args:
        params: parameters; those without a gradient are passed over.
        max_norm: largest norm over all of them.

    Returns:
        The norm before clipping.

    Example:
        >>> w = torch.nn.Parameter(torch.zeros(2))
        >>> w.grad = torch.tensor([3.0, 4.0])
        >>> clip_grad_norm([w], 1.0)
        tensor(5.)
        >>> w.grad
        tensor([0.6000, 0.8000])

    References:
        Pascanu, Mikolov, Bengio, 2013, ICML, arXiv 1211.5063.
    """
    checks.positive("max_norm", max_norm)
    return torch.nn.utils.clip_grad_norm_(_list(params), max_norm)


def clip_grad_value(params: Iterable[Tensor], max_value: float) -> None:
    """Clip the gradients of parameters entry by entry, in place.

    Args:
        params: parameters; those without a gradient are passed over.
        max_value: largest magnitude of an entry.

    Example:
        >>> w = torch.nn.Parameter(torch.zeros(2))
        >>> w.grad = torch.tensor([3.0, -0.5])
        >>> clip_grad_value([w], 1.0)
        >>> w.grad
        tensor([ 1.0000, -0.5000])
    """
    checks.positive("max_value", max_value)
    torch.nn.utils.clip_grad_value_(_list(params), max_value)


@torch.no_grad()
def clip_grad_adaptive(
    params: Iterable[Tensor], clipping: float = 0.01, eps: float = 1e-3
) -> None:
    """Adaptive gradient clipping (AGC), in place.

    Args:
        params: parameters; those without a gradient are passed over.
        clipping: largest ratio of a unit's gradient to its weights.
        eps: floor of the norm of a unit's weights.

    Example:
        >>> w = torch.nn.Parameter(torch.eye(2))
        >>> w.grad = 5 * torch.eye(2)
        >>> clip_grad_adaptive([w], clipping=0.5)
        >>> w.grad
        tensor([[0.5000, 0.0000],
                [0.0000, 0.5000]])

    References:
        Brock, De, Smith, Simonyan, 2021, ICML, arXiv 2102.06171.
    """
    checks.positive("clipping", clipping)
    checks.positive("eps", eps)
    for p in _list(params):
        if p.grad is not None:
            p.grad.copy_(adaptive(p, p.grad, c=clipping, eps=eps))


def _list(params: Iterable[Tensor]) -> list[Tensor]:
    return [params] if isinstance(params, Tensor) else list(params)
