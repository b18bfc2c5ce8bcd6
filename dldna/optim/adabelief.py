"""AdaBelief: divide by the gradient's distance from its own average."""

from torch import Tensor

from dldna.optim.ops import Hyper, State, decay, ema
from dldna.optim.rule import register, zeros
from dldna.optim.shell import RuleOptimizer


def adabelief(
    w: Tensor,
    g: Tensor,
    state: State,
    t: int,
    *,
    lr: Hyper = 1e-3,
    betas: tuple[Hyper, Hyper] = (0.9, 0.999),
    eps: Hyper = 1e-16,
    weight_decay: Hyper = 0.0,
) -> tuple[Tensor, State]:
    r"""Adam with the spread of the gradient in place of its square.

    .. math::
        s_t = \beta_2 s_{t-1} + (1 - \beta_2)(g_t - m_t)^2 + \epsilon, \quad
        w_t = w_{t-1} - \eta \frac{m_t / (1 - \beta_1^t)}
              {\sqrt{s_t / (1 - \beta_2^t)} + \epsilon}

    ``m`` is already updated where it is subtracted, and ``eps`` builds up
    inside ``s``: the square of an Adam's ``eps`` is comparable.
    """
    b1, b2 = betas
    w = decay(w, lr * weight_decay)
    m = ema(state["m"], g, b1)
    s = ema(state["s"], (g - m) ** 2, b2) + eps
    s_hat = s / (1 - b2**t)
    w = w - lr / (1 - b1**t) * m / (s_hat.sqrt() + eps)
    return w, {"m": m, "s": s}


class AdaBelief(RuleOptimizer):
    r"""AdaBelief, without rectification. Rule: :func:`adabelief`.

    Args:
        params: parameters, or dicts of them with their own settings.
        lr: learning rate :math:`\eta`.
        betas: :math:`\beta_1, \beta_2`, each in [0, 1).
        eps: :math:`\epsilon`.
        weight_decay: :math:`\lambda`, decoupled as in AdamW.
        maximize: climb instead of descending.

    Example:
        >>> import torch
        >>> w = torch.nn.Parameter(torch.tensor([1.0]))
        >>> w.grad = torch.tensor([1.0])
        >>> AdaBelief([w], lr=0.45).step()
        >>> round(w.item(), 6)
        0.5

    References:
        Zhuang, J., et al., 2020, NeurIPS, arXiv 2010.07468.
    """

    rule = register(adabelief, zeros("m", "s"))
