"""Entropy-SGD: descend on the loss averaged over a neighbourhood."""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from dldna import checks
from dldna.optim.base_optimizer import LossStepper, listed, refuse_unknown
from dldna.optim.ops import ema


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


class EntropySGD(LossStepper):
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
        params: parameters, or dicts of them with their own settings;
            ``steps`` and ``seed`` are the same for all.
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
    once: ClassVar = ("steps", "seed")

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

    def check(self, hyper: dict[str, Any]) -> None:
        """Refuse settings that cannot be meant."""
        for name in ("lr", "noise", "scoping"):
            checks.nonnegative(name, hyper[name])
        for name in ("inner_lr", "gamma"):
            checks.positive(name, hyper[name])
        checks.count("steps", hyper["steps"])
        checks.whole("seed", hyper["seed"])
        checks.fraction(
            "1 - alpha", 1 - checks.number("alpha", hyper["alpha"])
        )
        checks.choice("form", hyper["form"], ["code", "paper"])

    def expected(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        """The state that this optimizer keeps for a parameter."""
        return {"step": 0}

    def _step_by(self, evaluate: Callable[[], Any]) -> Any:
        """Take one step; the loss at the weights."""
        self.check_together(self.param_groups)
        params = [p for group in self.param_groups for p in group["params"]]
        x = [p.clone() for p in params]
        mu = [p.clone() for p in params]
        done = (s.get("step", 0) for s in self.state.values())
        t = 1 + max(done, default=0)
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
                z = torch.randn(p.shape, generator=draw, device="cpu").to(p)
                y, mu[i] = entropy_inner(
                    p,
                    self.gradient(p),
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
