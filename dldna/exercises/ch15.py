"""Chapter 15: connectivity and weight space."""

from itertools import permutations

from dldna.exercises.answer_kinds import Array, Function, Number
from dldna.exercises.questions import Option, Question


def _order(gains):
    """The best assignment, by trying all."""
    n = len(gains)
    return max(
        permutations(range(n)),
        key=lambda p: sum(gains[i][p[i]] for i in range(n)),
    )


EXERCISES = {
    "ch15-ex1": Number(
        144,
        mistakes={
            5040: "units stay in their layer.",
            12: "orders are counted, not pairs of units.",
            30: "the orders of the layers combine freely: multiply.",
        },
    ),
    "ch15-ex2": Array([[2.0, 4.0], [0.0, 1.0]]),
    "ch15-ex3": Number(0.5, mistakes={1.0: "2t(1-t) never gets there."}),
    "ch15-ex4": Number(
        2.0, mistakes={1.0: "the curve goes half-way to its bend only."}
    ),
    "ch15-ex5": Function(
        _order,
        [
            ([[2, 4], [0, 1]],),
            ([[1, 2, 3], [3, 1, 2], [2, 3, 1]],),
            ([[5, 4, 0], [4, 0, 0], [0, 0, 1]],),
        ],
    ),
    "ch15-ex6": Number(
        2.0,
        rtol=0.05,
        mistakes={
            40.0: "that is the way in one direction.",
            4.0: "that is the square of the distance.",
        },
    ),
}

QUIZZES = {
    "ch15-q1": Question(
        "On the straight line between two trained networks stands a high "
        "barrier. What follows?",
        (
            Option(
                "They lie in different valleys",
                "A curve may join them at low loss all the way.",
            ),
            Option(
                "They have learnt different features",
                "A network and its own reordered copy have a barrier, too.",
            ),
            Option(
                "Their average, unit by unit as they stand, is a bad network",
                "That is all a straight line tests.",
                right=True,
            ),
        ),
    ),
}
