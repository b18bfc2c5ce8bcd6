"""Kinds of answers: what is right, how nearly, and which mistakes show."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class Verdict:
    """What :func:`dldna.exercises.check` found; true if the answer is right.

    Args:
        right: whether the answer is right.
        says: one or two sentences for the reader.
    """

    right: bool
    says: str

    def __bool__(self) -> bool:
        return self.right

    def _ipython_display_(self) -> None:
        """Nothing more: the sentence is printed already."""


class Kind(Protocol):
    """Anything that can judge an answer."""

    def judge(self, given: Any) -> Verdict: ...


def near(given: Any, wanted: Any, rtol: float, atol: float) -> bool:
    """Whether two arrays agree; NaN agrees with NaN."""
    return bool(
        np.allclose(given, wanted, rtol=rtol, atol=atol, equal_nan=True)
    )


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
    found = np.asarray(given)
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
    """How an object shows itself, short, and whatever it does."""
    try:
        text = str(given) if isinstance(given, Exception) else repr(given)
    except Exception:
        text = f"<{type(given).__name__}>"
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


@dataclass(frozen=True)
class Number:
    """One number.

    Args:
        answer: the right number, or a function without arguments that
            computes it.
        rtol: relative tolerance.
        atol: absolute tolerance, for answers near zero.
        mistakes: what it means when the answer is a certain wrong number:
            ``{0.5: "that is the biased mean"}``.

    Example:
        >>> kind = Number(0.25, mistakes={0.5: "The square is missing."})
        >>> kind.judge(0.25).right
        True
        >>> kind.judge(0.5).says
        'Not yet: The square is missing.'
        >>> kind.judge(25).says
        'Not yet: too large, by a factor of 100.'
    """

    answer: float | Callable[[], float]
    rtol: float = 1e-3
    atol: float = 1e-9
    mistakes: Mapping[float, str] = field(default_factory=dict)

    def judge(self, given: Any) -> Verdict:
        try:
            value = as_array(given)
        except Unfit as error:
            return Verdict(False, f"Not yet: a number is asked for; {error}.")
        if value.size != 1:
            return Verdict(
                False,
                f"Not yet: one number is asked for, this has shape "
                f"{value.shape}.",
            )
        value = float(value.reshape(()))
        wanted = self.answer() if callable(self.answer) else self.answer
        if near(value, wanted, self.rtol, self.atol):
            return Verdict(True, "Right.")
        for wrong, says in self.mistakes.items():
            if near(value, wrong, self.rtol, self.atol):
                return Verdict(False, f"Not yet: {says}")
        return Verdict(False, f"Not yet: {compare(value, float(wanted))}.")


def compare(value: float, wanted: float) -> str:
    """How a wrong number differs, without telling the right one."""
    if not np.isfinite(value):
        return f"{value} is no usable number"
    if near(value, -wanted, 1e-3, 0) and wanted != 0:
        return "the size is right, the sign is not"
    side = "large" if value > wanted else "small"
    factor = value / wanted if wanted else 0.0
    for ten in (10.0, 100.0, 1000.0):
        if near(factor, ten, 1e-3, 0) or near(factor, 1 / ten, 1e-3, 0):
            return f"too {side}, by a factor of {ten:g}"
    if wanted and near(factor, 2, 1e-3, 0):
        return "twice what it should be"
    if wanted and near(factor, 0.5, 1e-3, 0):
        return "half of what it should be"
    if wanted and abs(factor - 1) < 0.05:
        return f"very near, but a little too {side}; check the rounding"
    return f"too {side}"


@dataclass(frozen=True)
class Array:
    """An array of numbers, of a certain shape.

    Args:
        answer: the right array, or a function without arguments that
            computes it.
        rtol: relative tolerance.
        atol: absolute tolerance.

    Example:
        >>> Array([1.0, 2.0]).judge([1.0, 3.0]).says
        'Not yet: 1 of 2 numbers are off, the first at index 1.'
        >>> Array([1.0, 2.0]).judge([1.0]).says
        'Not yet: the shape should be (2,), this has (1,).'
    """

    answer: Sequence | Callable[[], Any]
    rtol: float = 1e-3
    atol: float = 1e-9

    def judge(self, given: Any) -> Verdict:
        try:
            value = as_array(given)
        except Unfit as error:
            return Verdict(
                False, f"Not yet: an array of numbers is asked for; {error}."
            )
        raw = self.answer() if callable(self.answer) else self.answer
        wanted = as_array(raw)
        if value.shape != wanted.shape:
            return Verdict(
                False,
                f"Not yet: the shape should be {wanted.shape}, "
                f"this has {value.shape}.",
            )
        off = ~np.isclose(
            value, wanted, rtol=self.rtol, atol=self.atol, equal_nan=True
        )
        if not off.any():
            return Verdict(True, "Right.")
        first = tuple(int(k) for k in np.argwhere(off)[0])
        where = first[0] if len(first) == 1 else first
        return Verdict(
            False,
            f"Not yet: {int(off.sum())} of {off.size} numbers are off, "
            f"the first at index {where}.",
        )


@dataclass(frozen=True)
class Function:
    """A function that the reader writes, tried on cases.

    Args:
        reference: the right function.
        cases: tuples of arguments to try both on.
        rtol: relative tolerance of the results.
        atol: absolute tolerance of the results.

    Example:
        >>> kind = Function(lambda x: x * x, cases=[(2.0,), (3.0,)])
        >>> kind.judge(lambda x: x + x).says
        'Not yet: for (3.0,) it gives 6.0; too small.'
        >>> kind.judge(lambda x: x**2).right
        True
    """

    reference: Callable[..., Any]
    cases: Sequence[tuple]
    rtol: float = 1e-5
    atol: float = 1e-9

    def judge(self, given: Any) -> Verdict:
        if not callable(given):
            return Verdict(
                False,
                "Not yet: a function is asked for; give the function "
                "itself, without calling it.",
            )
        for case in self.cases:
            wanted = as_array(self.reference(*fresh(case)))
            try:
                value = given(*fresh(case))
            except (Exception, SystemExit) as error:
                return Verdict(
                    False,
                    f"Not yet: for {shown(case)} it stops with "
                    f"{type(error).__name__}: {shown(error)}",
                )
            if value is None:
                return Verdict(
                    False, "Not yet: it returns nothing; is `return` there?"
                )
            kind: Kind = (
                Number(float(wanted), self.rtol, self.atol)
                if wanted.ndim == 0
                else Array(wanted, self.rtol, self.atol)
            )
            verdict = kind.judge(value)
            if not verdict.right:
                why = verdict.says.removeprefix("Not yet: ")
                return Verdict(
                    False,
                    f"Not yet: for {shown(case)} it gives {shown(value)}; "
                    f"{why}",
                )
        return Verdict(True, "Right.")
