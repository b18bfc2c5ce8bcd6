r"""Up to which curvature an optimizer is stable.

On a quadratic with Hessian :math:`H` every rule below is a linear
recurrence, which settles exactly if the largest eigenvalue of :math:`H`
(or of :math:`P^{-1}H`, where the rule divides by :math:`P`) is below a
threshold that the hyperparameters alone decide.
"""

import inspect
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dldna import optim, params

SHARPNESS = "sharpness"
PRECONDITIONED = "preconditioned sharpness"
UNKNOWN = "unknown"

# Optimizers by what they do: the rule of ours, the step of torch's.
_RULES = {
    optim.sgd: "sgd",
    optim.rmsprop: "rmsprop",
    optim.adam: "adam",
    optim.adamw: "adam",
}
_STEPS = {
    inspect.unwrap(torch.optim.SGD.step): "sgd",
    inspect.unwrap(torch.optim.RMSprop.step): "rmsprop",
    inspect.unwrap(torch.optim.Adam.step): "adam",
    inspect.unwrap(torch.optim.AdamW.step): "adam",
}


def stability_threshold(optimizer: Optimizer) -> tuple[str, float]:
    r"""Say at which curvature an optimizer begins to swing.

    With rate :math:`\eta`, momentum :math:`\mu` and dampening :math:`d`,
    each held still:

    .. math::
        \text{gradient descent} & \quad 2 / \eta \\
        \text{heavy ball} & \quad 2 (1 + \mu) / ((1 - d)\, \eta) \\
        \text{Nesterov} & \quad 2 (1 + \mu) / ((1 + 2\mu)\, \eta) \\
        \text{RMSprop} & \quad 2 / \eta \quad \text{of } P^{-1}H \\
        \text{Adam} & \quad 2 (1 + \beta_1) / ((1 - \beta_1)\, \eta)
        \quad \text{of } P^{-1}H

    Adam's is :math:`38/\eta` at :math:`\beta_1 = 0.9`. L2 weight decay
    :math:`\lambda` of SGD adds :math:`\lambda` to every eigenvalue of the
    Hessian and is taken off here. Decoupled decay is left out of account.

    Class names decide nothing. What counts is the step that runs: a
    subclass without a step of its own is what it comes from, and one with
    a step of its own is not known, whatever it is called.

    Args:
        optimizer: torch's or dldna's SGD, RMSprop, Adam or AdamW, or one
            that leaves the work to such a one and says so by an attribute
            ``acts_as``.

    Returns:
        What to compare ("sharpness", the largest eigenvalue of the
        Hessian, or "preconditioned sharpness", that of
        :math:`P^{-1}H` with :func:`preconditioner`), and the threshold.
        ("unknown", NaN) for other optimizers, for AMSGrad and centred or
        heavy RMSprop, where groups differ in their settings, and where a
        setting is missing.

    Raises:
        TypeError: no optimizer.

    Example:
        >>> w = [nn.Parameter(torch.zeros(2))]
        >>> stability_threshold(torch.optim.SGD(w, lr=0.1, momentum=0.5))
        ('sharpness', 30.0)
        >>> kind, value = stability_threshold(torch.optim.Adam(w, lr=0.01))
        >>> kind, round(value, 6)
        ('preconditioned sharpness', 3800.0)

    References:
        Cohen, Kaur, Li, Kolter, Talwalkar, "Gradient descent on neural
        networks typically occurs at the edge of stability", ICLR 2021,
        arXiv 2103.00065. Cohen et al., "Adaptive gradient methods at the
        edge of stability", 2022, arXiv 2207.14484.
    """
    if not hasattr(optimizer, "param_groups"):
        raise TypeError(
            "a threshold is that of an optimizer, as "
            "torch.optim.SGD(model.parameters()), not of "
            f"{type(optimizer).__name__}"
        )
    kind, worker = _rule(optimizer)
    group = _only_group(worker)
    unknown = UNKNOWN, math.nan
    if kind is None or group is None:
        return unknown
    try:
        lr = float(group["lr"])
        if group.get("maximize") or not lr > 0:
            return unknown
        if kind == "sgd":
            return SHARPNESS, _sgd(group, lr) - float(group["weight_decay"])
        if kind == "rmsprop":
            plain = not (group["momentum"] or group["centered"])
            return (PRECONDITIONED, 2 / lr) if plain else unknown
        if group["amsgrad"]:
            return unknown
        beta = float(group["betas"][0])
        return PRECONDITIONED, adam_edge(lr, beta)
    except (KeyError, TypeError):  # settings of another make
        return unknown


def heavy_ball_edge(lr: float, mu: float, damping: float = 0.0) -> float:
    """The curvature at which the heavy ball begins to swing."""
    return 2 * (1 + mu) / ((1 - damping) * lr)


def adam_edge(lr: float, beta1: float) -> float:
    """The preconditioned curvature at which Adam begins to swing."""
    return 2 * (1 + beta1) / ((1 - beta1) * lr)


def _rule(optimizer: Any) -> tuple[str | None, Any]:
    """Which rule moves the weights, and the optimizer that applies it."""
    worker = getattr(optimizer, "acts_as", None)
    worker = optimizer if worker is None else worker
    step = _own(type(worker), "step")
    if step is _own(optim.RuleOptimizer, "step"):
        return _RULES.get(worker.rule.update), worker
    return _STEPS.get(step), worker


def _own(kind: type, name: str) -> Callable:
    """A method as it was written, without what torch wraps around it."""
    return inspect.unwrap(getattr(kind, name))


def preconditioner(
    model: nn.Module, optimizer: Optimizer
) -> params.Params | None:
    r"""The diagonal matrix that RMSprop or Adam divides the gradient by.

    After step :math:`t`, with Adam's corrections,

    .. math::
        P = (1 - \beta_1^t) \left( \sqrt{v_t / (1 - \beta_2^t)}
        + \epsilon \right),

    and :math:`P = \sqrt{v_t} + \epsilon` for RMSprop.

    Args:
        model: whose parameters the optimizer moves.
        optimizer: see :func:`stability_threshold`.

    Returns:
        One tensor for each parameter, by name; None before the first
        step, and for optimizers without such a matrix.

    Example:
        >>> layer = nn.Linear(1, 1, bias=False)
        >>> adam = torch.optim.Adam(layer.parameters(), betas=(0.5, 0.9))
        >>> layer.weight.grad = torch.tensor([[3.0]])
        >>> adam.step()
        >>> preconditioner(layer, adam)["weight"]
        tensor([[1.5000]])

    References:
        Cohen et al., 2022, arXiv 2207.14484.
    """
    if stability_threshold(optimizer)[0] != PRECONDITIONED:
        return None
    kind, optimizer = _rule(optimizer)
    group = optimizer.param_groups[0]
    found = {}
    for name, p in model.named_parameters():
        state = optimizer.state.get(p, {})
        key = next((k for k in SQUARES if k in state), None)
        if key is None:
            if p.requires_grad:
                return None
            continue
        v, t = state[key].detach(), float(state["step"])
        if kind == "adam":
            b1, b2 = (float(b) for b in group["betas"])
            root = (v / (1 - b2**t)).sqrt() + group["eps"]
            found[name] = (1 - b1**t) * root
        else:
            found[name] = v.sqrt() + group["eps"]
    return found or None


SQUARES = ("exp_avg_sq", "square_avg", "v")


def _only_group(optimizer: Optimizer) -> dict | None:
    """The settings, where all groups share them."""
    first, *rest = (
        {k: v for k, v in g.items() if k not in ("params", "initial_lr")}
        for g in optimizer.param_groups
    )
    return first if all(_same(first, other) for other in rest) else None


def _same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(
        bool(a[k] == b[k]) if not isinstance(a[k], Tensor)
        else torch.equal(a[k], torch.as_tensor(b[k], device=a[k].device))
        for k in a
    )  # fmt: skip


def _sgd(group: dict, lr: float) -> float:
    mu, damping = float(group["momentum"]), float(group["dampening"])
    if mu == 0:
        return 2 / lr
    if group["nesterov"]:
        return 2 * (1 + mu) / ((1 + 2 * mu) * lr)
    return heavy_ball_edge(lr, mu, damping)
