"""SOAP: Adam in the eigenbasis of Shampoo's preconditioners."""

from typing import Any

import torch
from torch import Tensor

from dldna import checks
from dldna.optim.ops import Hyper, State, decay, ema, wide
from dldna.optim.rule import register
from dldna.optim.shampoo import along, unfold
from dldna.optim.shell import RuleOptimizer


def soap(
    w: Tensor,
    g: Tensor,
    state: State,
    t: int,
    *,
    lr: Hyper = 3e-3,
    betas: tuple[Hyper, Hyper] = (0.95, 0.95),
    eps: Hyper = 1e-8,
    weight_decay: Hyper = 1e-2,
    precondition_frequency: int = 10,
    max_precondition_dim: int = 10_000,
) -> tuple[Tensor, State]:
    r"""Rotate the gradient, step as Adam, rotate back.

    .. math::
        G' = Q_L^\top G\, Q_R, \qquad
        v_t = \beta_2 v_{t-1} + (1 - \beta_2) G'^2, \qquad
        W_t = W_{t-1} - \eta\, Q_L \frac{Q_L^\top m_t Q_R / c_1}
              {\sqrt{v_t / c_2} + \epsilon} Q_R^\top

    ``m`` averages the gradient itself. :math:`Q_L, Q_R` are eigenvectors
    of the averages ``L0, L1`` of :math:`G G^\top` and :math:`G^\top G`.
    The first step only finds them, so ``t - 1`` counts the updates. Of
    weights in half precision all state is float32.
    """
    b1, b2 = betas
    g = wide(g)
    bases = {k: Q for k, Q in state.items() if k[0] == "Q"}
    sums = {
        k: ema(L, unfold(g, int(k[1:])) @ unfold(g, int(k[1:])).mT, b2)
        for k, L in state.items()
        if k[0] == "L"
    }
    if t == 1:
        bases = {f"Q{k[1:]}": eigenbasis(L) for k, L in sums.items()}
        return w.clone(), {**state, **sums, **bases}
    m = ema(state["m"], g, b1)
    v = ema(state["v"], rotate(bases, g) ** 2, b2)
    c1, c2 = 1 - b1 ** (t - 1), 1 - b2 ** (t - 1)
    u = rotate(bases, m) / (v.sqrt() + eps)
    step = lr * c2**0.5 / c1 * rotate(bases, u, back=True)
    w = w - step.to(w.dtype)
    w = decay(w, lr * weight_decay)
    if (t - 1) % precondition_frequency == 0:
        for k, Q in bases.items():
            bases[k], v = refresh(sums[f"L{k[1:]}"], Q, v, int(k[1:]))
    return w, {"m": m, "v": v, **sums, **bases}


def rotate(bases: State, x: Tensor, back: bool = False) -> Tensor:
    """Turn a tensor into the eigenbasis of each axis, or out of it."""
    for k, Q in bases.items():
        x = along(Q if back else Q.mT, x, int(k[1:]))
    return x


def eigenbasis(L: Tensor) -> Tensor:
    """Eigenvectors in columns, those of the largest eigenvalues first."""
    return torch.linalg.eigh(L)[1].flip(1)


def refresh(
    L: Tensor, Q: Tensor, v: Tensor, axis: int
) -> tuple[Tensor, Tensor]:
    """One power iteration towards the eigenvectors of ``L``.

    Columns are sorted anew by their eigenvalue, and ``v`` with them.
    """
    LQ = L @ Q
    order = (Q * LQ).sum(0).argsort(descending=True, stable=True)
    shape = [-1 if i == axis else 1 for i in range(v.dim())]
    v = torch.take_along_dim(v, order.reshape(shape), dim=axis)
    LQ = torch.take_along_dim(LQ, order[None], dim=1)
    return torch.linalg.qr(LQ)[0], v


def init_soap(
    w: Tensor, *, max_precondition_dim: int = 10_000, **_: Any
) -> State:
    """Moments, and ``L``, ``Q`` for each axis of a matrix or more."""
    w = wide(w)
    state = {"m": torch.zeros_like(w), "v": torch.zeros_like(w)}
    for i, n in enumerate(w.shape):
        if w.dim() > 1 and n <= max_precondition_dim:
            state[f"L{i}"] = w.new_zeros(n, n)
            state[f"Q{i}"] = w.new_zeros(n, n)
    return state


class SOAP(RuleOptimizer):
    r"""SOAP. Rule: :func:`soap`.

    A vector, and an axis longer than ``max_precondition_dim``, is not
    rotated. Nothing moves on the first step.

    Args:
        params: parameters, or dicts of them with their own settings.
        lr: learning rate :math:`\eta`.
        betas: decay rates of ``m`` and of ``v, L0, L1``, each in [0, 1).
        eps: :math:`\epsilon`, beside the root of the uncorrected ``v``.
        weight_decay: :math:`\lambda`, decoupled, after the step.
        precondition_frequency: steps between two refreshed bases.
        max_precondition_dim: longest axis that gets a basis.
        maximize: climb instead of descending.

    Example:
        >>> w = torch.nn.Parameter(torch.zeros(2, 2))
        >>> optimizer = SOAP([w], lr=0.25)
        >>> w.grad = torch.diag(torch.tensor([100.0, 5.0]))
        >>> optimizer.step(); optimizer.step()
        >>> [round(x, 4) for x in w.diag().tolist()]
        [-0.2494, -0.2494]

    References:
        Vyas, et al., 2025, ICLR, arXiv 2409.11321.
    """

    rule = register(
        soap,
        init_soap,
        "matrix",
        precondition_frequency=checks.count,
        max_precondition_dim=checks.count,
    )
