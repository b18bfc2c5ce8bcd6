"""Chapter 1: signals through depth."""

import math

from dldna.exercises.answer_kinds import Function, Number
from dldna.exercises.questions import Option, Question


def _scale(blocks: int, factor: float) -> float:
    """The branch scale that multiplies second moments by ``factor``."""
    return math.sqrt(factor ** (1 / blocks) - 1)


EXERCISES = {
    "ch01-ex1": Number(
        2.0**-12,
        mistakes={
            1.0: "that would be a linear network; each ReLU halves.",
            2.0**-6: "that is the factor of the length, not of its square.",
            2.0**-11: "the last activation is a ReLU, too.",
        },
    ),
    "ch01-ex2": Number(
        math.sqrt(2 / 1.25),
        mistakes={
            2 / 1.25: "that is the gain squared.",
            math.sqrt(2): "that is ReLU's; the slope 0.5 keeps a part.",
            math.sqrt(2 / 1.5): "the slope enters as its square.",
        },
    ),
    "ch01-ex3": Number(
        256 / 784,
        mistakes={
            2 * 256 / 784: "the ReLUs' slopes are missing.",
            1.0: "that is the forward factor.",
            784 / 256: "the other way round: the sum runs over 256 units.",
        },
    ),
    "ch01-ex4": Function(_scale, cases=[(1, 2.0), (20, 2.0), (100, 10.0)]),
    "ch01-ex5": Number(
        1 / 6,
        mistakes={
            1 / 3: "that is the layer alone; ReLU halves once more.",
            1 / 2: "that is LeCun's variance, 1/n.",
        },
    ),
    # E[gelu(z)^2] of a standard normal z, to ten digits.
    "ch01-ex6": Number(
        0.4252214826**-0.5,
        mistakes={
            math.sqrt(2): "that is ReLU's gain.",
            0.4252214826**-1: "that is the gain squared.",
        },
    ),
}

QUIZZES = {
    "ch01-q1": Question(
        "A network with ReLU narrows from 1024 to 32 units over ten layers, "
        "drawn with variance 2/fan-in. What happens to the squared gradient "
        "from the last hidden layer to the first?",
        (
            Option(
                "It shrinks to about 1/1000, halved in each layer",
                "ReLU's half is balanced by the 2 in the variance.",
            ),
            Option(
                "It shrinks to about 1/32, the ratio of the widths",
                "Each layer gives n_out/n_in, and the ratios multiply.",
                right=True,
            ),
            Option(
                "It stays as it is",
                "That holds forward; backward the other fan counts.",
            ),
        ),
    ),
}
