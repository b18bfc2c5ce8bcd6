"""AdEMAMix: Adam with a second, much longer memory of the gradient."""

import math
from functools import partial

import torch
from torch import Tensor

from dldna import checks
from dldna.optim.ops import (
    Hyper,
    State,
    at_least,
    at_most,
    axpy,
    decay,
    ema,
    pick,
)
from dldna.optim.rule import fractions, register, zeros
from dldna.optim.shell import RuleOptimizer


def ademamix(
    w: Tensor,
    g: Tensor,
    state: State,
    t: int,
    *,
    lr: Hyper = 1e-3,
    betas: tuple[Hyper, Hyper, Hyper] = (0.9, 0.999, 0.9999),
    alpha: Hyper = 2.0,
    beta3_warmup: Hyper = 0,
    alpha_warmup: Hyper = 0,
    eps: Hyper = 1e-8,
    weight_decay: Hyper = 0.0,
) -> tuple[Tensor, State]:
    r"""Add a slow mean gradient to Adam's fast one.

    .. math::
        m_t &= \beta_1 m_{t-1} + (1 - \beta_1) g_t, \quad
        s_t = \beta_3(t) s_{t-1} + (1 - \beta_3(t)) g_t, \quad
        v_t = \beta_2 v_{t-1} + (1 - \beta_2) g_t^2, \\
        w_t &= (1 - \eta\lambda) w_{t-1} - \eta
               \frac{m_t / (1 - \beta_1^t) + \alpha(t) s_t}
                    {\sqrt{v_t / (1 - \beta_2^t)} + \epsilon}

    The slow mean is not debiased. :func:`alpha_at` and :func:`beta3_at`
    let its weight and its memory grow from Adam's.
    """
    b1, b2, b3 = betas
    mix = alpha_at(t, alpha, alpha_warmup)
    m = ema(state["m"], g, b1)
    s = ema(state["s"], g, beta3_at(t, b1, b3, beta3_warmup))
    v = ema(state["v"], g * g, b2)
    u = axpy(mix, s, m / (1 - b1**t))
    u = u / ((v / (1 - b2**t)).sqrt() + eps)
    w = axpy(-lr, u, decay(w, lr * weight_decay))
    return w, {"m": m, "s": s, "v": v}


def alpha_at(t: int, alpha: Hyper, warmup: Hyper) -> Hyper:
    r"""The slow mean's weight: :math:`\alpha \min(1, t / T)`.

    Example:
        >>> [alpha_at(t, 8.0, 4) for t in (1, 2, 4, 5)]
        [2.0, 4.0, 8.0, 8.0]
    """
    return alpha * _share(t, warmup)


def beta3_at(t: int, beta1: Hyper, beta3: Hyper, warmup: Hyper) -> Hyper:
    r"""The slow mean's decay rate: its memory grows in equal parts.

    .. math::
        \frac{1}{\ln \beta_3(t)} = \frac{1 - t/T}{\ln \beta_1}
                                 + \frac{t/T}{\ln \beta_3}
        \quad (t < T), \qquad \beta_3(t) = \beta_3 \quad (t \ge T)

    Example:
        >>> [round(beta3_at(t, 0.9, 0.9999, 4), 6) for t in (0, 1, 2, 4)]
        [0.9, 0.999601, 0.9998, 0.9999]
    """
    share = _share(t, warmup)
    memory = (1 - share) * _memory(beta1) + share * _memory(beta3)
    return pick(share < 1, _rate(memory), beta3)


def _share(t: int, warmup: Hyper) -> Hyper:
    """How much of a warm-up is over, at most 1; without one always 1."""
    return at_most(t / at_least(warmup, 1), 1)


def _memory(beta: Hyper) -> Hyper:
    r"""Steps after which a gradient has weight 1/e: :math:`-1/\ln\beta`."""
    if isinstance(beta, Tensor):
        return -1 / beta.log()
    return -1 / math.log(beta) if beta > 0 else 0.0


def _rate(memory: Hyper) -> Hyper:
    """The decay rate with this memory."""
    if isinstance(memory, Tensor):
        return torch.exp(-1 / memory)
    return math.exp(-1 / memory) if memory > 0 else 0.0


class AdEMAMix(RuleOptimizer):
    r"""AdEMAMix. Rule: :func:`ademamix`.

    The paper advises warm-ups as long as the whole run for a long memory,
    and :math:`\alpha` between 4 and 10; the default is its code's.

    Args:
        params: parameters, or dicts of them with their own settings.
        lr: learning rate :math:`\eta`.
        betas: :math:`\beta_1, \beta_2, \beta_3`, each in [0, 1).
        alpha: :math:`\alpha`, weight of the slow mean.
        beta3_warmup: steps over which its memory grows from that of
            :math:`\beta_1`; 0 for none.
        alpha_warmup: steps over which its weight grows from 0; 0 for none.
        eps: :math:`\epsilon`.
        weight_decay: :math:`\lambda`, decoupled.
        maximize: climb instead of descending.

    Example:
        >>> w = torch.nn.Parameter(torch.tensor([1.0]))
        >>> w.grad = torch.tensor([4.0])
        >>> AdEMAMix([w], lr=0.25, betas=(0.9, 0.999, 0.5)).step()
        >>> w.item()
        0.5

    References:
        Pagliardini, Ablin, Grangier, 2025, ICLR, arXiv 2409.03137.
    """

    rule = register(
        ademamix,
        zeros("m", "s", "v"),
        betas=partial(fractions, count=3),
        alpha=checks.nonnegative,
        beta3_warmup=checks.nonnegative,
        alpha_warmup=checks.nonnegative,
    )
