"""Who takes part in a tournament, and how each is built for a network."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from dldna import checks
from dldna.optim import OPTIMIZERS, make

GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Contestant:
    """An optimizer, its usual learning rate, and what is not tuned.

    Args:
        name: how it is called in tables.
        optimizer: a key of :data:`dldna.optim.OPTIMIZERS`.
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
        checks.choice("optimizer", self.optimizer, OPTIMIZERS)
        checks.positive("lr", self.lr)

    def build(self, model: nn.Module, lr: float) -> Any:
        """The optimizer for a network's parameters.

        Muon moves the hidden matrices alone, and AdamW all the rest, at
        the same rate.

        Raises:
            ValueError: Muon, and the network has no hidden matrix.
        """
        if self.optimizer == "Muon":
            return muon_and_adamw(model, lr, self.fixed)
        return make(self.optimizer, model.parameters(), lr=lr, **self.fixed)

    @property
    def rule(self) -> str | None:
        """The name of its rule where a sweep can do all of its work."""
        cls = OPTIMIZERS[self.optimizer]
        plain = cls.rule.kind in ("elementwise", "tensor")
        alone = not cls.needs_closure and not hasattr(cls, "needs_curvature")
        return cls.rule.name if plain and alone else None


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
    found = [
        c
        if isinstance(c, Contestant)
        else CONTESTANTS[checks.choice("contestant", c, CONTESTANTS)]
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


def hidden_matrices(model: nn.Module) -> list[Tensor]:
    """Weight matrices of a network but for its first and last layer.

    Example:
        >>> net = nn.Sequential(*(nn.Linear(n, n + 1) for n in (2, 3, 4)))
        >>> [tuple(w.shape) for w in hidden_matrices(net)]
        [(4, 3)]
    """
    weights = [
        p
        for name, p in model.named_parameters()
        if p.dim() > 1 and name.endswith("weight")
    ]
    return [p for p in weights[1:-1] if p.dim() == 2]


class Mixed:
    """Several optimizers that step as one, each with its own parameters.

    It has what :func:`dldna.training.train` asks of an optimizer.

    Args:
        *parts: the optimizers.
    """

    def __init__(self, *parts: torch.optim.Optimizer):
        self.parts = parts

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [g for part in self.parts for g in part.param_groups]

    @property
    def state(self) -> dict[Tensor, Any]:
        return {p: s for part in self.parts for p, s in part.state.items()}

    def zero_grad(self, set_to_none: bool = True) -> None:
        for part in self.parts:
            part.zero_grad(set_to_none)

    def step(self) -> None:
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for part, saved in zip(self.parts, state["parts"], strict=True):
            part.load_state_dict(saved)


def muon_and_adamw(
    model: nn.Module, lr: float, settings: Mapping[str, Any]
) -> Mixed:
    """Muon on the hidden matrices and AdamW on the rest, at one rate.

    ``match_rms_adamw`` gives Muon's steps the size of AdamW's.
    """
    inner = hidden_matrices(model)
    if not inner:
        raise ValueError(
            "Muon needs a hidden matrix: this network has none between its "
            "first and its last layer"
        )
    taken = {id(p) for p in inner}
    rest = [p for p in model.parameters() if id(p) not in taken]
    decay = settings.get("weight_decay", 0.01)
    matched = {"adjust_lr_fn": "match_rms_adamw", **settings}
    return Mixed(
        make("Muon", inner, lr=lr, **matched),
        make("AdamW", rest, lr=lr, weight_decay=decay),
    )
