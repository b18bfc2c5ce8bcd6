"""Lion: the sign of an interpolation between momentum and gradient."""

from torch import Tensor

from dldna.optim.ops import Hyper, State, axpy, decay, ema
from dldna.optim.rule import register, zeros
from dldna.optim.shell import RuleOptimizer


def lion(
    w: Tensor,
    g: Tensor,
    state: State,
    t: int,
    *,
    lr: Hyper = 1e-4,
    betas: tuple[Hyper, Hyper] = (0.9, 0.99),
    weight_decay: Hyper = 0.0,
) -> tuple[Tensor, State]:
    r"""Every weight moves by exactly the learning rate.

    .. math::
        c_t &= \beta_1 m_{t-1} + (1 - \beta_1) g_t, \\
        w_t &= w_{t-1} - \eta (\operatorname{sign} c_t + \lambda w_{t-1}), \\
        m_t &= \beta_2 m_{t-1} + (1 - \beta_2) g_t

    The momentum that is kept is :math:`m_t`, with :math:`\beta_2`; the
    update uses :math:`c_t`, with :math:`\beta_1`. Keeping :math:`c_t`
    instead gives another optimizer, in which :math:`\beta_2` never acts.
    """
    b1, b2 = betas
    c = ema(state["m"], g, b1)
    w = axpy(-lr, c.sign(), decay(w, lr * weight_decay))
    return w, {"m": ema(state["m"], g, b2)}


class Lion(RuleOptimizer):
    r"""Lion. Rule: :func:`lion`.

    Its authors advise a learning rate 3 to 10 times smaller, and a weight
    decay 3 to 10 times larger, than for AdamW.

    Args:
        params: parameters, or dicts of them with their own settings.
        lr: learning rate :math:`\eta`, the size of every weight's step.
        betas: :math:`\beta_1, \beta_2`, each in [0, 1).
        weight_decay: :math:`\lambda`, decoupled.
        maximize: climb instead of descending.

    Example:
        >>> import torch
        >>> w = torch.nn.Parameter(torch.tensor([1.0, 1.0, 1.0]))
        >>> w.grad = torch.tensor([1e-9, 0.0, -1e9])
        >>> Lion([w], lr=0.25).step()
        >>> w.tolist()
        [0.75, 1.0, 1.25]

    References:
        Chen, X., et al., 2023, NeurIPS, arXiv 2302.06675.
    """

    rule = register(lion, zeros("m"))
