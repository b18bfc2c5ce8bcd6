"""Chapter 11: lines."""

import numpy as np

from dldna.exercises.answer_kinds import Array, Function, Number
from dldna.exercises.questions import Option, Question


def _barrier(alphas, losses):
    """The largest height above the chord."""
    alphas, losses = np.asarray(alphas), np.asarray(losses)
    chord = (1 - alphas) * losses[0] + alphas * losses[-1]
    return (losses - chord).max()


EXERCISES = {
    "ch11-ex1": Number(
        1.0,
        mistakes={2.0: "that is the distance of the minima."},
    ),
    "ch11-ex2": Array([[5.0, 0.0], [2**0.5, 2**0.5]]),
    "ch11-ex3": Number(
        0.5**0.5,
        mistakes={
            0.5: "that is the variance; its root is asked for.",
            1.0: "the average of two uncorrelated values varies less.",
        },
    ),
    "ch11-ex4": Function(
        _barrier,
        [
            ([0.0, 0.5, 1.0], [0.0, 1.0, 0.0]),
            ([0.0, 0.2, 1.0], [0.0, 1.0, 1.0]),
            ([0.0, 0.3, 0.6, 1.0], [3.0, 2.5, 2.0, 1.0]),
        ],
    ),
}

QUIZZES = {
    "ch11-q1": Question(
        "Network A looks wider than network B along raw random directions. "
        "What follows?",
        (
            Option(
                "A generalizes better",
                "Width and generalization are not tied like this.",
            ),
            Option(
                "A is flatter than B in every sense",
                "A rescaled twin of A, the same function, may look sharper.",
            ),
            Option(
                "Nothing yet: their weights may differ in scale",
                "Compare along filter-normalised directions, several of them.",
                right=True,
            ),
        ),
    ),
}
