"""AdaFactor: second moments of a matrix from its rows and columns."""

from typing import Any

import torch
from torch import Tensor

from dldna import checks
from dldna.optim.ops import Hyper, State, at_most, decay, ema
from dldna.optim.rule import register, several
from dldna.optim.shell import RuleOptimizer


def adafactor(
    w: Tensor,
    g: Tensor,
    state: State,
    t: int,
    *,
    lr: Hyper = 1e-2,
    beta2_decay: float = -0.8,
    eps: tuple[float | None, float] = (None, 1e-3),
    d: float = 1.0,
    weight_decay: Hyper = 0.0,
) -> tuple[Tensor, State]:
    r"""Adaptive steps from one number a row and one a column.

    .. math::
        R_t &= \beta_t R_{t-1} + (1 - \beta_t)\, \mathrm{rowmean}(G_t^2),
        \qquad \beta_t = 1 - t^{-0.8}, \\
        C_t &= \beta_t C_{t-1} + (1 - \beta_t)\, \mathrm{colmean}(G_t^2),
        \qquad V_t = R_t C_t / \mathrm{mean}(R_t), \\
        U_t &= G_t / \sqrt{V_t}, \qquad
        W_t = W_{t-1} - \alpha_t U_t / \max(1, \mathrm{RMS}(U_t) / d), \\
        \alpha_t &= \max(\epsilon_2, \mathrm{RMS}(W_{t-1}))
        \min(\eta, 1/\sqrt t)

    :math:`G^2` is the elementwise square. A vector keeps its ``V`` whole.
    """
    eps1 = torch.finfo(w.dtype).eps if eps[0] is None else eps[0]
    alpha = rms(w).clamp(min=eps[1]) * at_most(lr, t**-0.5)
    w = decay(w, lr * weight_decay)
    beta = 1 - t**beta2_decay
    if g.dim() > 1:
        R = ema(state["R"], (g * g).mean(-1, keepdim=True), beta)
        C = ema(state["C"], (g * g).mean(-2, keepdim=True), beta)
        new = {"R": R, "C": C}
        V = R @ C / R.mean(-2, keepdim=True).clamp(min=eps1)
    else:
        V = ema(state["V"], g * g, beta)
        new = {"V": V}
    U = g / V.clamp(min=eps1**2).sqrt()
    return w - alpha / (rms(U) / d).clamp(min=1) * U, new


def rms(x: Tensor) -> Tensor:
    """Root mean square.

    Example:
        >>> rms(torch.tensor([1.0, -7.0]))
        tensor(5.)
    """
    return (x * x).mean().sqrt()


def init_adafactor(w: Tensor, **_: Any) -> State:
    """A column ``R`` and a row ``C`` for a matrix, else ``V``."""
    if w.dim() < 2:
        return {"V": torch.zeros_like(w)}
    R = w.new_zeros(*w.shape[:-1], 1)
    return {"R": R, "C": w.new_zeros(*w.shape[:-2], 1, w.shape[-1])}


def _eps(name: str, value: tuple) -> None:
    for part in several(name, value, 2):
        checks.nonnegative(name, 0.0 if part is None else part)


class Adafactor(RuleOptimizer):
    r"""AdaFactor without a first moment. Rule: :func:`adafactor`.

    The steps are relative to the size of the weights. As in torch, ``lr``
    takes the place of the paper's constant 0.01, and :math:`\epsilon_1` is
    a floor of :math:`\sqrt{V}` and of the mean of ``R`` instead of being
    added to the squares.

    Args:
        params: parameters, or dicts of them with their own settings; more
            than two axes: the last two are factored.
        lr: largest relative step :math:`\eta`.
        beta2_decay: exponent of the growing memory, at most 0.
        eps: :math:`\epsilon_1` (None: the type's machine precision) and
            :math:`\epsilon_2`.
        d: clipping threshold of the update's root mean square.
        weight_decay: :math:`\lambda`, decoupled.
        maximize: climb instead of descending.

    Example:
        >>> w = torch.nn.Parameter(torch.ones(50, 20))
        >>> w.grad = torch.ones(50, 20)
        >>> optimizer = Adafactor([w])
        >>> optimizer.step()
        >>> sum(optimizer.state[w][k].numel() for k in "RC")
        70

    References:
        Shazeer, Stern, 2018, ICML, arXiv 1804.04235.
    """

    rule = register(
        adafactor,
        init_adafactor,
        "tensor",
        eps=_eps,
        beta2_decay=lambda name, v: checks.nonnegative(f"-{name}", -v),
        d=checks.positive,
    )
