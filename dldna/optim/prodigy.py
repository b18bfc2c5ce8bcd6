"""Prodigy and D-Adaptation: Adam that finds its own learning rate.

Both estimate ``d``, the distance from the start to the solution, from one
inner product over *all* weights. Their rules therefore take the network's
weights as one vector.
"""

from typing import Any

import torch
from torch import Tensor

from dldna import checks
from dldna.optim.ops import Hyper, State, decay, ema, l2, scalar, wide
from dldna.optim.rule import register
from dldna.optim.whole_network import NetworkOptimizer


def prodigy(
    w: Tensor,
    g: Tensor,
    state: State,
    t: int,
    *,
    lr: Hyper = 1.0,
    betas: tuple[Hyper, Hyper] = (0.9, 0.999),
    eps: Hyper = 1e-8,
    weight_decay: Hyper = 0.0,
    d0: float = 1e-6,
) -> tuple[Tensor, State]:
    r"""Adam at the rate ``d lr``, while ``d`` grows towards its bound.

    .. math::
        r_t &= \sqrt{\beta_2}\, r_{t-1}
            + \tfrac{d}{d_0} d \eta \langle g_t, w_0 - w_{t-1} \rangle,
        \qquad s_t = \sqrt{\beta_2}\, s_{t-1} + \tfrac{d}{d_0} d \eta g_t, \\
        m_t &= \beta_1 m_{t-1} + (1 - \beta_1) d g_t, \qquad
        v_t = \beta_2 v_{t-1} + (1 - \beta_2) d^2 g_t^2, \\
        d' &= \max(d, r_t / |s_t|_1), \qquad
        w_t = w_{t-1} - d \eta \frac{m_t}{\sqrt{v_t} + d' \epsilon}

    The step still has the old ``d``; beside ``eps`` stands the new one, as
    in the authors' code.
    """
    b1, b2 = betas
    d = state["d"]
    eta = d * lr
    r = b2**0.5 * state["r"] + d / d0 * eta * (g * (state["w0"] - w)).sum()
    s = b2**0.5 * state["s"] + d / d0 * eta * g
    m = ema(state["m"], d * g, b1)
    v = ema(state["v"], (d * g) ** 2, b2)
    d = grown(d, r, s.abs().sum())
    w = decay(w, eta * weight_decay) - eta * m / (v.sqrt() + d * eps)
    return w, {"m": m, "v": v, "s": s, "w0": state["w0"], "r": r, "d": d}


def dadapt_adam(
    w: Tensor,
    g: Tensor,
    state: State,
    t: int,
    *,
    lr: Hyper = 1.0,
    betas: tuple[Hyper, Hyper] = (0.9, 0.999),
    eps: Hyper = 1e-8,
    weight_decay: Hyper = 0.0,
    d0: float = 1e-6,
) -> tuple[Tensor, State]:
    r"""Adam at the rate ``d lr``, with the first of these bounds on ``d``.

    .. math::
        r_t &= \sqrt{\beta_2}\, r_{t-1} + (1 - \sqrt{\beta_2})\, d \eta
            \langle g_t, s_{t-1} / (\sqrt{v_{t-1}} + \epsilon) \rangle, \\
        s_t &= \sqrt{\beta_2}\, s_{t-1} + (1 - \sqrt{\beta_2})\, d \eta g_t,
        \qquad m_t = \beta_1 m_{t-1} + (1 - \beta_1)\, d \eta g_t, \\
        w_t &= w_{t-1} - \frac{m_t}{\sqrt{v_t} + \epsilon}, \qquad
        d \leftarrow \max\!\left(d,
            \frac{r_t}{(1 - \sqrt{\beta_2}) |s_t|_1}\right)
    """
    b1, b2 = betas
    d, b3 = state["d"], b2**0.5
    g = l2(w, g, weight_decay)
    past = g * state["s"] / (state["v"].sqrt() + eps)
    r = b3 * state["r"] + (1 - b3) * d * lr * past.sum()
    s = ema(state["s"], d * lr * g, b3)
    m = ema(state["m"], d * lr * g, b1)
    v = ema(state["v"], g * g, b2)
    w = w - m / (v.sqrt() + eps)
    d = grown(d, r, (1 - b3) * s.abs().sum())
    return w, {"m": m, "v": v, "s": s, "r": r, "d": d}


def grown(d: Tensor, r: Tensor, s: Tensor) -> Tensor:
    """``max(d, r / s)``, and ``d`` where ``s`` is 0.

    Example:
        >>> grown(*torch.tensor([1.0, 6.0, 2.0]))
        tensor(3.)
        >>> grown(*torch.tensor([1.0, 6.0, 0.0]))
        tensor(1.)
    """
    bound = r / torch.where(s > 0, s, 1.0)
    return torch.where(s > 0, torch.maximum(d, bound), d)


def init_prodigy(w: Tensor, *, d0: float = 1e-6, **_: Any) -> State:
    """Moments, the weighted sum ``s``, the start ``w0``, ``r`` and ``d``."""
    return {**init_dadapt_adam(w, d0=d0), "w0": wide(w).detach().clone()}


def init_dadapt_adam(w: Tensor, *, d0: float = 1e-6, **_: Any) -> State:
    """Moments, the weighted sum ``s``, ``r`` and ``d``."""
    full = {name: torch.zeros_like(wide(w)) for name in ("m", "v", "s")}
    return {**full, "r": scalar(w, 0.0), "d": scalar(w, d0)}


class Prodigy(NetworkOptimizer):
    r"""Prodigy. Rule: :func:`prodigy`.

    Args:
        params: parameters, or dicts of them with their own settings;
            ``d0``, ``betas[1]`` and ``lr`` (if it is not 0) are the same
            in all groups, as there is one ``d`` for the network.
        lr: factor :math:`\eta` on the rate that is found; leave it at 1,
            or let a schedule move it.
        betas: :math:`\beta_1, \beta_2`, each in [0, 1).
        eps: :math:`\epsilon`.
        weight_decay: :math:`\lambda`, decoupled.
        d0: first guess of the distance; any small number.
        maximize: climb instead of descending.

    Example:
        >>> w = torch.nn.Parameter(torch.tensor([1.0]))
        >>> optimizer = Prodigy([w])
        >>> for _ in range(100):
        ...     w.grad = w.detach().clone()
        ...     optimizer.step()
        >>> float(optimizer.state[w]["d"]) > 0.1
        True

    References:
        Mishchenko, Defazio, 2024, ICML, arXiv 2306.06101.
    """

    rule = register(prodigy, init_prodigy, "network", d0=checks.positive)


class DAdaptAdam(NetworkOptimizer):
    r"""Adam with D-Adaptation. Rule: :func:`dadapt_adam`.

    Args:
        params: parameters, or dicts of them with their own settings;
            ``d0``, ``betas[1]`` and ``lr`` (if it is not 0) are the same
            in all groups, as there is one ``d`` for the network.
        lr: factor :math:`\eta` on the rate that is found.
        betas: :math:`\beta_1, \beta_2`, each in [0, 1).
        eps: :math:`\epsilon`.
        weight_decay: :math:`\lambda`, added to the gradient as
            :math:`\lambda w`.
        d0: first guess of the distance; any small number.
        maximize: climb instead of descending.

    Example:
        >>> w = torch.nn.Parameter(torch.tensor([1.0]))
        >>> optimizer = DAdaptAdam([w])
        >>> for _ in range(100):
        ...     w.grad = w.detach().clone()
        ...     optimizer.step()
        >>> float(optimizer.state[w]["d"]) > 0.01
        True

    References:
        Defazio, Mishchenko, 2023, ICML, arXiv 2301.07733.
    """

    rule = register(
        dadapt_adam, init_dadapt_adam, "network", d0=checks.positive
    )
