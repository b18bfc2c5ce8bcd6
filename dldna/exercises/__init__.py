"""Exercises that say what is wrong, and questions with a choice of answers.

A chapter ends with exercises. Each has the name of its page and a number,
``adaptive-ex2`` or ``playground-ex1``, shown beside it; :func:`check` compares
an answer with the right one, within a tolerance, and names the mistake where
it knows it. Nothing leaves the machine. :func:`quiz` shows a multiple-choice
question that works in a notebook and in the pages.

The answers of a page stand in a file of its name,
``dldna/exercises/adaptive.py``: a new exercise is one entry.
They can be read; who looks them up has only cheated on an evening's fun.
"""

from dldna.exercises.answer_kinds import Array, Function, Number, Verdict
from dldna.exercises.asking import check, names, quiz
from dldna.exercises.questions import Option, Question

__all__ = [
    "Array",
    "Function",
    "Number",
    "Option",
    "Question",
    "Verdict",
    "check",
    "names",
    "quiz",
]
