"""ADOPT: Adam that divides by the second moment of the steps before."""

from torch import Tensor

from dldna.optim.ops import Hyper, State, at_least, axpy, decay, ema, l2
from dldna.optim.rule import register, zeros
from dldna.optim.shell import RuleOptimizer


def adopt(
    w: Tensor,
    g: Tensor,
    state: State,
    t: int,
    *,
    lr: Hyper = 1e-3,
    betas: tuple[Hyper, Hyper] = (0.9, 0.9999),
    eps: Hyper = 1e-6,
    weight_decay: Hyper = 0.0,
    decoupled_weight_decay: bool = False,
    clip: bool = True,
) -> tuple[Tensor, State]:
    r"""Divide the gradient by a root that has not seen it, then average.

    .. math::
        m_t = \beta_1 m_{t-1} + (1 - \beta_1)\,
              \mathrm{clip}\Bigl(\frac{g_t}{\max(\sqrt{v_{t-1}}, \epsilon)},
              \; (t - 1)^{1/4}\Bigr), \quad
        w_t = w_{t-1} - \eta m_t, \quad
        v_t = \beta_2 v_{t-1} + (1 - \beta_2) g_t^2

    The first step only sets :math:`v_1 = g_1^2`, so :math:`t - 1` counts
    the updates. The clip bounds each weight's share on its own.
    """
    b1, b2 = betas
    if decoupled_weight_decay:
        w = decay(w, lr * weight_decay)
    else:
        g = l2(w, g, weight_decay)
    if t == 1:
        return w, {"m": state["m"], "v": g * g}
    u = g / at_least(state["v"].sqrt(), eps)
    if clip:
        bound = (t - 1) ** 0.25
        u = u.clamp(-bound, bound)
    m = ema(state["m"], u, b1)
    v = ema(state["v"], g * g, b2)
    return axpy(-lr, m, w), {"m": m, "v": v}


class ADOPT(RuleOptimizer):
    r"""ADOPT. Rule: :func:`adopt`.

    Nothing moves on the first step.

    Args:
        params: parameters, or dicts of them with their own settings.
        lr: learning rate :math:`\eta`.
        betas: :math:`\beta_1, \beta_2`, each in [0, 1).
        eps: :math:`\epsilon`, the least divisor.
        weight_decay: :math:`\lambda`.
        decoupled_weight_decay: decay as in :class:`AdamW`.
        clip: bound the divided gradients by :math:`(t - 1)^{1/4}`.
        maximize: climb instead of descending.

    Example:
        >>> import torch
        >>> w = torch.nn.Parameter(torch.tensor([1.0]))
        >>> optimizer = ADOPT([w], lr=0.25, betas=(0.0, 0.9999))
        >>> for slope in (1.0, 100.0):  # the second counts as 1
        ...     w.grad = torch.tensor([slope])
        ...     optimizer.step()
        >>> w.item()
        0.75

    References:
        Taniguchi, et al., 2024, NeurIPS, arXiv 2411.02853.
    """

    rule = register(adopt, zeros("m", "v"))
