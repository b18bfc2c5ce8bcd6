"""Chapter 16: topology, scales and wells."""

import numpy as np

from dldna.exercises.answer_kinds import Array, Function, Number
from dldna.exercises.questions import Option, Question


def _count(bars, error):
    """Bars longer than twice the error."""
    bars = np.asarray(bars, dtype=float)
    return (bars[:, 1] - bars[:, 0] > 2 * error).sum()


EXERCISES = {
    "ch16-ex1": Array([[1.0, 5.0], [2.0, 4.0]]),
    "ch16-ex2": Number(
        1.0,
        mistakes={
            0.2: "(1, 3) has to go somewhere, too: to the diagonal.",
            2.0: "a bar goes half its length to the diagonal.",
        },
    ),
    "ch16-ex3": Function(
        _count,
        [
            ([[0.0, np.inf], [1.0, 1.3], [0.5, 1.0]], 0.2),
            ([[0.0, 1.0], [0.0, 2.5], [0.0, 2.0]], 1.0),
            ([[0.0, 1.0], [3.0, 3.5]], 0.0),
        ],
    ),
    "ch16-ex4": Array([2.0, 4.0]),
    "ch16-ex5": Number(
        0.01,
        mistakes={
            0.09: "the narrow axis decides.",
            0.1: "the width counts squared.",
            0.005: "that is 1 over the curvature; descent bears 2 over it.",
        },
    ),
}

QUIZZES = {
    "ch16-q1": Question(
        "A loss surface drawn with a new mini-batch at each point has 2,000 "
        "local minima. What follows?",
        (
            Option(
                "The network's loss has many bad local minima",
                "Noise alone has a minimum at every fifth point or so.",
            ),
            Option(
                "The optimizer is likely to get stuck",
                "It sees other noise in each step and cannot rest in it.",
            ),
            Option(
                "Little: see how long their bars are beside the noise",
                "Dents shorter than twice the error need not exist.",
                right=True,
            ),
        ),
    ),
}
