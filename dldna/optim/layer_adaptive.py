"""LARS and LAMB: each layer's step is relative to its weights."""

import torch
from torch import Tensor

from dldna import checks
from dldna.optim.ops import Hyper, State, ema, l2
from dldna.optim.rule import register, zeros
from dldna.optim.shell import RuleOptimizer


def lars(
    w: Tensor,
    g: Tensor,
    state: State,
    t: int,
    *,
    lr: Hyper = 0.1,
    momentum: Hyper = 0.9,
    weight_decay: Hyper = 1e-4,
    trust: Hyper = 1e-3,
) -> tuple[Tensor, State]:
    r"""Momentum with a rate for each layer.

    .. math::
        l_t = \frac{\tau |w|}{|g| + \lambda |w|}, \quad
        v_t = \mu v_{t-1} + \eta\, l_t (g_t + \lambda w_{t-1}), \quad
        w_t = w_{t-1} - v_t

    :math:`l = 1` where a norm is 0. A tensor with fewer than two axes is
    taken for a bias: it has :math:`l = 1` and no weight decay.
    """
    l = 1.0
    if w.dim() > 1:
        l = trust * w.norm() / (g.norm() + weight_decay * w.norm())
        l = torch.where((w.norm() > 0) & (g.norm() > 0), l, 1.0)
        g = l2(w, g, weight_decay)
    v = momentum * state["v"] + lr * l * g
    return w - v, {"v": v}


def lamb(
    w: Tensor,
    g: Tensor,
    state: State,
    t: int,
    *,
    lr: Hyper = 1e-3,
    betas: tuple[Hyper, Hyper] = (0.9, 0.999),
    eps: Hyper = 1e-6,
    weight_decay: Hyper = 0.01,
    bias_correction: bool = True,
) -> tuple[Tensor, State]:
    r"""Adam's direction, as long as the layer's weights times the rate.

    .. math::
        r_t = \frac{m_t / (1 - \beta_1^t)}
              {\sqrt{v_t / (1 - \beta_2^t)} + \epsilon} + \lambda w_{t-1},
        \qquad w_t = w_{t-1} - \eta \frac{|w_{t-1}|}{|r_t|} r_t

    The ratio is 1 where a norm is 0. Weight decay is inside ``r``.
    """
    b1, b2 = betas
    m = ema(state["m"], g, b1)
    v = ema(state["v"], g * g, b2)
    c1, c2 = (1 - b1**t, 1 - b2**t) if bias_correction else (1, 1)
    r = l2(w, m / c1 / ((v / c2).sqrt() + eps), weight_decay)
    ratio = w.norm() / r.norm()
    ratio = torch.where((w.norm() > 0) & (r.norm() > 0), ratio, 1.0)
    return w - lr * ratio * r, {"m": m, "v": v}


class LARS(RuleOptimizer):
    r"""Layer-wise adaptive rate scaling. Rule: :func:`lars`.

    Args:
        params: parameters, or dicts of them with their own settings.
        lr: learning rate :math:`\eta`.
        momentum: :math:`\mu` in [0, 1).
        weight_decay: :math:`\lambda`.
        trust: trust coefficient :math:`\tau`.
        maximize: climb instead of descending.

    Example:
        >>> w = torch.nn.Parameter(torch.ones(2, 2))
        >>> w.grad = torch.full((2, 2), 1e6)
        >>> LARS([w], lr=1.0, weight_decay=0.0, trust=0.25).step()
        >>> w[0, 0].item()
        0.75

    References:
        You, Gitman, Ginsburg, 2017, arXiv 1708.03888.
    """

    rule = register(lars, zeros("v"), "tensor", trust=checks.positive)


class LAMB(RuleOptimizer):
    r"""Layer-wise Adam for large batches. Rule: :func:`lamb`.

    Args:
        params: parameters, or dicts of them with their own settings.
        lr: learning rate :math:`\eta`; a step is :math:`\eta |w|` long.
        betas: :math:`\beta_1, \beta_2`, each in [0, 1).
        eps: :math:`\epsilon`.
        weight_decay: :math:`\lambda`, rescaled with the whole update.
        bias_correction: off gives the paper's third version.
        maximize: climb instead of descending.

    Example:
        >>> w = torch.nn.Parameter(torch.ones(2, 2))
        >>> w.grad = torch.full((2, 2), 1e6)
        >>> LAMB([w], lr=0.25).step()
        >>> round(w[0, 0].item(), 6)
        0.75

    References:
        You, et al., 2020, ICLR, arXiv 1904.00962.
    """

    rule = register(lamb, zeros("m", "v"), "tensor")
