"""What a reader hands in, read as numbers; and copies of what is tried."""

from __future__ import annotations

import copy
import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np


class Unfit(Exception):
    """An answer of another kind than the one asked for; says which."""


MOST_NUMBERS = 10_000_000  # of an answer; nobody is asked for more


def as_array(given: Any) -> np.ndarray:
    """A tensor, list or number as float64.

    Raises:
        Unfit: it is something else, and what.
    """
    try:
        return _as_array(given)
    except Unfit:
        raise
    except Exception:  # whatever an object of any class may do
        raise Unfit(f"{_kind(given)} cannot be read as numbers") from None


def _as_array(given: Any) -> np.ndarray:
    if given is None or isinstance(given, str | bytes) or callable(given):
        raise Unfit(f"this is {_kind(given)}")
    if hasattr(given, "detach"):
        if given.is_meta:
            raise Unfit("this is a tensor without values (on 'meta')")
        _bounded(given.numel())
        given = given.detach().cpu()
        given = given.to_dense() if given.layout != _strided() else given
        given = given.dequantize() if given.is_quantized else given
        # bfloat16 and its like are unknown to numpy.
        wide = given.cfloat if given.is_complex() else given.double
        given = (given if given.dtype in _known() else wide()).resolve_conj()
        given = given.resolve_neg().numpy()
    elif hasattr(given, "__len__"):
        _bounded(given.size if hasattr(given, "size") else len(given))
    try:
        found = np.asarray(given)
    except Exception:  # tensors with gradients in a list, say
        if not isinstance(given, list | tuple):
            raise
        found = np.asarray([_as_array(part) for part in given])
    if found.dtype.kind == "O":
        found = np.array([_float(v) for v in found.flat]).reshape(found.shape)
    if found.dtype.kind == "c":
        if (found.imag != 0).any():
            raise Unfit("this is complex, and real numbers are asked for")
        found = found.real
    if found.dtype.kind not in "biuf":
        raise Unfit(f"this is {_kind(found.flat[0])} in an array")
    if found.dtype.kind == "b" and found.ndim == 0:
        raise Unfit("this is True or False")
    return found.astype(np.float64)


def _strided() -> Any:
    import torch

    return torch.strided


def _known() -> tuple:
    import torch

    return (torch.bool, torch.uint8, torch.int64, torch.float64,
            torch.float32, torch.complex64, torch.complex128)  # fmt: skip


def _bounded(n: int) -> None:
    if n > MOST_NUMBERS:
        raise Unfit(f"this has {n} entries")


def _float(value: Any) -> float:
    """An exact number of another library, as Decimal; or a complex one."""
    if value is None or isinstance(value, str | bytes):
        raise Unfit(f"there is {_kind(value)} in it")
    try:
        return complex(value) if isinstance(value, complex) else float(value)
    except OverflowError:
        raise Unfit("this is a number beyond all bounds") from None
    except Exception:
        raise Unfit(f"there is {_kind(value)} in it") from None


def _kind(given: Any) -> str:
    """What an answer is, in a student's words."""
    if given is None:
        return "None"
    if isinstance(given, str | bytes):
        return "text (in quotes)"
    if inspect.isroutine(given):
        return "a function (call it to get its number)"
    return f"an object of type {type(given).__name__}"


def shown(given: Any, most: int = 120) -> str:
    """How an object shows itself, short, and whatever it does.

    Example:
        >>> shown((abs, shown, 2.0))
        '(<built-in function abs>, shown, 2.0)'
    """
    try:
        text = str(given) if isinstance(given, Exception) else repr(given)
    except Exception:
        text = f"<{type(given).__name__}>"
    text = re.sub(r"<function ([\w<>]+\.)*(\w+) at 0x\w+>", r"\2", text)
    return text if len(text) <= most else f"{text[:most]}..."


def fresh(case: Any) -> Any:
    """A copy of a case of which no two parts share memory.

    Who is handed it may write into any part.

    Example:
        >>> a = np.zeros(2)
        >>> b, c = fresh((a, a[::-1]))
        >>> b[:] = 1
        >>> a.tolist(), c.tolist()
        ([0.0, 0.0], [0.0, 0.0])
    """
    if type(case) in (tuple, list):
        return type(case)(fresh(part) for part in case)
    if type(case) is dict:
        return {key: fresh(part) for key, part in case.items()}
    return copy.deepcopy(case)


def forms(case: tuple) -> Iterator[tuple]:
    """A case as it is, then with arrays and with tensors for its lists.

    An exercise seldom says which of them a function is handed.

    Example:
        >>> [type(form[0]).__name__ for form in forms(([1.0, 2.0], 3))][:2]
        ['list', 'ndarray']
        >>> list(forms((1.0, 2)))
        [(1.0, 2)]
    """
    yield fresh(case)
    lists = [isinstance(part, list | np.ndarray) for part in case]
    if not any(lists):
        return
    torch = sys.modules.get("torch")
    for make in (np.array, torch.tensor) if torch else (np.array,):
        try:
            yield tuple(
                make(np.array(part)) if is_list else fresh(part)
                for part, is_list in zip(case, lists, strict=True)
            )
        except (TypeError, ValueError):  # a list of unlike things
            return
