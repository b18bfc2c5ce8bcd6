"""Entropy-SGD: descend on the loss averaged over a neighbourhood."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from dldna import checks
from dldna.optim.ops import ema
from dldna.optim.sam import needed
from dldna.optim.shell import listed, refuse_unknown


def entropy_inner(
    y: Tensor,
    g: Tensor,
    x: Tensor,
    mu: Tensor,
    noise: Tensor | float,
    *,
    inner_lr: float,
    gamma: float,
    alpha: float,
) -> tuple[Tensor, Tensor]:
    r"""One step of the walker ``y`` around ``x``, and of its average.

    .. math::
        y \leftarrow y - \eta' \left(g(y) - \gamma (x - y)\right) + \xi,
        \qquad \mu \leftarrow (1 - \alpha) \mu + \alpha y
    """
    y = y - inner_lr * (g - gamma * (x - y)) + noise
    return y, ema(mu, y, 1 - alpha)


def entropy_outer(x: Tensor, mu: Tensor, *, rate: float) -> Tensor:
    r"""Move towards the walker's average: :math:`x - r (x - \mu)`."""
    return x - rate * (x - mu)


class EntropySGD(torch.optim.Optimizer):
    r"""Entropy-SGD: gradient descent on the local entropy.

    .. math::
        F(x, \gamma) = \log \int
            e^{-f(x') - \frac{\gamma}{2} |x - x'|^2} dx', \qquad
        -\nabla F = \gamma (x - \langle x' \rangle)

    A step evaluates the closure ``steps`` times: a noisy walker around
    ``x`` estimates :math:`\langle x' \rangle`. Let the closure take its
    next batch each time, and count ``steps`` gradients for each step.
    Rules: :func:`entropy_inner`, :func:`entropy_outer`.

    Paper and authors' code differ in two places, chosen by ``form``:
    ``"paper"`` has noise :math:`\sqrt{\eta'} \epsilon` and the outer rate
    :math:`\eta\gamma`; ``"code"`` has :math:`\sqrt{2\eta'} \epsilon` and
    :math:`\eta`, which suits the small ``gamma`` of the defaults. They
    also weigh the average differently: ``alpha`` is 0.75 in the paper and
    0.25 in the code.

    Args:
        params: parameters, or dicts of them with their own settings.
        lr: outer rate :math:`\eta`.
        inner_lr: the walker's rate :math:`\eta'`.
        steps: the walker's steps.
        noise: :math:`\epsilon`.
        gamma: :math:`\gamma` before scoping; large means a narrow
            neighbourhood.
        scoping: step ``t`` uses :math:`\gamma (1 + \text{scoping})^t`.
        alpha: weight of the newest position in the average.
        form: ``"code"`` or ``"paper"``.
        seed: source of the noise; that of a step depends on the seed and
            the step's number alone.

    Example:
        >>> w = torch.nn.Parameter(torch.tensor([1.0]))
        >>> optimizer = EntropySGD([w], noise=0.0, steps=1, alpha=1.0)
        >>> def closure():
        ...     optimizer.zero_grad()
        ...     loss = (w**2).sum() / 2
        ...     loss.backward()
        ...     return loss
        >>> _ = optimizer.step(closure)
        >>> round(w.item(), 6)
        0.9

    References:
        Chaudhari, et al., 2017, ICLR, arXiv 1611.01838.
    """

    needs_closure = True

    def __init__(
        self,
        params: Any,
        lr: float = 1.0,
        inner_lr: float = 0.1,
        steps: int = 20,
        noise: float = 1e-4,
        gamma: float = 1e-4,
        scoping: float = 1e-3,
        alpha: float = 0.25,
        form: str = "code",
        seed: int = 0,
        **unknown: Any,
    ) -> None:
        defaults = {
            "lr": lr,
            "inner_lr": inner_lr,
            "steps": steps,
            "noise": noise,
            "gamma": gamma,
            "scoping": scoping,
            "alpha": alpha,
            "form": form,
            "seed": seed,
        }
        refuse_unknown("EntropySGD", unknown, list(defaults))
        super().__init__(listed(params), defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters that came later, checked like the first ones."""
        s = self.defaults | param_group
        for name in ("lr", "inner_lr", "gamma"):
            checks.positive(name, s[name])
        for name in ("noise", "scoping"):
            checks.nonnegative(name, s[name])
        checks.count("steps", s["steps"])
        checks.fraction("1 - alpha", 1 - s["alpha"])
        checks.choice("form", s["form"], ["code", "paper"])
        super().add_param_group(param_group)
        real(self)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step.

        Args:
            closure: clears the gradients, computes the loss and its
                gradients, and returns the loss.

        Returns:
            The loss of the first evaluation, at the weights.

        Raises:
            ValueError: no closure.
        """
        evaluate = needed(closure, self)
        params = [p for group in self.param_groups for p in group["params"]]
        x = [p.clone() for p in params]
        mu = [p.clone() for p in params]
        t = 1 + max((s["step"] for s in self.state.values()), default=0)
        first = self.param_groups[0]
        draw = torch.Generator().manual_seed(1_000_003 * first["seed"] + t)
        losses = []
        try:
            for _ in range(first["steps"]):
                losses.append(evaluate())
                self._walk(x, mu, t, draw)
        finally:
            for p, x_i in zip(params, x, strict=True):
                p.copy_(x_i)
        self._move(mu, t)
        return losses[0]

    def _walk(
        self, x: list[Tensor], mu: list[Tensor], t: int, draw: torch.Generator
    ) -> None:
        i = -1
        for group in self.param_groups:
            gamma = group["gamma"] * (1 + group["scoping"]) ** t
            spread = (2 if group["form"] == "code" else 1) * group["inner_lr"]
            for p in group["params"]:
                i += 1
                if p.grad is None:
                    continue
                z = torch.randn(p.shape, generator=draw).to(p)
                y, mu[i] = entropy_inner(
                    p,
                    p.grad,
                    x[i],
                    mu[i],
                    spread**0.5 * group["noise"] * z,
                    inner_lr=group["inner_lr"],
                    gamma=gamma,
                    alpha=group["alpha"],
                )
                p.copy_(y)

    def _move(self, mu: list[Tensor], t: int) -> None:
        averages = iter(mu)
        for group in self.param_groups:
            rate = group["lr"]
            if group["form"] == "paper":
                rate *= group["gamma"] * (1 + group["scoping"]) ** t
            for p in group["params"]:
                p.copy_(entropy_outer(p, next(averages), rate=rate))
                self.state[p]["step"] = t


def real(optimizer: torch.optim.Optimizer) -> None:
    """Refuse the last group if it holds complex or integer tensors."""
    for p in optimizer.param_groups[-1]["params"]:
        if not p.is_floating_point():
            optimizer.param_groups.pop()
            raise TypeError(
                f"{type(optimizer).__name__} needs real floating-point "
                f"parameters, got {p.dtype}: pass torch.view_as_real(p) "
                "for complex ones"
            )
