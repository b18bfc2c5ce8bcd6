"""The one table of optimizers, by any spelling of their names."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from dldna import checks
from dldna.optim.base_optimizer import OPTIMIZERS
from dldna.optim.rule import Rule

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "SGD+": ("SGD", {"momentum": 0.9}),
    "Nesterov": ("SGD", {"momentum": 0.9, "nesterov": True}),
    "SignSGD": ("Lion", {"betas": (0.0, 0.0)}),
    "AMSGrad": ("Adam", {"amsgrad": True}),
}
"""Names in use for an optimizer with certain settings."""

ALSO = {
    "momentum": "SGD+",
    "heavyball": "SGD+",
    "polyak": "SGD+",
    "nag": "Nesterov",
    "nesterovmomentum": "Nesterov",
    "adamwamsgrad": "AMSGrad",
    "sophia": "SophiaH",
    "dadapt": "DAdaptAdam",
    "dadaptation": "DAdaptAdam",
    "sgdschedulefree": "ScheduleFreeSGD",
    "adamwschedulefree": "ScheduleFreeAdamW",
}
"""Other names in use, in small letters without any signs."""

SHORT = {
    "SGD+": "momentum",
    "SophiaH": "sophia",
    "SophiaG": "sophia_g",
    "EntropySGD": "entropy_sgd",
    "ExactMARS": "exact_mars",
}
"""Names for code where they are not the rule's."""


@dataclass(frozen=True)
class Known:
    """An optimizer of the table.

    Attributes:
        name: its name in tables and figures: ``"AdamW"``, ``"SGD+"``.
        key: its name in code: ``"adamw"``, ``"momentum"``.
        cls: its class.
        settings: what makes the variant; the class's defaults else.
    """

    name: str
    key: str
    cls: type[torch.optim.Optimizer]
    settings: Mapping[str, Any]

    @property
    def rule(self) -> Rule | None:
        """Its pure rule; None where a step evaluates the loss itself."""
        return getattr(self.cls, "rule", None)

    def build(self, params: Iterable, **hyper: Any) -> torch.optim.Optimizer:
        """The optimizer for these parameters."""
        return self.cls(params, **{**self.settings, **hyper})


def find(name: str) -> Known:
    """The optimizer of a name, in any spelling.

    Case, spaces and signs do not matter; the playground's names, the
    rules' and those in use elsewhere are known, too.

    Args:
        name: a key of :data:`OPTIMIZERS` or :data:`VARIANTS`, a rule's
            name, or another name in use: ``"momentum"``,
            ``"D-Adaptation"``, ``"Schedule-Free AdamW"``.

    Returns:
        Class, settings and rule.

    Raises:
        ValueError: unknown name; the message suggests the nearest one.

    Example:
        >>> find("momentum").settings, find("SGD+").key
        ({'momentum': 0.9}, 'momentum')
        >>> find("D-Adaptation").name, find("schedule_free_sgd").name
        ('DAdaptAdam', 'ScheduleFreeSGD')
        >>> find("Adan")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        ValueError: unknown optimizer 'Adan': did you mean 'Adam'? Known: ...
    """
    known = {plain(k): k for k in (*OPTIMIZERS, *VARIANTS)}
    known |= {k: v for k, v in ALSO.items() if v in known.values()}
    found = known.get(plain(name))
    if found is None:
        checks.choice("optimizer", name, [*OPTIMIZERS, *VARIANTS])
    base, settings = VARIANTS.get(found, (found, {}))
    cls = OPTIMIZERS[base]
    key = SHORT.get(found, plain(found))
    if found in OPTIMIZERS and found not in SHORT and hasattr(cls, "rule"):
        key = cls.rule.name
    return Known(found, key, cls, settings)


def plain(name: Any) -> str:
    """A name in small letters, without spaces and signs (but "+").

    Example:
        >>> plain("Schedule-Free AdamW")
        'schedulefreeadamw'
    """
    return re.sub(r"[^a-z0-9+]", "", str(name).lower())


def make(name: str, params: Iterable, **hyper: Any) -> torch.optim.Optimizer:
    """Build an optimizer by its name, in any spelling that :func:`find` knows.

    Args:
        name: of the optimizer.
        params: parameters, or dicts of them with their own settings.
        **hyper: the optimizer's own arguments.

    Returns:
        The optimizer.

    Raises:
        ValueError: unknown name; the message suggests the nearest one.

    Example:
        >>> w = torch.nn.Parameter(torch.zeros(3))
        >>> type(make("adamw", [w], lr=0.1)).__name__
        'AdamW'
        >>> make("momentum", [w]).param_groups[0]["momentum"]
        0.9
    """
    return find(name).build(params, **hyper)
