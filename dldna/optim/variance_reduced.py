"""MARS: AdamW on gradients whose noise is reduced by the last ones."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from dldna import checks
from dldna.optim.adam import adamw
from dldna.optim.base_optimizer import LossStepper, listed, refuse_unknown
from dldna.optim.ops import Hyper, State, at_least, axpy, wide
from dldna.optim.replay import whole
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
    :class:`Mixed` makes one optimizer of the two. Its exact form is
    :class:`ExactMARS`.

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


class ExactMARS(LossStepper):
    r"""MARS-AdamW in its exact form. Rule: :func:`mars`.

    A step evaluates the closure twice, on the same batch: at the weights
    before the last step, for :math:`g'_t`, and at the weights. In the first
    step the two are one. Dropout draws anew for each of the two, and layers
    with running statistics see both passes.

    Args:
        params: parameters, or dicts of them with their own settings.
        lr: learning rate :math:`\eta`.
        betas: :math:`\beta_1, \beta_2`, each in [0, 1).
        gamma: :math:`\gamma`, strength of the correction.
        eps: :math:`\epsilon`.
        weight_decay: :math:`\lambda`, decoupled.
        maximize: climb instead of descending.

    With a gradient scaler take :func:`dldna.optim.scaled_step`.

    Example:
        >>> w = torch.nn.Parameter(torch.tensor([1.0]))
        >>> optimizer = ExactMARS([w], lr=0.25)
        >>> def closure():
        ...     optimizer.zero_grad()
        ...     loss = (w**2).sum() / 2
        ...     loss.backward()
        ...     return loss
        >>> [round(optimizer.step(closure).item(), 3) for _ in range(2)]
        [0.5, 0.281]

    References:
        Yuan, Liu, Wu, Zhou, Gu, 2024, arXiv 2411.10438.
    """

    needs_closure = True

    def __init__(
        self,
        params: Iterable,
        lr: float = 3e-3,
        betas: tuple[float, float] = (0.95, 0.99),
        gamma: float = 0.025,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        maximize: bool = False,
        **unknown: Any,
    ) -> None:
        hyper = {
            "lr": lr, "betas": betas, "gamma": gamma, "eps": eps,
            "weight_decay": weight_decay,
        }  # fmt: skip
        refuse_unknown("ExactMARS", unknown, [*hyper, "maximize"])
        super().__init__(listed(params), {**hyper, "maximize": maximize})

    def check(self, hyper: dict[str, Any]) -> None:
        """Refuse a group's settings that cannot be meant."""
        MARS.rule.check(hyper)

    def expected(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        """The state that this optimizer keeps for a parameter."""
        like = torch.empty_like(p, device="meta")
        return {"step": 0, **{k: like for k in ("m", "v", "before")}}

    def _step_by(self, evaluate: Callable[[], Any]) -> Any:
        """Take one step; the loss at the weights."""
        lasts = self._lasts(evaluate)
        loss = evaluate()
        for group in self.param_groups:
            sign = -1 if group["maximize"] else 1
            hyper = {name: group[name] for name in MARS.rule.defaults}
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    kept = {k: torch.zeros_like(p) for k in ("m", "v")}
                    before = torch.empty_like(p)
                    state |= {"step": 0, **kept, "before": before}
                state["before"].copy_(p)
                state["step"] += 1
                g = sign * self.gradient(p)
                inner = {k: state[k] for k in ("step", "m", "v")}
                inner["last"] = sign * lasts.get(p, p.grad)
                whole(mars, p, g, inner, hyper)
        return loss

    def _lasts(self, evaluate: Callable[[], Any]) -> dict[Tensor, Tensor]:
        """The gradients at the weights before the last step."""
        moved = [p for p, state in self.state.items() if "before" in state]
        if not moved:
            return {}
        now = [p.clone() for p in moved]
        try:
            for p in moved:
                p.copy_(self.state[p]["before"])
            evaluate()
            return {p: p.grad.clone() for p in moved if p.grad is not None}
        finally:
            for p, kept in zip(moved, now, strict=True):
                p.copy_(kept)
