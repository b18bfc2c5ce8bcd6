"""Find an exercise by its name, and judge an answer."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from dldna import checks
from dldna.exercises.answer_kinds import Kind, Verdict
from dldna.exercises.questions import Question

_NO_PAGES = {"answer_kinds", "as_numbers", "asking", "questions"}


def _entries(table: str) -> dict[str, Any]:
    """All pages' exercises, or questions, by name."""
    found: dict[str, Any] = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if module.name not in _NO_PAGES:
            full = f"dldna.exercises.{module.name}"
            found |= getattr(importlib.import_module(full), table, {})
    return found


def _find(kind: str, table: str, name: str) -> Any:
    known = _entries(table)
    return known[checks.choice(kind, name, known)]


def names() -> list[str]:
    """The names of all exercises, sorted.

    Example:
        >>> "how_to_use-ex1" in names()
        True
    """
    return sorted(_entries("EXERCISES"))


def check(name: str, answer: Any = ...) -> Verdict:
    """Judge an answer, and say what is wrong with it.

    Args:
        name: the exercise's name, as it stands beside it (``"adaptive-ex2"``).
        answer: a number, an array or tensor, or a function, as the
            exercise asks. Left out, or ``...``, it counts as not answered.

    Returns:
        The verdict, which counts as true if the answer is right.

    Whatever the answer is, it is judged and never an error: an answer of
    another kind than the one asked for is told so.

    Raises:
        ValueError: no exercise has this name; the message suggests one.

    Example:
        >>> verdict = check("how_to_use-ex1", 0.2)
        how_to_use-ex1: Not yet: too large.
        >>> verdict = check("how_to_use-ex1", None)
        how_to_use-ex1: Not yet: a number is asked for; this is None.
        >>> assert check("how_to_use-ex1", 0.064)
        how_to_use-ex1: Right.
    """
    kind: Kind = _find("exercise", "EXERCISES", name)
    if answer is ...:
        verdict = Verdict(False, "no answer yet. Put it in place of the dots.")
    else:
        verdict = kind.judge(answer)
    print(f"{name}: {verdict.says}")
    return verdict


def quiz(name: str, reveal: bool = False) -> Question:
    """A multiple-choice question; as a cell's last line it shows itself.

    Args:
        name: the question's name (``"adaptive-q1"``).
        reveal: tell right from wrong where the question is a guess that
            the chapter answers later (``"adaptive-predict"``).

    Returns:
        The question. ``quiz(name).judge("b")`` judges without a mouse.

    Raises:
        ValueError: no question has this name; the message suggests one.

    Example:
        >>> quiz("how_to_use-q1").judge("b").right
        True
    """
    question: Question = _find("question", "QUIZZES", name)
    return replace(question, section="") if reveal else question
