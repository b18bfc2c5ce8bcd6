"""Chapter 12: planes."""

import numpy as np

from dldna.exercises.answer_kinds import Function, Number
from dldna.exercises.questions import Option, Question


def _by_filter(d, w):
    """Each filter of d with the length of w's."""
    d, w = np.asarray(d, dtype=float), np.asarray(w, dtype=float)
    axes = tuple(range(1, d.ndim))
    lengths = [np.sqrt((a**2).sum(axes, keepdims=True)) for a in (d, w)]
    return d / lengths[0] * lengths[1]


_WIDE = np.arange(1.0, 13.0).reshape(2, 3, 2)

EXERCISES = {
    "ch12-ex1": Number(
        1000 / 60,
        mistakes={
            625 * 0.4 / 60: "that is for 25 x 25 points.",
            2 * 625 * 0.4 / 60: "both axes are doubled.",
            1000.0: "that is in seconds.",
        },
    ),
    "ch12-ex2": Number(
        0.00899,
        mistakes={
            0.01099: "the sign of the ten counts.",
            89.9: "that is the trace; divide by the number of directions.",
        },
    ),
    "ch12-ex3": Number(
        2**0.5 * 1e-3,
        mistakes={
            1e-3: "that is one coordinate; there are two.",
            2e-6: "that is the mean square; its root is asked for.",
        },
    ),
    "ch12-ex4": Function(
        _by_filter,
        [
            (np.array([[1.0, 0.0], [1.0, 1.0]]),
             np.array([[3.0, 4.0], [0.0, 2.0]])),
            (_WIDE[::-1], _WIDE),
        ],
    ),
}  # fmt: skip

QUIZZES = {
    "ch12-q1": Question(
        "The loss rises on every one of ten random planes through a trained "
        "network. What follows?",
        (
            Option(
                "It is at a minimum",
                "A few descending directions among many are not seen.",
            ),
            Option(
                "The average curvature is positive",
                "Yes: random directions measure the average.",
                right=True,
            ),
            Option(
                "The surface is convex",
                "Convexity is about all pairs of points, not ten slices.",
            ),
        ),
    ),
}
