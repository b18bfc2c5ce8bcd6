"""AdaGrad: each weight's rate shrinks with the gradients it has seen."""

from typing import Any

import torch
from torch import Tensor

from dldna import checks
from dldna.optim.ops import Hyper, State, l2
from dldna.optim.rule import register
from dldna.optim.shell import RuleOptimizer


def adagrad(
    w: Tensor,
    g: Tensor,
    state: State,
    t: int,
    *,
    lr: Hyper = 1e-2,
    lr_decay: Hyper = 0.0,
    weight_decay: Hyper = 0.0,
    initial_accumulator_value: float = 0.0,
    eps: Hyper = 1e-10,
) -> tuple[Tensor, State]:
    r"""Divide by the root of the sum of squared gradients.

    .. math::
        G_t = G_{t-1} + g_t^2, \qquad
        w_t = w_{t-1} - \frac{\eta}{1 + (t-1)\,\delta}
              \frac{g_t}{\sqrt{G_t} + \epsilon}
    """
    g = l2(w, g, weight_decay)
    G = state["G"] + g * g
    eta = lr / (1 + (t - 1) * lr_decay)
    return w - eta * g / (G.sqrt() + eps), {"G": G}


def init_adagrad(
    w: Tensor, *, initial_accumulator_value: float = 0.0, **_: Any
) -> State:
    """The sum of squares ``G`` at its initial value."""
    return {"G": torch.full_like(w, initial_accumulator_value)}


class Adagrad(RuleOptimizer):
    r"""AdaGrad. Rule: :func:`adagrad`.

    ``eps`` stands outside the root. The first step has size ``lr`` in every
    coordinate, whatever the gradient.

    Args:
        params: parameters, or dicts of them with their own settings.
        lr: learning rate :math:`\eta`.
        lr_decay: :math:`\delta`, slows the rate down with the steps.
        weight_decay: :math:`\lambda`, added to the gradient as
            :math:`\lambda w`.
        initial_accumulator_value: :math:`G_0`.
        eps: :math:`\epsilon`.
        maximize: climb instead of descending.

    Example:
        >>> w = torch.nn.Parameter(torch.tensor([1.0]))
        >>> w.grad = torch.tensor([100.0])
        >>> Adagrad([w], lr=0.25).step()
        >>> w.item()
        0.75

    References:
        Duchi, Hazan, Singer, 2011, JMLR 12.
    """

    rule = register(
        adagrad,
        init_adagrad,
        lr_decay=checks.nonnegative,
        initial_accumulator_value=checks.nonnegative,
    )
