"""Shampoo: a preconditioner for each axis of a tensor."""

from typing import Any

import torch
from torch import Tensor

from dldna import checks
from dldna.optim.ops import Hyper, State, l2, wide
from dldna.optim.rule import register
from dldna.optim.shell import RuleOptimizer


def shampoo(
    w: Tensor,
    g: Tensor,
    state: State,
    t: int,
    *,
    lr: Hyper = 0.1,
    eps: float = 1e-6,
    weight_decay: Hyper = 0.0,
    every: int = 1,
) -> tuple[Tensor, State]:
    r"""AdaGrad in matrices: whiten the gradient along every axis.

    .. math::
        L_t = L_{t-1} + G_t G_t^\top, \quad R_t = R_{t-1} + G_t^\top G_t,
        \quad W_t = W_{t-1} - \eta\, L_t^{-1/4} G_t R_t^{-1/4}

    from :math:`L_0 = R_0 = \epsilon I`. A tensor of ``k`` axes has ``k``
    such matrices ``L0, L1, ...`` with the exponent :math:`-1/2k`. Of
    weights in half precision they are float32.
    """
    g = U = wide(l2(w, g, weight_decay))
    new = {}
    for i in range(g.dim()):
        G = unfold(g, i)
        L = new[f"L{i}"] = state[f"L{i}"] + G @ G.mT
        if every == 1 or t % every == 1:
            P = inverse_root(L, 2 * g.dim(), eps)
        else:
            P = state[f"P{i}"]
        if every > 1:
            new[f"P{i}"] = P
        U = along(P, U, i)
    return w - (lr * U).to(w.dtype), new


def unfold(x: Tensor, axis: int) -> Tensor:
    """A tensor as a matrix with one row for each index of an axis.

    Example:
        >>> unfold(torch.zeros(2, 3, 4), 1).shape
        torch.Size([3, 8])
    """
    return x.movedim(axis, 0).flatten(1) if x.dim() > 1 else x[:, None]


def along(A: Tensor, x: Tensor, axis: int) -> Tensor:
    """Multiply a tensor by a matrix along one axis.

    Example:
        >>> along(torch.ones(5, 3), torch.zeros(2, 3, 4), 1).shape
        torch.Size([2, 5, 4])
    """
    return torch.tensordot(A, x, dims=([1], [axis])).movedim(0, axis)


def inverse_root(L: Tensor, p: int, floor: float = 0.0) -> Tensor:
    r""":math:`L^{-1/p}` of a symmetric positive definite matrix.

    ``floor`` is the least its eigenvalues can be; rounding may have left
    some below, or even negative.

    Example:
        >>> inverse_root(16 * torch.eye(2), 4)
        tensor([[0.5000, 0.0000],
                [0.0000, 0.5000]])
    """
    values, Q = torch.linalg.eigh(L)
    return (Q * values.clamp(min=floor) ** (-1 / p)) @ Q.mT


def init_shampoo(
    w: Tensor, *, eps: float = 1e-6, every: int = 1, **_: Any
) -> State:
    """``eps`` times the identity for every axis."""
    state = {}
    for i, n in enumerate(w.shape):
        eye = torch.eye(n, dtype=wide(w).dtype, device=w.device)
        state[f"L{i}"] = eps * eye
        if every > 1:
            state[f"P{i}"] = torch.zeros_like(eye)
    return state


class Shampoo(RuleOptimizer):
    r"""Shampoo. Rule: :func:`shampoo`.

    An axis of length n costs a matrix of n x n and, whenever roots are
    taken, an eigendecomposition of it.

    Args:
        params: parameters, or dicts of them with their own settings.
        lr: learning rate :math:`\eta`.
        eps: :math:`\epsilon`, the preconditioners' start.
        weight_decay: :math:`\lambda`, added to the gradient as
            :math:`\lambda w`.
        every: steps between two inverse roots; above 1 they are kept,
            which doubles the state.
        maximize: climb instead of descending.

    Example:
        >>> w = torch.nn.Parameter(torch.zeros(2, 2))
        >>> w.grad = torch.diag(torch.tensor([100.0, 5.0]))
        >>> Shampoo([w], lr=0.25, eps=1e-9).step()
        >>> [round(x, 4) for x in w.diag().tolist()]
        [-0.25, -0.25]

    References:
        Gupta, Koren, Singer, 2018, ICML, arXiv 1802.09568.
    """

    rule = register(
        shampoo,
        init_shampoo,
        "matrix",
        eps=checks.positive,
        every=checks.count,
    )
