"""Who takes part in a tournament, and how each is built for a network."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from torch import nn

from dldna import checks
from dldna.optim import find, muon_and_adamw
from dldna.optim.registry import plain

GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Contestant:
    """An optimizer, its usual learning rate, and what is not tuned.

    Args:
        name: how it is called in tables.
        optimizer: its name, in any spelling of :func:`dldna.optim.find`.
        lr: the learning rate around which rates are drawn.
        fixed: other settings, the same in all trials.

    Example:
        >>> slow = Contestant("slow Adam", "Adam", 1e-4, {"eps": 1e-6})
        >>> net = nn.Linear(2, 2)
        >>> slow.build(net, 3e-4).param_groups[0]["lr"]
        0.0003
    """

    name: str
    optimizer: str
    lr: float
    fixed: Mapping[str, Any] = field(
        default_factory=lambda: MappingProxyType({})
    )

    def __post_init__(self):
        find(self.optimizer)
        checks.positive("lr", self.lr)

    def build(self, model: nn.Module, lr: float) -> Any:
        """The optimizer for a network's parameters.

        Muon moves the hidden matrices alone, and AdamW all the rest, at
        the same rate: :func:`dldna.optim.muon_and_adamw` without kernels.

        Raises:
            ValueError: Muon, and the network has no hidden matrix.
        """
        known = find(self.optimizer)
        if known.name == "Muon":
            fixed = dict(self.fixed)
            decay = fixed.pop("weight_decay", 0.01)
            return muon_and_adamw(
                model, lr, weight_decay=decay, kernels=False, muon=fixed
            )
        return known.build(model.parameters(), lr=lr, **self.fixed)

    @property
    def settings(self) -> dict[str, Any]:
        """All settings but the rate: the variant's own, and the fixed."""
        return {**find(self.optimizer).settings, **self.fixed}

    @property
    def rule(self) -> str | None:
        """The name of its rule where a sweep can do all of its work."""
        known = find(self.optimizer)
        rule = known.rule
        if rule is None or hasattr(known.cls, "needs_curvature"):
            return None
        return rule.name if rule.kind in ("elementwise", "tensor") else None


# A decoupled decay is part of four of them; it is 0.01 for each.
CONTESTANTS: dict[str, Contestant] = {
    c.name: c
    for c in (
        Contestant("SGD", "SGD", 0.05, {"momentum": 0.9}),
        Contestant("Adam", "Adam", 1e-3),
        Contestant("AdamW", "AdamW", 1e-3, {"weight_decay": 0.01}),
        Contestant("Lion", "Lion", 1e-4, {"weight_decay": 0.01}),
        Contestant("Sophia", "SophiaG", 1e-3, {"weight_decay": 0.01}),
        Contestant("AdaFactor", "Adafactor", 1e-2),
        Contestant("Muon", "Muon", 1e-3, {"weight_decay": 0.01}),
    )
}
"""Seven optimizers with their usual rates: SGD with momentum 0.9, Adam,
AdamW, Lion, Sophia (with the Gauss-Newton-Bartlett estimator), AdaFactor,
Muon."""


def chosen(
    optimizers: Iterable[str | Contestant] | None,
) -> list[Contestant]:
    """Contestants by name, or as given.

    Raises:
        ValueError: none, an unknown name, or one name twice.
    """
    wanted = CONTESTANTS if optimizers is None else optimizers
    if isinstance(wanted, str):
        wanted = [wanted]
    names = {plain(name): name for name in CONTESTANTS}
    found = [
        c
        if isinstance(c, Contestant)
        else CONTESTANTS[
            checks.choice("contestant", names.get(plain(c), c), CONTESTANTS)
        ]
        for c in wanted
    ]
    names = [c.name for c in found]
    if not found or len(set(names)) < len(names):
        raise ValueError(
            f"a tournament needs contestants of different names, not {names}"
        )
    return found


def factors(budget: int, decades: float = 3.0) -> list[float]:
    """Quasi-random factors on the usual rate, the same for everybody.

    The exponents are spread evenly over ``decades``, whatever the number
    of them: each is the last one plus the golden ratio, modulo the range.
    The first factor is 1, so that a budget of one is the usual rate.

    Args:
        budget: how many.
        decades: width of the range in powers of ten, half on each side.

    Returns:
        Factors in ``[10**(-decades/2), 10**(decades/2))``.

    Example:
        >>> [round(f, 3) for f in factors(4)]
        [1.0, 0.071, 5.107, 0.365]
    """
    checks.count("budget", budget)
    checks.positive("decades", decades)
    return [
        10.0 ** (decades * ((0.5 + j * GOLDEN) % 1 - 0.5))
        for j in range(budget)
    ]
