"""Checks of arguments: each error says what was wrong and what to do."""

import contextlib
import difflib
import functools
import math
import operator
import os
import sys
import warnings
from collections.abc import Callable, Collection, Iterable
from pathlib import Path


def choice(kind: str, name: str, known: Collection[str]) -> str:
    """Return ``name`` if it is one of ``known``, else say which was meant.

    Args:
        kind: what is being chosen, for the message ("optimizer").
        name: the reader's word.
        known: the words that would do.

    Returns:
        ``name``, unchanged.

    Raises:
        ValueError: unknown name; the message suggests the nearest one.

    Example:
        >>> choice("scheme", "orthogonal", ["lecun", "orthogonal"])
        'orthogonal'
        >>> choice("scheme", "lecum", ["lecun", "orthogonal"])
        Traceback (most recent call last):
        ...
        ValueError: unknown scheme 'lecum': did you mean 'lecun'? Known: \
lecun, orthogonal
    """
    if isinstance(name, str) and name in known:
        return name
    lower = {k.lower(): k for k in known}
    near = difflib.get_close_matches(str(name).lower(), lower, 1, 0.5)
    hint = f"did you mean {lower[near[0]]!r}? " if near else ""
    listed = ", ".join(sorted(known))
    raise ValueError(f"unknown {kind} {name!r}: {hint}Known: {listed}")


def number(name: str, value: float) -> float:
    """Return ``value`` if it is a finite number.

    Raises:
        TypeError: not one number: a word, True or False, several numbers.
        ValueError: NaN or infinite.

    Example:
        >>> number("lr", 0.1)
        0.1
        >>> number("lr", True)
        Traceback (most recent call last):
        ...
        TypeError: lr must be a number, not True
    """
    truth = isinstance(value, bool) or "bool" in str(
        getattr(value, "dtype", "")
    )
    try:
        if truth or getattr(value, "ndim", 0):
            raise TypeError
        finite = math.isfinite(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise TypeError(f"{name} must be a number, not {value!r}") from None
    if not finite:
        raise ValueError(f"{name} must be finite, not {value!r}")
    return value


def positive(name: str, value: float) -> float:
    """Return ``value`` if it is finite and > 0.

    Example:
        >>> positive("lr", -1.0)
        Traceback (most recent call last):
        ...
        ValueError: lr must be greater than 0, not -1.0
    """
    if number(name, value) <= 0:
        raise ValueError(f"{name} must be greater than 0, not {value!r}")
    return value


def nonnegative(name: str, value: float) -> float:
    """Return ``value`` if it is finite and >= 0.

    Example:
        >>> nonnegative("weight_decay", 0.0)
        0.0
    """
    if number(name, value) < 0:
        raise ValueError(f"{name} must be 0 or greater, not {value!r}")
    return value


def fraction(name: str, value: float) -> float:
    """Return ``value`` if it lies in [0, 1), as a decay rate must.

    Example:
        >>> fraction("beta1", 1.0)
        Traceback (most recent call last):
        ...
        ValueError: beta1 must lie in [0, 1), not 1.0
    """
    if not 0 <= number(name, value) < 1:
        raise ValueError(f"{name} must lie in [0, 1), not {value!r}")
    return value


def count(name: str, value: int, least: int = 1) -> int:
    """Return ``value`` if it is a whole number of at least ``least``.

    Example:
        >>> count("epochs", 0)
        Traceback (most recent call last):
        ...
        ValueError: epochs must be a whole number of at least 1, not 0
    """
    whole = isinstance(value, int) or (
        hasattr(value, "__index__") and not isinstance(value, float)
    )
    if not whole or isinstance(value, bool) or value < least:
        raise ValueError(
            f"{name} must be a whole number of at least {least}, not {value!r}"
        )
    return int(value)


def whole(name: str, value: int) -> int:
    """Return ``value`` if it is a whole number, negative ones included.

    Example:
        >>> whole("seed", None)
        Traceback (most recent call last):
        ...
        TypeError: seed must be a whole number, not None
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise TypeError(
            f"{name} must be a whole number, not {value!r}"
        ) from None


def seeds(given: Iterable[int]) -> list[int]:
    """The seeds in a list.

    Example:
        >>> seeds(range(2))
        [0, 1]
    """
    if not isinstance(given, Iterable):
        raise TypeError(f"seeds must be a list of them, not {given!r}")
    return [whole("a seed", s) for s in given]


def processes(name: str, value: int | None) -> int | None:
    """Return ``value`` if it is a number of processes for joblib, or None.

    Example:
        >>> processes("n_jobs", 0)
        Traceback (most recent call last):
        ...
        ValueError: n_jobs must be a number of processes, -1 for one on \
each core, or None, not 0
    """
    if value is None:
        return None
    try:
        if whole(name, value) != 0:
            return int(value)
    except TypeError:
        pass
    raise ValueError(
        f"{name} must be a number of processes, -1 for one on each core, "
        f"or None, not {value!r}"
    )


def folder(name: str, path: str | os.PathLike) -> Path:
    """Return ``path`` if a folder is there, or can be made there.

    Args:
        name: of the argument, for the message.
        path: where. The empty string is refused: it would mean the
            current folder.

    Raises:
        TypeError: not a path.
        ValueError: the empty string.
        NotADirectoryError: a file is in the way.

    Example:
        >>> folder("out", "")
        Traceback (most recent call last):
        ...
        ValueError: out='' would fill the current folder; name a folder, \
or '.' if you mean this one
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"{name} must be a path, not {path!r}")
    if path == "":
        raise ValueError(
            f"{name}='' would fill the current folder; name a folder, or "
            "'.' if you mean this one"
        )
    found = Path(path)
    for place in (found, *found.parents):
        if place.is_dir():
            break
        if place.exists():
            file = "a file" if place == found else f"below a file, {place}"
            raise NotADirectoryError(
                f"{name}={str(path)!r} is {file}; give a folder"
            )
    return found


def need(module: str, extra: str, why: str):
    """Import an optional dependency, or name the extra that brings it.

    Args:
        module: dotted name to import.
        extra: the extra of this package that installs it.
        why: what it is needed for, as a noun phrase.

    Returns:
        The module.

    Raises:
        ImportError: it is not installed; the message gives the command.

    Example:
        >>> need("math", "all", "arithmetic").sqrt(4.0)
        2.0
    """
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(
            f"{why} needs {package!r}, which cannot be imported ({error}); "
            f'install it with: pip install "dldna[{extra}]"'
        ) from error


def renamed(**words: str) -> Callable:
    """Let a public call go on taking keywords by the names they had.

    Args:
        **words: ``old="new"``.

    Returns:
        A decorator. The call then takes the old names with a warning at
        the reader's line, and not both names at once.

    Example:
        >>> @renamed(path="way")
        ... def surface(way="auto"):
        ...     return way
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     surface(path="slow")
        'slow'
        >>> print(caught[0].message)
        surface(path=...) is now surface(way=...)
    """

    def wrap(function: Callable) -> Callable:
        @functools.wraps(function)
        def call(*args, **kwargs):
            for old, new in words.items():
                if old not in kwargs:
                    continue
                name = function.__qualname__.removesuffix(".__init__")
                if new in kwargs:
                    raise TypeError(
                        f"{name}({old}=...) is now {name}({new}=...): give "
                        "one of the two"
                    )
                warn(
                    f"{name}({old}=...) is now {name}({new}=...)",
                    FutureWarning,
                )
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call

    return wrap


def former(new: str) -> property:
    """An attribute's former name, read with a warning.

    Args:
        new: the name it has now.

    Example:
        >>> class Cost:
        ...     way, path = "slow", former("way")
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     Cost().path
        'slow'
        >>> print(caught[0].message)
        this attribute is now called 'way'
    """

    def read(self):
        warn(f"this attribute is now called {new!r}", FutureWarning)
        return getattr(self, new)

    return property(read)


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the reader's line, however deep in this package we are.

    Args:
        message: what is wrong, and what to do.
        category: of the warning.

    Example:
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     warn("mind the gap")
        >>> str(caught[0].message), "checks.py" in caught[0].filename
        ('mind the gap', False)
    """
    torch = getattr(sys.modules.get("torch"), "__file__", __file__)
    # A folder of the reader's may begin as ours does: dldna, dldna-course.
    others = (*(str(Path(f).parent) + os.sep for f in (__file__, torch)),
              contextlib.__file__)  # fmt: skip
    level, frame = 2, sys._getframe(1)
    while frame and frame.f_code.co_filename.startswith(others):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
