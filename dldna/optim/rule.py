"""What an update rule is, and the table of all of them."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from dldna import checks
from dldna.optim.ops import State

KINDS = ("elementwise", "tensor", "matrix", "network")


@dataclass(frozen=True)
class Rule:
    """An optimizer's arithmetic, free of any bookkeeping.

    Attributes:
        name: the rule's name, that of its function.
        update: ``update(w, g, state, t, *, lr, ...) -> (w, state)``. New
            tensors come out and the arguments are not written;
            ``t = 1, 2, ...`` counts the steps.
        init: ``init(w, **hyper) -> state`` before the first step.
        kind: what the rule looks at. ``"elementwise"``: each weight on its
            own; hyperparameters may be tensors that broadcast against
            ``w``. ``"tensor"``: a whole tensor (its norm, its rows).
            ``"matrix"``: a matrix product or factorization. ``"network"``:
            all the weights of the network as one vector. The last three
            run under :func:`torch.vmap` over a leading axis of runs.
        defaults: hyperparameters and their default values.
        point: ``point(w, state, **hyper) -> w``, the weights to evaluate
            the network at; ``w`` itself for nearly every rule.
        tests: what each hyperparameter must satisfy.
    """

    name: str
    update: Callable[..., tuple[Tensor, State]]
    init: Callable[..., State]
    kind: str
    defaults: Mapping[str, Any]
    point: Callable[..., Tensor] = field(repr=False)
    tests: Mapping[str, Callable[[str, Any], Any]] = field(repr=False)

    def check(self, hyper: Mapping[str, Any]) -> None:
        """Refuse hyperparameters that cannot be meant.

        Example:
            >>> RULES["sgd"].check({"lr": -1.0})
            Traceback (most recent call last):
            ...
            ValueError: lr must be 0 or greater, not -1.0
        """
        for name, value in hyper.items():
            if name in self.tests:
                self.tests[name](name, value)


RULES: dict[str, Rule] = {}


def zeros(*names: str) -> Callable[..., State]:
    """A rule's ``init`` that starts the named tensors at zero."""

    def init(w: Tensor, **_: Any) -> State:
        return {name: torch.zeros_like(w) for name in names}

    return init


def stay(w: Tensor, state: State, **_: Any) -> Tensor:
    """The weights themselves."""
    return w


def several(name: str, values: Any, count: int) -> tuple:
    """The values, if they are as many as the rule unpacks.

    Example:
        >>> several("betas", 0.9, 2)
        Traceback (most recent call last):
        ...
        TypeError: betas must be 2 numbers, not 0.9
    """
    if not isinstance(values, (tuple, list)) or len(values) != count:
        raise TypeError(f"{name} must be {count} numbers, not {values!r}")
    return tuple(values)


def fractions(name: str, values: tuple, count: int = 2) -> None:
    """Check decay rates, as a rule a pair: each in [0, 1)."""
    for i, value in enumerate(several(name, values, count)):
        checks.fraction(f"{name}[{i}]", value)


TESTS: dict[str, Callable[[str, Any], Any]] = {
    "lr": checks.nonnegative,  # 0 freezes a group
    "betas": fractions,
    "eps": checks.nonnegative,
    "weight_decay": checks.nonnegative,
    "momentum": checks.fraction,
}


def register(
    update: Callable[..., tuple[Tensor, State]],
    init: Callable[..., State],
    kind: str = "elementwise",
    point: Callable[..., Tensor] = stay,
    **tests: Callable[[str, Any], Any],
) -> Rule:
    """Put a rule into the table; its keyword arguments are its defaults."""
    checks.choice("kind of rule", kind, KINDS)
    defaults = {
        name: p.default
        for name, p in inspect.signature(update).parameters.items()
        if p.kind is p.KEYWORD_ONLY
    }
    name = update.__name__
    tests = TESTS | tests
    RULES[name] = Rule(name, update, init, kind, defaults, point, tests)
    return RULES[name]
