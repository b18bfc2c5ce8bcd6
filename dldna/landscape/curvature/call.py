"""Checks before a measure begins, and a bar while it runs."""

import inspect
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any

from torch import nn

from dldna import checks, progress
from dldna.objective import Objective, check_model


def check_call(
    model: nn.Module, options: Mapping[str, Any], *functions: Callable
) -> None:
    """Check the model, and the options that a measure hands on.

    Args:
        model: what is measured.
        options: the ``**options`` of the call.
        functions: those that take options; the keywords of all are known.

    Raises:
        TypeError: the model is no module.
        ValueError: an unknown option (the message names the nearest), or
            a model without parameters that have values.

    Example:
        >>> from dldna.landscape.curvature import Operator
        >>> check_call(nn.Linear(1, 1), {"limt": 3}, Operator)
        Traceback (most recent call last):
        ...
        ValueError: unknown option 'limt': did you mean 'limit'? Known: \
adaptive, dtype, limit, matrix, params, statistics, way
    """
    if not isinstance(model, Objective) and not is_matrix(model):
        check_model(model)
    check_options(options, *functions)


def check_options(options: Mapping[str, Any], *functions: Callable) -> None:
    """Refuse options that are keywords of none of the functions.

    Example:
        >>> check_options({"out": 1}, print)
        Traceback (most recent call last):
        ...
        ValueError: unknown option 'out': Known: end, file, flush, sep
    """
    known = [
        p.name
        for function in functions
        for p in inspect.signature(function).parameters.values()
        if p.kind is p.KEYWORD_ONLY
    ]
    for name in options:
        checks.choice("option", name, known)


def is_matrix(given: Any) -> bool:
    """Whether something is a matrix, and neither a model nor an objective.

    Example:
        >>> import numpy as np
        >>> is_matrix(np.eye(2)), is_matrix(nn.Linear(2, 2))
        (True, False)
    """
    if isinstance(given, (nn.Module, Objective, type)):
        return False
    shape = getattr(given, "shape", None)
    multiplies = hasattr(given, "__matmul__") or hasattr(given, "matvec")
    return multiplies and isinstance(shape, tuple) and len(shape) == 2


def difference_products(function: Callable) -> Callable:
    """Let a call take ``products="difference"`` for ``way="difference"``.

    Example:
        >>> @difference_products
        ... def measure(products=99, **options):
        ...     return products, options
        >>> measure(products="difference")
        (99, {'way': 'difference'})
    """

    @wraps(function)
    def call(*args, **kwargs):
        if isinstance(kwargs.get("products"), str):
            word = kwargs.pop("products")
            way = checks.choice("products", word, ("difference",))
            if kwargs.setdefault("way", way) != way:
                raise TypeError(
                    f"products={word!r} and way={kwargs['way']!r} are two "
                    "ways: give one of them"
                )
        return function(*args, **kwargs)

    return call


@contextmanager
def watch(what: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar for steps of equal cost, and an estimate where they take long.

    The estimate comes after the second step: the first one also pays for
    what is set up once.

    Args:
        what: a noun phrase.
        total: number of steps, or a bound of it.

    Returns:
        A context; what it gives is to be called after each step.

    Example:
        >>> with watch("squares", 3) as tick:
        ...     for i in range(3):
        ...         tick()
    """
    done, last = 0, time.perf_counter()
    with progress.track(range(total), what) as bar:

        def tick() -> None:
            nonlocal done, last
            now = time.perf_counter()
            done += 1
            if done == 2:
                progress.announce(what, (now - last) * total)
            last = now
            bar.update()

        yield tick
