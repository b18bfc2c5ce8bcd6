"""Adam and its kin: AdamW, AMSGrad, NAdam, RAdam."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from dldna import checks
from dldna.optim.ops import (
    Hyper,
    State,
    at_least,
    axpy,
    decay,
    ema,
    l2,
    pick,
    scalar,
)
from dldna.optim.rule import register, zeros
from dldna.optim.shell import RuleOptimizer


def adam(
    w: Tensor,
    g: Tensor,
    state: State,
    t: int,
    *,
    lr: Hyper = 1e-3,
    betas: tuple[Hyper, Hyper] = (0.9, 0.999),
    eps: Hyper = 1e-8,
    weight_decay: Hyper = 0.0,
    amsgrad: bool = False,
) -> tuple[Tensor, State]:
    r"""Mean gradient over root mean square gradient, both debiased.

    .. math::
        m_t = \beta_1 m_{t-1} + (1 - \beta_1) g_t, \quad
        v_t = \beta_2 v_{t-1} + (1 - \beta_2) g_t^2, \quad
        w_t = w_{t-1} - \eta \frac{m_t / (1 - \beta_1^t)}
              {\sqrt{v_t / (1 - \beta_2^t)} + \epsilon}

    AMSGrad divides by the largest :math:`v` so far instead of the last.
    """
    b1, b2 = betas
    g = l2(w, g, weight_decay)
    m = ema(state["m"], g, b1)
    v = ema(state["v"], g * g, b2)
    new = {"m": m, "v": v}
    if amsgrad:
        v = new["v_max"] = torch.maximum(state["v_max"], v)
    v_hat = v / (1 - b2**t)
    u = m / (v_hat.sqrt() + eps)
    return axpy(-lr / (1 - b1**t), u, w), new


def adamw(
    w: Tensor,
    g: Tensor,
    state: State,
    t: int,
    *,
    lr: Hyper = 1e-3,
    betas: tuple[Hyper, Hyper] = (0.9, 0.999),
    eps: Hyper = 1e-8,
    weight_decay: Hyper = 1e-2,
    amsgrad: bool = False,
) -> tuple[Tensor, State]:
    r"""Shrink the weights by :math:`1 - \eta\lambda`, then step as Adam.

    The gradient is the one taken before the weights shrink, and the decay
    never enters the moments.
    """
    w = decay(w, lr * weight_decay)
    return adam(w, g, state, t, lr=lr, betas=betas, eps=eps, amsgrad=amsgrad)


def nadam(
    w: Tensor,
    g: Tensor,
    state: State,
    t: int,
    *,
    lr: Hyper = 2e-3,
    betas: tuple[Hyper, Hyper] = (0.9, 0.999),
    eps: Hyper = 1e-8,
    weight_decay: Hyper = 0.0,
    momentum_decay: Hyper = 4e-3,
    decoupled_weight_decay: bool = False,
) -> tuple[Tensor, State]:
    r"""Adam whose mean looks one step ahead, as Nesterov's momentum does.

    .. math::
        \mu_t = \beta_1 (1 - 0.96^{t\psi} / 2), \quad
        p_t = \prod_{i \le t} \mu_i, \quad
        \hat m_t = \frac{\mu_{t+1} m_t}{1 - p_{t+1}}
                 + \frac{(1 - \mu_t) g_t}{1 - p_t}
    """
    b1, b2 = betas
    if decoupled_weight_decay:
        w = decay(w, lr * weight_decay)
    else:
        g = l2(w, g, weight_decay)
    m = ema(state["m"], g, b1)
    v = ema(state["v"], g * g, b2)
    mu = b1 * (1 - 0.5 * 0.96 ** (t * momentum_decay))
    ahead = b1 * (1 - 0.5 * 0.96 ** ((t + 1) * momentum_decay))
    p = state["p"] * mu
    m_hat = ahead / (1 - p * ahead) * m + (1 - mu) / (1 - p) * g
    v_hat = v / (1 - b2**t)
    w = w - lr * m_hat / (v_hat.sqrt() + eps)
    return w, {"m": m, "v": v, "p": p}


def radam(
    w: Tensor,
    g: Tensor,
    state: State,
    t: int,
    *,
    lr: Hyper = 1e-3,
    betas: tuple[Hyper, Hyper] = (0.9, 0.999),
    eps: Hyper = 1e-8,
    weight_decay: Hyper = 0.0,
    decoupled_weight_decay: bool = False,
) -> tuple[Tensor, State]:
    r"""Adam that trusts its denominator only once it has seen enough.

    .. math::
        \rho_\infty = \frac{2}{1 - \beta_2} - 1, \quad
        \rho_t = \rho_\infty - \frac{2 t \beta_2^t}{1 - \beta_2^t}, \quad
        r_t = \sqrt{\frac{(\rho_t - 4)(\rho_t - 2)\rho_\infty}
                         {(\rho_\infty - 4)(\rho_\infty - 2)\rho_t}}

    While :math:`\rho_t \le 5` the step is that of bias-corrected momentum;
    afterwards Adam's, times :math:`r_t`.
    """
    b1, b2 = betas
    if decoupled_weight_decay:
        w = decay(w, lr * weight_decay)
    else:
        g = l2(w, g, weight_decay)
    m = ema(state["m"], g, b1)
    v = ema(state["v"], g * g, b2)
    rho_inf = 2 / (1 - b2) - 1
    most = at_least(rho_inf, 5)  # below 5 the mean alone steps
    rho = rho_inf - 2 * t * b2**t / (1 - b2**t)
    known = at_least(rho, 5)
    r = (known - 4) * (known - 2) * most
    r = (r / ((most - 4) * (most - 2) * known)) ** 0.5
    u = r * (1 - b2**t) ** 0.5 * m / (v.sqrt() + eps)
    w = w - lr / (1 - b1**t) * pick(rho > 5, u, m)
    return w, {"m": m, "v": v}


def init_adam(w: Tensor, *, amsgrad: bool = False, **_: Any) -> State:
    """Both moments at zero, and their maximum for AMSGrad."""
    names = ("m", "v", "v_max") if amsgrad else ("m", "v")
    return {name: torch.zeros_like(w) for name in names}


def init_nadam(w: Tensor, **_: Any) -> State:
    """Both moments at zero; the product of momenta at one."""
    return {**zeros("m", "v")(w), "p": scalar(w, 1.0)}


class Adam(RuleOptimizer):
    r"""Adam. Rule: :func:`adam`.

    ``eps`` stands outside the root and is added after the bias correction.
    ``weight_decay`` is the L2 kind: it enters the gradient and is nearly
    cancelled by the division. For decay that works, see :class:`AdamW`.

    Args:
        params: parameters, or dicts of them with their own settings.
        lr: learning rate :math:`\eta`; the first step has this size.
        betas: :math:`\beta_1, \beta_2`, each in [0, 1).
        eps: :math:`\epsilon`.
        weight_decay: :math:`\lambda`, added to the gradient as
            :math:`\lambda w`.
        amsgrad: divide by the largest second moment so far.
        maximize: climb instead of descending.

    Example:
        >>> w = torch.nn.Parameter(torch.tensor([1.0]))
        >>> w.grad = torch.tensor([1000.0])
        >>> Adam([w], lr=0.25).step()
        >>> w.item()
        0.75

    References:
        Kingma, Ba, 2015, ICLR, arXiv 1412.6980. Reddi, Kale, Kumar, 2018,
        ICLR, arXiv 1904.09237 (AMSGrad).
    """

    optional: ClassVar = {"v_max": "amsgrad"}
    rule = register(adam, init_adam)


class AdamW(RuleOptimizer):
    r"""Adam with decoupled weight decay. Rule: :func:`adamw`.

    Args:
        params: parameters, or dicts of them with their own settings.
        lr: learning rate :math:`\eta`.
        betas: :math:`\beta_1, \beta_2`, each in [0, 1).
        eps: :math:`\epsilon`.
        weight_decay: :math:`\lambda`; a step multiplies the weights by
            :math:`1 - \eta\lambda`.
        amsgrad: divide by the largest second moment so far.
        maximize: climb instead of descending.

    Example:
        >>> w = torch.nn.Parameter(torch.tensor([1.0]))
        >>> w.grad = torch.tensor([0.0])
        >>> AdamW([w], lr=0.5, weight_decay=0.5).step()
        >>> w.item()
        0.75

    References:
        Loshchilov, Hutter, 2019, ICLR, arXiv 1711.05101.
    """

    optional: ClassVar = {"v_max": "amsgrad"}
    rule = register(adamw, init_adam)


class NAdam(RuleOptimizer):
    r"""Adam with Nesterov momentum. Rule: :func:`nadam`.

    Args:
        params: parameters, or dicts of them with their own settings.
        lr: learning rate :math:`\eta`.
        betas: :math:`\beta_1, \beta_2`, each in [0, 1).
        eps: :math:`\epsilon`.
        weight_decay: :math:`\lambda`.
        momentum_decay: :math:`\psi`, how slowly the momentum grows from
            half of :math:`\beta_1`.
        decoupled_weight_decay: decay as in :class:`AdamW`.
        maximize: climb instead of descending.

    Example:
        >>> w = torch.nn.Parameter(torch.tensor([1.0]))
        >>> w.grad = torch.tensor([1.0])
        >>> NAdam([w]).step()
        >>> round(w.item(), 6)
        0.997887

    References:
        Dozat, 2016, ICLR workshop.
    """

    rule = register(nadam, init_nadam, momentum_decay=checks.nonnegative)


class RAdam(RuleOptimizer):
    r"""Adam with a rectified start. Rule: :func:`radam`.

    Args:
        params: parameters, or dicts of them with their own settings.
        lr: learning rate :math:`\eta`.
        betas: :math:`\beta_1, \beta_2`, each in [0, 1).
        eps: :math:`\epsilon`.
        weight_decay: :math:`\lambda`.
        decoupled_weight_decay: decay as in :class:`AdamW`.
        maximize: climb instead of descending.

    Example:
        >>> w = torch.nn.Parameter(torch.tensor([1.0]))
        >>> w.grad = torch.tensor([2.0])
        >>> RAdam([w], lr=0.25).step()
        >>> w.item()
        0.5

    References:
        Liu, L., et al., 2020, ICLR, arXiv 1908.03265.
    """

    rule = register(radam, zeros("m", "v"))
