"""Schedule-Free: an average of the iterates in place of a schedule."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from dldna import checks
from dldna.optim.ops import Hyper, State, at_least, ema, l2, scalar
from dldna.optim.rule import fractions, register
from dldna.optim.shell import RuleOptimizer


def schedule_free_sgd(
    w: Tensor,
    g: Tensor,
    state: State,
    t: int,
    *,
    lr: Hyper = 1.0,
    momentum: Hyper = 0.9,
    weight_decay: Hyper = 0.0,
) -> tuple[Tensor, State]:
    r"""SGD on ``z``, an average ``x``, gradients at ``y`` between them.

    .. math::
        z_{t+1} = z_t - \eta\, g(y_t), \quad
        x_{t+1} = (1 - c) x_t + c z_{t+1}, \quad
        y_{t+1} = (1 - \beta) z_{t+1} + \beta x_{t+1}

    with :math:`c = \eta_t^2 / \sum_i \eta_i^2`, :math:`\eta_i` being the
    largest rate up to step ``i``. The weights ``w`` are ``y``;
    :func:`average` gives ``x``.
    """
    g = l2(w, g, weight_decay)
    return averaged_step(w, g, state, lr, momentum)


def schedule_free_adamw(
    w: Tensor,
    g: Tensor,
    state: State,
    t: int,
    *,
    lr: Hyper = 2.5e-3,
    betas: tuple[Hyper, Hyper] = (0.9, 0.999),
    eps: Hyper = 1e-8,
    weight_decay: Hyper = 0.0,
) -> tuple[Tensor, State]:
    r"""The same with Adam's denominator; the average replaces ``m``.

    .. math::
        z_{t+1} = z_t - \eta \left( \frac{g}{\sqrt{v_t / (1 - \beta_2^t)}
                  + \epsilon} + \lambda y_t \right)
    """
    b1, b2 = betas
    v = ema(state["v"], g * g, b2)
    u = l2(w, g / ((v / (1 - b2**t)).sqrt() + eps), weight_decay)
    w, new = averaged_step(w, u, state, lr, b1)
    return w, {**new, "v": v}


def averaged_step(
    y: Tensor, u: Tensor, state: State, lr: Hyper, b: Hyper
) -> tuple[Tensor, State]:
    r"""Move ``z`` along ``-u``, then the average, then ``y``.

    Solved for ``y``, so that ``x`` is never recovered from it, and a
    weight without a gradient does not drift:

    .. math::
        y_{t+1} = y_t + c\,(z_t - y_t) - \eta\,(1 - \beta (1 - c))\, u

    While every rate so far was 0, ``c`` is 0 and nothing moves.
    """
    eta = at_least(state["lr_max"], lr)
    total = state["total"] + eta**2
    c = torch.where(total > 0, eta**2 / torch.where(total > 0, total, 1), 0)
    z = state["z"]
    y = y + c * (z - y) - lr * (1 - b * (1 - c)) * u
    return y, {"z": z - lr * u, "lr_max": eta, "total": total}


def average(y: Tensor, z: Tensor, b: Hyper) -> Tensor:
    r"""The averaged weights :math:`x = y + (1 / \beta - 1) (y - z)`.

    Example:
        >>> average(torch.tensor(1.5), torch.tensor(3.0), 0.75)
        tensor(1.)
    """
    return y + (1 / b - 1) * (y - z)


def init_schedule_free_sgd(w: Tensor, **_: Any) -> State:
    """``z`` at the weights, and the sum of squared rates."""
    z = w.detach().clone()
    return {"z": z, "lr_max": scalar(w, 0.0), "total": scalar(w, 0.0)}


def init_schedule_free_adamw(w: Tensor, **_: Any) -> State:
    """The same, and the second moment."""
    return {**init_schedule_free_sgd(w), "v": torch.zeros_like(w)}


def _inside(name: str, value: float) -> None:
    checks.fraction(name, checks.positive(name, value))


def _first_inside(name: str, value: tuple) -> None:
    fractions(name, value)
    checks.positive(f"{name}[0]", value[0])


def point_sgd(w: Tensor, state: State, *, momentum: Hyper, **_: Any):
    """The averaged weights."""
    return average(w, state["z"], momentum)


def point_adamw(w: Tensor, state: State, *, betas: tuple, **_: Any):
    """The averaged weights."""
    return average(w, state["z"], betas[0])


class _ScheduleFree(RuleOptimizer):
    """Two points to stand at: ``y`` to train, ``x`` to evaluate."""

    extras: ClassVar = {"training": True}
    once: ClassVar = ("training",)

    def eval(self) -> None:
        """Put the averaged weights ``x`` into the parameters."""
        self._move(False, average)

    def train(self) -> None:
        """Put ``y`` back, where gradients are to be taken."""
        self._move(True, lambda x, z, b: x + (1 - b) * (z - x))

    @torch.no_grad()
    def _move(self, training: bool, to: Any) -> None:
        self._hold_weights()
        for group in self.param_groups:
            if group["training"] != training:
                for p in group["params"]:
                    if self.state.get(p):
                        b = _weight(group)
                        p.copy_(to(p, self.state[p]["z"], b))
                group["training"] = training

    def step(self, closure: Any = None) -> Any:
        """Take one step at ``y``.

        Raises:
            RuntimeError: the parameters hold the average; call
                :meth:`train` first.
            ValueError: the weight of the average was changed.
        """
        if not all(group["training"] for group in self.param_groups):
            raise RuntimeError(
                "the parameters hold the averaged weights: call "
                "optimizer.train() before training on"
            )
        self._hold_weights()
        return super().step(closure)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state, with the weight of its average."""
        super().load_state_dict(state_dict)
        vars(self).pop("_held", None)

    def _hold_weights(self) -> None:
        """Refuse another weight of the average than it was made with."""
        held = vars(self).setdefault("_held", {})
        for i, group in enumerate(self.param_groups):
            if not any(self.state.get(p) for p in group["params"]):
                held.pop(i, None)  # nothing is averaged yet
            now = float(_weight(group))
            before = held.setdefault(i, now)
            if before != now:
                raise ValueError(
                    f"the average was made with beta = {before:g}, and it "
                    f"is {now:g} now: it must stay (give "
                    "cycle_momentum=False to a schedule that moves it)"
                )


def _weight(group: dict[str, Any]) -> Hyper:
    return group["betas"][0] if "betas" in group else group["momentum"]


class ScheduleFreeSGD(_ScheduleFree):
    r"""Schedule-Free SGD. Rule: :func:`schedule_free_sgd`.

    Call ``optimizer.eval()`` before the network is evaluated or saved for
    use and ``optimizer.train()`` before training goes on. Statistics of
    batch normalization belong to ``y``; compute them anew at ``x``.

    Args:
        params: parameters, or dicts of them with their own settings.
        lr: learning rate :math:`\eta`.
        momentum: :math:`\beta` in (0, 1).
        weight_decay: :math:`\lambda`, added to the gradient as
            :math:`\lambda y`.
        training: whether the parameters hold ``y`` now.
        maximize: climb instead of descending.

    Example:
        >>> w = torch.nn.Parameter(torch.tensor([1.0]))
        >>> optimizer = ScheduleFreeSGD([w], lr=0.25)
        >>> w.grad = torch.tensor([1.0])
        >>> optimizer.step()
        >>> optimizer.eval()
        >>> round(w.item(), 6)
        0.75

    References:
        Defazio, et al., 2024, NeurIPS, arXiv 2405.15682.
    """

    rule = register(
        schedule_free_sgd,
        init_schedule_free_sgd,
        point=point_sgd,
        momentum=_inside,
    )


class ScheduleFreeAdamW(_ScheduleFree):
    r"""Schedule-Free AdamW. Rule: :func:`schedule_free_adamw`.

    See :class:`ScheduleFreeSGD` for ``eval`` and ``train``.

    Args:
        params: parameters, or dicts of them with their own settings.
        lr: learning rate :math:`\eta`.
        betas: :math:`\beta` in (0, 1) and :math:`\beta_2` in [0, 1).
        eps: :math:`\epsilon`.
        weight_decay: :math:`\lambda`, decoupled, taken at ``y``.
        training: whether the parameters hold ``y`` now.
        maximize: climb instead of descending.

    Example:
        >>> w = torch.nn.Parameter(torch.tensor([1.0]))
        >>> optimizer = ScheduleFreeAdamW([w], lr=0.25)
        >>> w.grad = torch.tensor([100.0])
        >>> optimizer.step()
        >>> optimizer.eval()
        >>> round(w.item(), 6)
        0.75

    References:
        Defazio, et al., 2024, NeurIPS, arXiv 2405.15682.
    """

    rule = register(
        schedule_free_adamw,
        init_schedule_free_adamw,
        point=point_adamw,
        betas=_first_inside,
    )
