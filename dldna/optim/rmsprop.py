"""RMSProp: AdaGrad with a memory that fades."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from dldna import checks
from dldna.optim.ops import Hyper, State, ema, l2, off
from dldna.optim.rule import register
from dldna.optim.shell import RuleOptimizer


def rmsprop(
    w: Tensor,
    g: Tensor,
    state: State,
    t: int,
    *,
    lr: Hyper = 1e-2,
    alpha: Hyper = 0.99,
    eps: Hyper = 1e-8,
    weight_decay: Hyper = 0.0,
    momentum: Hyper = 0.0,
    centered: bool = False,
) -> tuple[Tensor, State]:
    r"""Divide by the root of a moving average of squared gradients.

    .. math::
        v_t = \alpha v_{t-1} + (1 - \alpha) g_t^2, \qquad
        w_t = w_{t-1} - \eta \frac{g_t}{\sqrt{v_t} + \epsilon}

    Centered: :math:`v_t - \bar g_t^2` under the root. With momentum
    the quotient :math:`u_t` is summed, :math:`b_t = \mu b_{t-1} + u_t`, and
    :math:`w_t = w_{t-1} - \eta b_t`.
    """
    g = l2(w, g, weight_decay)
    new = {"v": ema(state["v"], g * g, alpha)}
    variance = new["v"]
    if centered:
        new["mean"] = ema(state["mean"], g, alpha)
        variance = variance - new["mean"] ** 2
    u = g / (variance.sqrt() + eps)
    if "b" in state:
        u = new["b"] = momentum * state["b"] + u
    return w - lr * u, new


def init_rmsprop(
    w: Tensor, *, momentum: Hyper = 0.0, centered: bool = False, **_: Any
) -> State:
    """``v``, and the gradient's ``mean`` and the buffer ``b`` if used."""
    used = {"v": True, "mean": centered, "b": not off(momentum)}
    return {name: torch.zeros_like(w) for name in used if used[name]}


class RMSprop(RuleOptimizer):
    r"""RMSProp. Rule: :func:`rmsprop`.

    ``eps`` stands outside the root, and the average is not corrected for
    its start at zero: the first step has size
    :math:`\eta / \sqrt{1 - \alpha}`, ten times ``lr`` by default.

    Args:
        params: parameters, or dicts of them with their own settings.
        lr: learning rate :math:`\eta`.
        alpha: decay rate of the average, in [0, 1).
        eps: :math:`\epsilon`.
        weight_decay: :math:`\lambda`, added to the gradient as
            :math:`\lambda w`.
        momentum: :math:`\mu` in [0, 1).
        centered: divide by the standard deviation instead.
        maximize: climb instead of descending.

    Example:
        >>> w = torch.nn.Parameter(torch.tensor([1.0]))
        >>> w.grad = torch.tensor([100.0])
        >>> RMSprop([w], lr=0.01).step()
        >>> round(w.item(), 6)
        0.9

    References:
        Tieleman, Hinton, 2012, lecture 6.5 of Neural Networks for Machine
        Learning (no paper).
    """

    optional: ClassVar = {"b": "momentum", "mean": "centered"}
    rule = register(rmsprop, init_rmsprop, alpha=checks.fraction)
