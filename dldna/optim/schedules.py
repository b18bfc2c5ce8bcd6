"""Learning-rate schedules by name, and their curves without training."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.optim import lr_scheduler as torch_schedules

from dldna import checks

ENDS = ("cosine", "constant")


class Noam:
    r"""Factor of the transformer's schedule, for a base rate of 1.

    .. math::
        d^{-1/2} \min(t^{-1/2},\; t\, w^{-3/2}), \qquad t = 1, 2, \dots

    Args:
        d_model: width :math:`d`.
        warmup: steps :math:`w` of rising rate.

    Example:
        >>> noam = Noam(d_model=4, warmup=4)
        >>> [noam(t) for t in (0, 3, 15)]
        [0.0625, 0.25, 0.125]
    """

    def __init__(self, d_model: int, warmup: int = 4000) -> None:
        self.d_model = checks.count("d_model", d_model)
        self.warmup = checks.count("warmup", warmup)

    def __call__(self, done: int) -> float:
        t = done + 1
        rise = min(t**-0.5, t * self.warmup**-1.5)
        return self.d_model**-0.5 * rise


class WarmupStableDecay:
    """Factor that rises linearly, stays at 1, and falls linearly.

    Args:
        warmup: steps of rising rate.
        stable: steps at the base rate.
        decay: steps of falling rate.
        start: first factor.
        end: last factor.

    Example:
        >>> wsd = WarmupStableDecay(warmup=2, stable=2, decay=4)
        >>> [wsd(t) for t in range(9)]
        [0.0, 0.5, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0]
    """

    def __init__(
        self,
        warmup: int,
        stable: int,
        decay: int,
        start: float = 0.0,
        end: float = 0.0,
    ) -> None:
        self.warmup = checks.count("warmup", warmup, 0)
        self.stable = checks.count("stable", stable, 0)
        self.decay = checks.count("decay", decay, 1)
        self.start = checks.nonnegative("start", start)
        self.end = checks.nonnegative("end", end)

    def __call__(self, done: int) -> float:
        if done < self.warmup:
            return self.start + (1 - self.start) * done / self.warmup
        left = self.warmup + self.stable + self.decay - done
        share = min(1.0, max(0.0, left / self.decay))
        return self.end + (1 - self.end) * share


class WarmupThen:
    r"""Factor on the rate of step k of K, of which W are warm-up.

    .. math:: \min\Bigl(1, \frac{k + 1}{W}\Bigr) \cdot
        \tfrac12 \bigl(1 + \cos(\pi k / K)\bigr),

    or without the cosine where the rate is to stay.

    Args:
        steps: K.
        warmup: share of the steps, W / K; 0 for none.
        end: ``cosine`` or ``constant``.

    Example:
        >>> factor = WarmupThen(8, 0.5)
        >>> [round(factor(k), 2) for k in (0, 3, 4, 8)]
        [0.25, 0.69, 0.5, 0.0]
    """

    def __init__(self, steps: int, warmup: float = 0.1, end: str = "cosine"):
        self.steps = checks.count("steps", steps)
        if not 0 <= warmup <= 1:
            raise ValueError(f"warmup is a share of the steps, not {warmup}")
        self.rise = max(1, round(warmup * steps))
        self.falls = checks.choice("end", end, ENDS) == "cosine"

    def __call__(self, k: int) -> float:
        rise = min(1.0, (k + 1) / self.rise)
        share = min(1.0, k / self.steps)
        return rise * (0.5 + 0.5 * math.cos(math.pi * share)) ** self.falls


def _noam(optimizer: Any, **settings: Any) -> Any:
    return torch_schedules.LambdaLR(optimizer, Noam(**settings))


def _wsd(optimizer: Any, **settings: Any) -> Any:
    return torch_schedules.LambdaLR(optimizer, WarmupStableDecay(**settings))


SCHEDULES: dict[str, Callable[..., Any]] = {
    "step": torch_schedules.StepLR,
    "exponential": torch_schedules.ExponentialLR,
    "polynomial": torch_schedules.PolynomialLR,
    "cosine": torch_schedules.CosineAnnealingLR,
    "restarts": torch_schedules.CosineAnnealingWarmRestarts,
    "warmup": torch_schedules.LinearLR,
    "noam": _noam,
    "wsd": _wsd,
    "one_cycle": torch_schedules.OneCycleLR,
    "cyclic": torch_schedules.CyclicLR,
    "plateau": torch_schedules.ReduceLROnPlateau,
}
"""Schedules by name: torch's own classes wherever torch has them."""


def schedule(
    name: str, optimizer: torch.optim.Optimizer, **settings: Any
) -> Any:
    """A scheduler by its name.

    Call ``optimizer.step()`` before ``scheduler.step()``. ``"one_cycle"``
    and ``"cyclic"`` also move the momentum (or the first beta), and refuse
    an optimizer without one; ``cycle_momentum=False`` leaves it alone.

    Args:
        name: a key of :data:`SCHEDULES`.
        optimizer: whose learning rate to move; its ``lr`` is the base
            rate (1 for ``"noam"``, which knows no other).
        **settings: the scheduler's own: ``step_size`` and ``gamma`` for
            ``"step"``; ``gamma`` for ``"exponential"``; ``total_iters``
            and ``power`` for ``"polynomial"``; ``T_max`` and ``eta_min``
            for ``"cosine"``; ``T_0`` for ``"restarts"``; ``start_factor``
            and ``total_iters`` for ``"warmup"``; those of :class:`Noam`
            and :class:`WarmupStableDecay`; ``max_lr`` and ``total_steps``
            for ``"one_cycle"``; ``factor`` and ``patience`` for
            ``"plateau"``, whose ``step`` takes the loss.

    Returns:
        A scheduler with ``step``, ``get_last_lr`` and ``state_dict``.

    Raises:
        ValueError: unknown name; the message suggests the nearest one.

    Example:
        >>> from dldna.optim import SGD
        >>> optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
        >>> halve = schedule("step", optimizer, step_size=1, gamma=0.5)
        >>> optimizer.step(); halve.step()
        >>> halve.get_last_lr()
        [0.25]
    """
    checks.choice("schedule", name, SCHEDULES)
    return SCHEDULES[name](optimizer, **settings)


def schedule_values(
    name: str,
    steps: int,
    lr: float = 0.1,
    metric: float = 1.0,
    **settings: Any,
) -> list[float]:
    """The learning rate before each step, without any training.

    Args:
        name: a key of :data:`SCHEDULES`.
        steps: number of steps.
        lr: base rate.
        metric: the loss that ``"plateau"`` is shown at every step.
        **settings: the scheduler's own, as in :func:`schedule`.

    Returns:
        ``steps`` rates; the first is the one of the first step.

    Example:
        >>> schedule_values("exponential", 3, lr=1.0, gamma=0.5)
        [1.0, 0.5, 0.25]
    """
    checks.count("steps", steps)
    weight = torch.nn.Parameter(torch.zeros(1, device="cpu"))
    optimizer = torch.optim.SGD([weight], lr=checks.positive("lr", lr))
    scheduler = schedule(name, optimizer, **settings)
    shown = (metric,) if name == "plateau" else ()
    rates = []
    for i in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if i + 1 < steps:
            scheduler.step(*shown)
    return rates
