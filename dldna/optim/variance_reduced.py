"""MARS: AdamW on gradients whose noise is reduced by the last ones."""

from torch import Tensor

from dldna import checks
from dldna.optim.adam import adamw
from dldna.optim.ops import Hyper, State, at_least, axpy, wide
from dldna.optim.rule import register, zeros
from dldna.optim.shell import RuleOptimizer


def mars(
    w: Tensor,
    g: Tensor,
    state: State,
    t: int,
    *,
    lr: Hyper = 3e-3,
    betas: tuple[Hyper, Hyper] = (0.95, 0.99),
    gamma: Hyper = 0.025,
    eps: Hyper = 1e-8,
    weight_decay: Hyper = 0.0,
) -> tuple[Tensor, State]:
    r"""Go on along the change of the gradient, then step as AdamW.

    .. math::
        c_t = g_t + \gamma \frac{\beta_1}{1 - \beta_1} (g_t - g'_t), \qquad
        \tilde c_t = \frac{c_t}{\max(|c_t|_2, 1)}

    :math:`\tilde c_t` takes the gradient's place in :func:`adamw`. In the
    approximate form :math:`g'_t` (``last``) is the gradient of the step
    before, 0 at first; in the exact one that of the weights before, on
    the batch of this step.
    """
    b1, _ = betas
    c = axpy(gamma * b1 / (1 - b1), g - state["last"], g)
    c = c / at_least(wide(c).norm(), 1.0).to(c.dtype)
    moments = {k: state[k] for k in ("m", "v")}
    w, moments = adamw(
        w, c, moments, t,
        lr=lr, betas=betas, eps=eps, weight_decay=weight_decay,
    )  # fmt: skip
    return w, {**moments, "last": g}


class MARS(RuleOptimizer):
    r"""MARS-AdamW in its approximate form. Rule: :func:`mars`.

    Its authors give it matrices and kernels, and vectors to AdamW;
    :class:`Mixed` makes one optimizer of the two.

    Args:
        params: parameters, or dicts of them with their own settings.
        lr: learning rate :math:`\eta`.
        betas: :math:`\beta_1, \beta_2`, each in [0, 1).
        gamma: :math:`\gamma`, strength of the correction; 0 leaves AdamW
            with clipped gradients.
        eps: :math:`\epsilon`.
        weight_decay: :math:`\lambda`, decoupled.
        maximize: climb instead of descending.

    Example:
        >>> import torch
        >>> w = torch.nn.Parameter(torch.tensor([1.0]))
        >>> w.grad = torch.tensor([1000.0])
        >>> MARS([w], lr=0.25).step()
        >>> w.item()
        0.75

    References:
        Yuan, Liu, Wu, Zhou, Gu, 2024, arXiv 2411.10438.
    """

    rule = register(
        mars, zeros("m", "v", "last"), "tensor", gamma=checks.nonnegative
    )
