"""What a sweep is given, checked before it begins."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from dldna import checks
from dldna.graph import ComputationalGraph


def check_sweep(make_model: Any, data: Any, settings: Any) -> None:
    """Refuse what is no maker of models, no pair, or no list of settings.

    Raises:
        TypeError: one of the three is of another kind.
        ValueError: there are no settings.

    Example:
        >>> check_sweep(lambda seed: nn.Linear(1, 1), (0, 0), {"lr": 0.1})
        Traceback (most recent call last):
        ...
        TypeError: settings must be a list with a mapping for each setting, \
as [{'lr': 0.1}, {'lr': 1.0}], not {'lr': 0.1}
    """
    made = isinstance(make_model, ComputationalGraph)
    if not made and (
        isinstance(make_model, nn.Module) or not callable(make_model)
    ):
        raise TypeError(
            "make_model must be a function that makes a module for a seed, "
            f"seed -> module, not a {type(make_model).__name__}"
        )
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise TypeError(
            "data must be a pair of tensors (inputs, targets), as "
            f"(d.train_x, d.train_y), not a {type(data).__name__}"
        )
    one = isinstance(settings, (Mapping, str))
    if (
        one
        or not isinstance(settings, Iterable)
        or not all(isinstance(s, Mapping) for s in settings)
    ):
        raise TypeError(
            "settings must be a list with a mapping for each setting, as "
            f"[{{'lr': 0.1}}, {{'lr': 1.0}}], not {settings!r}"
        )
    if not settings:
        raise ValueError("no settings: a sweep needs at least one")


def seeds_of(seeds: Any) -> list[int]:
    """The seeds, at least one.

    Example:
        >>> seeds_of(range(2))
        [0, 1]
    """
    found = checks.seeds(seeds)
    if not found:
        raise ValueError("no seeds: a sweep needs at least one")
    return found
