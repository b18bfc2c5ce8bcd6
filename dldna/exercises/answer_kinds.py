"""Kinds of answers: what is right, how nearly, and which mistakes show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from dldna.exercises.as_numbers import Unfit, as_array, forms, fresh, shown


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


def near(given: Any, wanted: Any, rtol: float, atol: float) -> np.ndarray:
    """Where two arrays agree; NaN agrees with NaN."""
    return np.isclose(given, wanted, rtol=rtol, atol=atol, equal_nan=True)


def rounded(given: Any, wanted: Any) -> np.ndarray:
    """Where a number is the right one, rounded to three digits.

    A whole number may be a count, which nobody rounds.

    Example:
        >>> [bool(rounded(v, 50 / 3)) for v in (16.7, 17, 16.68)]
        [True, False, False]
    """
    given, wanted = np.broadcast_arrays(given, wanted)
    fits = np.zeros(given.shape, bool)
    for at in np.argwhere(np.isfinite(given) & np.isfinite(wanted)):
        v, w = float(given[tuple(at)]), float(wanted[tuple(at)])
        if w != round(w):
            unit = 10.0 ** (np.floor(np.log10(abs(w))) - 2)
            if abs(v - w) < 0.500001 * unit:
                few = round(v / unit) * unit
                fits[tuple(at)] = np.isclose(v, few, rtol=1e-6, atol=0)
    return fits


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

    Three digits are enough: the right number, rounded to three, is right.

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
            comma = type(given) is tuple and value.shape == (2,)  # 1,26
            hint = "; decimals have a point, no comma" if comma else ""
            return Verdict(
                False,
                f"Not yet: one number is asked for, this has shape "
                f"{value.shape}{hint}.",
            )
        value = float(value.reshape(()))
        wanted = self.answer() if callable(self.answer) else self.answer
        if near(value, wanted, self.rtol, self.atol) | rounded(value, wanted):
            return Verdict(True, "Right.")
        for wrong, says in self.mistakes.items():
            if near(value, wrong, self.rtol, self.atol) | rounded(
                value, wrong
            ):
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
        digits = "" if wanted == round(wanted) else "; give three digits"
        return f"very near, but a little too {side}{digits}"
    if near(value * wanted, 1, 1e-3, 0):
        return f"too {side}: it should be one over that"
    return f"too {side}"


@dataclass(frozen=True)
class Array:
    """An array of numbers, of a certain shape.

    Args:
        answer: the right array, or a function without arguments that
            computes it.
        rtol: relative tolerance.
        atol: absolute tolerance.
        mistakes: wrong arrays, each with what it means.

    Three digits are enough, and a column or a row of numbers is a list.

    Example:
        >>> Array([1.0, 2.0]).judge([1.0, 4.0]).says
        'Not yet: index 1 is off: twice what it should be.'
        >>> kind = Array([1.0, 2.0], mistakes=[([2.0, 1.0], "other order.")])
        >>> kind.judge([2.0, 1.0]).says
        'Not yet: other order.'
        >>> Array([1.0, 2.0]).judge([1.0]).says
        'Not yet: 2 numbers are asked for, in a list; this is of shape (1,).'
    """

    answer: Sequence | Callable[[], Any]
    rtol: float = 1e-3
    atol: float = 1e-9
    mistakes: Sequence[tuple[Sequence, str]] = ()

    def judge(self, given: Any) -> Verdict:
        try:
            value = as_array(given)
        except Unfit as error:
            return Verdict(
                False, f"Not yet: an array of numbers is asked for; {error}."
            )
        raw = self.answer() if callable(self.answer) else self.answer
        wanted = as_array(raw)
        if wanted.ndim == 1 and value.size == value.squeeze().size > 1:
            value = value.squeeze()
        if wanted.ndim == 1 and value.shape != wanted.shape:
            have = "only one" if value.ndim == 0 else f"of shape {value.shape}"
            return Verdict(
                False,
                f"Not yet: {wanted.size} numbers are asked for, in a list; "
                f"this is {have}.",
            )
        if value.shape != wanted.shape:
            return Verdict(
                False,
                f"Not yet: the shape should be {wanted.shape}, "
                f"this has {value.shape}.",
            )
        off = self._off(value, wanted)
        if not off.any():
            return Verdict(True, "Right.")
        for wrong, says in self.mistakes:
            if not self._off(value, as_array(wrong)).any():
                return Verdict(False, f"Not yet: {says}")
        first = tuple(int(k) for k in np.argwhere(off)[0])
        where = first[0] if len(first) == 1 else first
        many = int(off.sum())
        where = (
            f"index {where} is off"
            if many == 1
            else f"{many} of {off.size} numbers are off, the first at index "
            f"{where}"
        )
        how = compare(float(value[first]), float(wanted[first]))
        return Verdict(False, f"Not yet: {where}: {how}.")

    def _off(self, value: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        return ~(
            near(value, wanted, self.rtol, self.atol) | rounded(value, wanted)
        )


@dataclass(frozen=True)
class Function:
    """A function that the reader writes, tried on cases.

    Args:
        reference: the right function.
        cases: tuples of arguments to try both on.
        rtol: relative tolerance of the results.
        atol: absolute tolerance of the results.
        mistakes: wrong functions, each with what it means.

    Where a case holds lists, a function may be made for lists, for numpy's
    arrays or for tensors: it is right if one of these suits it.

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
    mistakes: Sequence[tuple[Callable[..., Any], str]] = ()

    def judge(self, given: Any) -> Verdict:
        if not callable(given):
            return Verdict(
                False,
                "Not yet: a function is asked for; give the function "
                "itself, without calling it.",
            )
        for case in self.cases:
            wanted = as_array(self.reference(*fresh(case)))
            verdict, ran = self._try(given, wanted, *forms(case))
            if verdict.right:
                continue
            for wrong, says in self.mistakes if ran else ():
                if replace(self, reference=wrong, mistakes=()).judge(given):
                    return Verdict(False, f"Not yet: {says}")
            return verdict
        return Verdict(True, "Right.")

    def _try(
        self, given: Callable, wanted: np.ndarray, *tries: tuple
    ) -> tuple[Verdict, bool]:
        """The first right verdict, else the first of those that ran."""
        found = []
        for case in tries:
            verdict, ran = self._once(given, wanted, case)
            if verdict.right:
                return verdict, ran
            found.append((verdict, ran))
        return next((one for one in found if one[1]), found[0])

    def _once(
        self, given: Callable, wanted: np.ndarray, case: tuple
    ) -> tuple[Verdict, bool]:
        """What a case says, and whether the function came to its end."""
        said = shown(case)
        try:
            value = given(*case)
        except (Exception, SystemExit) as error:
            why = f"stops with {type(error).__name__}: {shown(error)}"
            return Verdict(False, f"Not yet: for {said} it {why}"), False
        if value is None:
            return Verdict(
                False, "Not yet: it returns nothing; is `return` there?"
            ), True
        kind: Kind = (
            Number(float(wanted), self.rtol, self.atol)
            if wanted.ndim == 0
            else Array(wanted, self.rtol, self.atol)
        )
        verdict = kind.judge(value)
        why = verdict.says.removeprefix("Not yet: ")
        says = f"Not yet: for {said} it gives {shown(value)}; {why}"
        return (verdict if verdict.right else Verdict(False, says)), True
