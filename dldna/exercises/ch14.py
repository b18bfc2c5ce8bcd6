"""Chapter 14: paths."""

import numpy as np

from dldna.exercises.answer_kinds import Function, Number
from dldna.exercises.questions import Option, Question


def _coordinates(points):
    """Coordinates about the last point, by the Gram matrix."""
    m = np.asarray(points, dtype=float)
    m = m - m[-1]
    values, u = np.linalg.eigh(m @ m.T)
    c = u[:, ::-1][:, :2] * np.sqrt(np.clip(values[::-1][:2], 0, None))
    return c * np.where(c[0] < 0, -1, 1)


_WALK = np.random.default_rng(0).normal(size=(6, 4)).cumsum(0)

EXERCISES = {
    "ch14-ex1": Number(
        750 / np.pi**2,
        mistakes={
            600 / np.pi**2: "that is the first component alone.",
            7.5 / np.pi**2: "as a percentage, please.",
            800 / np.pi**2 * 10 / 9: "that is about the end.",
        },
        rtol=5e-3,
    ),
    "ch14-ex2": Number(
        0.32,
        mistakes={
            0.16: "float64 has 8 bytes.",
            320_000.0: "that is in bytes.",
        },
    ),
    "ch14-ex3": Number(
        12**0.5,
        mistakes={
            12.0: "that is the square.",
            5 - 13**0.5: "the lengths do not subtract, their squares do.",
        },
    ),
    "ch14-ex4": Function(
        _coordinates, [(_WALK,), (3 * _WALK[::-1] + 1,)], rtol=1e-6
    ),
}

QUIZZES = {
    "ch14-q1": Question(
        "Two components explain 90 % of a run's variance about its end. "
        "What does this show?",
        (
            Option(
                "Training happens in two dimensions",
                "A random walk in any number of dimensions does the same.",
            ),
            Option(
                "Nothing, before it is compared with a random walk",
                "Its two components hold 90 %, too.",
                right=True,
            ),
            Option(
                "The picture's losses are within 10 % of the true ones",
                "Variance of weights says nothing about losses.",
            ),
        ),
    ),
}
