"""PAL: step to the minimum of a parabola along the gradient."""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from dldna import checks
from dldna.optim.base_optimizer import LossStepper, listed, refuse_unknown
from dldna.optim.ops import pick
from dldna.optim.sam import length


class Parabola(NamedTuple):
    """``a s^2 + b s + c`` along the line, and the step taken.

    Attributes:
        a: half the curvature.
        b: slope at the start.
        c: loss at the start.
        s: distance moved.
    """

    a: float
    b: float
    c: float
    s: float


def pal(
    l0: Tensor,
    lm: Tensor,
    b: Tensor,
    *,
    lr: float,
    alpha: float,
    s_max: float,
) -> tuple[Tensor, Tensor]:
    r"""How far to go, from the losses at 0 and at :math:`\mu` (``lr``).

    .. math::
        a = \frac{l(\mu) - l(0) - b \mu}{\mu^2}, \qquad
        s = \begin{cases}
            -\alpha b / 2a & a > 0, b < 0 \\
            \mu & a \le 0, b < 0 \\
            0 & b \ge 0 \end{cases}

    and at most ``s_max``. Returns ``s`` and ``a``.

    Example:
        >>> l0, lm, b = torch.tensor([2.0, 1.25, -2.0])
        >>> pal(l0, lm, b, lr=0.5, alpha=1.0, s_max=3.0)
        (tensor(1.), tensor(1.))
    """
    a = (lm - l0 - b * lr) / lr**2
    s = pick(a > 0, -alpha * b / (2 * a), torch.full_like(b, lr))
    s = pick(b < 0, s, torch.zeros_like(b))
    return s.clamp(max=s_max), a


class PAL(LossStepper):
    r"""Parabolic approximation line search. Rule: :func:`pal`.

    A step evaluates the closure at the weights and at the distance ``lr``
    along the normalized direction of descent, with the same random
    numbers (dropout repeats its mask), fits a parabola through both
    losses and the slope, and jumps to its minimum. The closure must keep
    to one batch. :attr:`last` is the parabola of the last step.

    Args:
        params: parameters, or dicts of them; one line runs through all.
        lr: measuring step :math:`\mu`. On a quadratic the result does
            not depend on it; 0.1 to 1 is usual. At 0 nothing is measured
            and nothing moves.
        alpha: factor on the parabola's minimum, 1 to 1.7.
        beta: the direction follows :math:`q = \beta q + g`, in [0, 1).
        s_max: largest distance.

    Example:
        >>> w = torch.nn.Parameter(torch.tensor([3.0]))
        >>> optimizer = PAL([w], lr=0.5, alpha=1.0)
        >>> def closure():
        ...     optimizer.zero_grad()
        ...     loss = (w**2).sum()
        ...     loss.backward()
        ...     return loss
        >>> _ = optimizer.step(closure)
        >>> w.item()
        0.0
        >>> optimizer.last
        Parabola(a=1.0, b=-6.0, c=9.0, s=3.0)

    References:
        Mutschler, Zell, 2020, NeurIPS, arXiv 1903.11991.
    """

    needs_closure = True
    once: ClassVar = ("lr", "alpha", "beta", "s_max")
    optional: ClassVar = {"q": "beta"}
    last: Parabola | None = None

    def __init__(
        self,
        params: Any,
        lr: float = 1.0,
        alpha: float = 1 / 0.6,
        beta: float = 0.4,
        s_max: float = 3.16,
        **unknown: Any,
    ) -> None:
        defaults = {"lr": lr, "alpha": alpha, "beta": beta, "s_max": s_max}
        refuse_unknown("PAL", unknown, list(defaults))
        super().__init__(listed(params), defaults)

    def check(self, hyper: dict[str, Any]) -> None:
        """Refuse settings that cannot be meant."""
        checks.nonnegative("lr", hyper["lr"])
        for name in ("alpha", "s_max"):
            checks.positive(name, hyper[name])
        checks.fraction("beta", hyper["beta"])

    def expected(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        """The state that this optimizer keeps for a parameter."""
        return {"q": torch.empty_like(p, device="meta")}

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"last": self.last}

    def _step_by(self, evaluate: Callable[[], Any]) -> Any:
        """Take one step; the loss at the weights."""
        self.check_together(self.param_groups)
        group = self.param_groups[0]
        random = _random_state()
        loss = evaluate()
        params = [
            p
            for g in self.param_groups
            for p in g["params"]
            if p.grad is not None
        ]
        if not params or float(group["lr"]) == 0:  # nothing to measure
            return loss
        gradients = [p.grad.clone() for p in params]
        q = self._direction(params, gradients, group["beta"])
        norm = length(q)
        norm = torch.where(norm > 0, norm, 1.0)
        d = [-q_i / norm for q_i in q]
        pairs = zip(gradients, d, strict=True)
        b = torch.stack([(g * d_i).sum() for g, d_i in pairs]).sum()
        before = [p.clone() for p in params]
        s = torch.zeros_like(b)
        try:
            self._go(params, before, d, group["lr"])
            _set_random_state(random)
            hyper = {k: group[k] for k in ("lr", "alpha", "s_max")}
            s, a = pal(loss, evaluate(), b, **hyper)
        finally:
            self._go(params, before, d, s)
        self.last = Parabola(*(float(x) for x in (a, b, loss, s)))
        if group["beta"] > 0:  # only now: a step that broke off was none
            for p, q_i in zip(params, q, strict=True):
                self.state[p]["q"] = q_i
        return loss

    def _direction(
        self, params: list[Tensor], gradients: list[Tensor], beta: float
    ) -> list[Tensor]:
        if beta == 0:
            return gradients
        last = [self.state.get(p, {}).get("q") for p in params]
        pairs = zip(last, gradients, strict=True)
        return [g if q is None else beta * q + g for q, g in pairs]

    @staticmethod
    def _go(
        params: list[Tensor], start: list[Tensor], d: list[Tensor], s: Any
    ) -> None:
        for p, w, d_i in zip(params, start, d, strict=True):
            p.copy_(w + s * d_i)


def _random_state() -> tuple:
    cuda = torch.cuda.is_available() and torch.cuda.is_initialized()
    device = torch.cuda.get_rng_state_all() if cuda else []
    return torch.get_rng_state(), device


def _set_random_state(state: tuple) -> None:
    torch.set_rng_state(state[0])
    if state[1]:
        torch.cuda.set_rng_state_all(state[1])
