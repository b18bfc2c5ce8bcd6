"""Stochastic gradient descent, with momentum and Nesterov's variant."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from dldna import checks
from dldna.optim.ops import Hyper, State, axpy, decay, l2, off
from dldna.optim.rule import register
from dldna.optim.shell import RuleOptimizer


def sgd(
    w: Tensor,
    g: Tensor,
    state: State,
    t: int,
    *,
    lr: Hyper = 1e-3,
    momentum: Hyper = 0.0,
    dampening: Hyper = 0.0,
    weight_decay: Hyper = 0.0,
    nesterov: bool = False,
) -> tuple[Tensor, State]:
    r"""Step against the gradient, or against its discounted sum ``b``.

    .. math::
        b_t = \mu b_{t-1} + (1 - d) g_t, \qquad w_t = w_{t-1} - \eta b_t

    The first gradient enters undamped, :math:`b_1 = g_1`. Nesterov's
    variant steps along :math:`g_t + \mu b_t`. (``axpy(a, x, y)`` is
    ``a x + y``.)
    """
    g = l2(w, g, weight_decay)
    if "b" not in state or off(momentum):
        return axpy(-lr, g, w), dict(state)
    b = axpy(momentum, state["b"], decay(g, dampening * (t > 1)))
    u = axpy(momentum, b, g) if nesterov else b
    return axpy(-lr, u, w), {"b": b}


def init_sgd(w: Tensor, *, momentum: Hyper = 0.0, **_: Any) -> State:
    """A buffer ``b`` if there is momentum."""
    return {} if off(momentum) else {"b": torch.zeros_like(w)}


class SGD(RuleOptimizer):
    r"""Gradient descent with optional momentum.

    With ``dampening=0`` this is Polyak's heavy ball ("SGD+"): the buffer is
    a discounted *sum* of gradients, so that a constant gradient is followed
    at the effective rate :math:`\eta / (1 - \mu)`. With
    ``dampening=momentum`` the buffer is a moving *average*, and the
    effective rate is :math:`\eta`. Rule: :func:`sgd`.

    Args:
        params: parameters, or dicts of them with their own settings.
        lr: learning rate :math:`\eta`.
        momentum: :math:`\mu` in [0, 1).
        dampening: :math:`d`.
        weight_decay: :math:`\lambda`, added to the gradient as
            :math:`\lambda w`.
        nesterov: look ahead; needs momentum and no dampening.
        maximize: climb instead of descending.

    Example:
        >>> w = torch.nn.Parameter(torch.tensor([1.0]))
        >>> w.grad = torch.tensor([1.0])
        >>> SGD([w], lr=0.25).step()
        >>> w.item()
        0.75

    References:
        Robbins, Monro, 1951, Annals of Mathematical Statistics 22. Polyak,
        1964, USSR Computational Mathematics 4(5). Nesterov, 1983, Doklady
        27. Sutskever, Martens, Dahl, Hinton, 2013, ICML.
    """

    optional: ClassVar = {"b": "momentum"}
    rule = register(sgd, init_sgd, dampening=checks.nonnegative)

    def check(self, hyper: dict[str, Any]) -> None:
        super().check(hyper)
        mu, d = hyper["momentum"], hyper["dampening"]
        if hyper["nesterov"] and (off(mu) or not off(d)):
            raise ValueError(
                "nesterov needs momentum > 0 and dampening = 0, not "
                f"momentum={mu}, dampening={d}"
            )

    def _state(self, p: Tensor, hyper: dict[str, Any]) -> dict[str, Any]:
        began = "b" in self.state.get(p, {})
        state = super()._state(p, hyper)
        if not began:  # the first gradient in a buffer is undamped
            state["step"] = 0
        return state
