"""Chapter 2: initialization schemes."""

import math

from dldna.exercises.answer_kinds import Array, Function, Number
from dldna.exercises.questions import Option, Question


def _fixup(branches: int, layers: int) -> float:
    """Fixup's factor on all layers of a branch but the last."""
    return branches ** (-1 / (2 * layers - 2))


EXERCISES = {
    "ch02-ex1": Number(
        math.sqrt(2 / 120),
        mistakes={
            2 / 120: "that is the variance.",
            math.sqrt(2 / 240): "that is the fan-out, 16 * 15.",
            math.sqrt(2 / 8): "the kernel's area belongs to the fan.",
            math.sqrt(1 / 120): "that is LeCun's; ReLU needs a 2.",
        },
    ),
    "ch02-ex2": Array([4.0, 22 / 16, 2.0, 2**1.75]),
    "ch02-ex3": Number(
        99.0,
        mistakes={
            4.61: "what is ln 100?",
            95.39: "that takes the number at its word; what is ln 100?",
        },
    ),
    "ch02-ex4": Function(_fixup, cases=[(16, 2), (10, 3), (1, 2)]),
    "ch02-ex5": Number(
        (1.0625 / 6) ** 4,
        mistakes={
            (1 / 6) ** 4: "that is ReLU; PReLU keeps a part of the rest.",
            (1 / 3) ** 4: "the activations are missing.",
            (1.0625 / 6) ** 5: "the last layer does not count.",
        },
    ),
}

QUIZZES = {
    "ch02-q1": Question(
        "Two starts of one shape: W drawn by Xavier, and 10 W. Which of "
        "these differs between them?",
        (
            Option(
                "The condition number",
                "A ratio of singular values does not see a common factor.",
            ),
            Option(
                "The effective rank",
                "The singular values are normalised before the entropy.",
            ),
            Option(
                "The spectral norm",
                "It is the largest singular value, ten times as large.",
                right=True,
            ),
        ),
    ),
}
