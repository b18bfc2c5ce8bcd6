"""Chapter 8: which optimizer?"""

from math import comb

import numpy as np

from dldna.exercises.answer_kinds import Array, Function, Number
from dldna.exercises.questions import Option, Question


def _share(a, b) -> float:
    a, b = np.asarray(a)[:, None], np.asarray(b)[None, :]
    return float(np.mean((a > b) + 0.5 * (a == b)))


EXERCISES = {
    "ch08-ex1": Number(
        2 / comb(8, 4),
        mistakes={
            1 / comb(8, 4): "the mirror image parts the means as far.",
            2 / 2**4: "that is the paired test, with signs.",
        },
    ),
    "ch08-ex2": Number(
        6,
        mistakes={
            5: "21 times 2/252 is still 0.17.",
            4: "that is enough for one pair alone; there are 21.",
        },
    ),
    "ch08-ex3": Array([13 / 16, 5 / 6]),
    "ch08-ex4": Function(
        _share,
        cases=[
            ([2.0, 3.0], [1.0]),
            ([1.0, 2.0], [1.0, 3.0]),
            ([0.5, 0.5, 0.7], [0.6, 0.5]),
        ],
    ),
}

QUIZZES = {
    "ch08-q1": Question(
        "A table says: A 92.4 %, B 92.1 %, one run each, rates chosen by "
        "hand. What do you know?",
        (
            Option(
                "A is better than B, by a little",
                "Another seed or another rate may turn the order round.",
            ),
            Option(
                "A and B are equally good",
                "One run each cannot show that, either.",
            ),
            Option(
                "Next to nothing about A and B",
                "Neither the spread nor the tuning budget is known.",
                right=True,
            ),
        ),
    ),
}
