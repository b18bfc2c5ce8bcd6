"""Connectivity: ways between two networks."""

from itertools import permutations

import numpy as np

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
    "connectivity-ex1": Number(
        144,
        mistakes={
            5040: "units stay in their layer.",
            12: "orders are counted, not pairs of units.",
            30: "the orders of the layers combine freely: multiply.",
        },
    ),
    "connectivity-ex2": Array(
        [[2.0, 4.0], [0.0, 1.0]],
        mistakes=[
            ([[2.0, 0.0], [4.0, 1.0]], "the units of A are the rows."),
            ([[0.0, 3.0], [2.0, 2.0]], "the outgoing weights count, too."),
            (
                [[2.0, 4.0], [4.0, 3.0]],
                "an outgoing weight is -1: mind the sign.",
            ),
        ],
    ),
    "connectivity-ex3": Number(
        0.5, mistakes={1.0: "2t(1-t) never gets there."}
    ),
    "connectivity-ex4": Number(
        2.0, mistakes={1.0: "the curve goes half-way to its bend only."}
    ),
    "connectivity-ex5": Function(
        _order,
        [
            ([[2, 4], [0, 1]],),
            ([[1, 2, 3], [3, 1, 2], [2, 3, 1]],),
            ([[5, 4, 0], [4, 0, 0], [0, 0, 1]],),
        ],
        mistakes=[
            (
                lambda g: np.argsort(_order(g)),
                "entry i is the unit at place i, not the place of unit i.",
            ),
            (
                lambda g: np.argmax(g, 1),
                "each unit of B goes to one place only.",
            ),
            (lambda g: _order(-np.asarray(g)), "that is the worst order."),
            (lambda g: np.add(_order(g), 1), "units are counted from 0."),
        ],
    ),
}

QUIZZES = {
    "connectivity-q1": Question(
        "On the straight line between two trained networks stands a high "
        "barrier. What follows?",
        (
            Option(
                "They lie in different valleys, and no way of low loss joins "
                "them",
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
    "connectivity-predict": Question(
        "Two networks, trained from two seeds, both have a low loss. What "
        "do you expect of their average, weight by weight?",
        (
            Option(
                "It is far worse than both",
                "Unit 7 of the one has been averaged with unit 7 of the "
                "other, and these two have nothing in common.",
                right=True,
            ),
            Option(
                "It is better than both, as averages of models often are",
                "That holds for the average of their answers, or of weights "
                "from one run.",
            ),
            Option(
                "It is about as good: both fit the same images",
                "That they answer alike does not mean that their weights do.",
            ),
        ),
        section="Straight ahead",
    ),
    "connectivity-q2": Question(
        "You reorder the hidden units of a trained network. What is the "
        "barrier between it and its reordered copy?",
        (
            Option(
                "Zero: it is the same function",
                "The ends are the same function. The points between them "
                "are averages of units that do not belong together.",
            ),
            Option(
                "High, as between two networks that never met",
                "So a barrier alone does not show that two networks differ.",
                right=True,
            ),
            Option(
                "It cannot be measured, since the copy has other weights",
                "Any two points of weight space have a line between them.",
            ),
        ),
    ),
    "connectivity-q3": Question(
        "After weight matching, two trained networks have a cosine of 0.3. "
        "What do you need before you call that learnt?",
        (
            Option(
                "The cosine before matching, which is near 0",
                "Then all of the 0.3 might be made by the search.",
            ),
            Option(
                "The cosine of a network with itself",
                "That is 1, and says nothing about the search.",
            ),
            Option(
                "The cosine after matching of two untrained networks",
                "A search among so many orders makes likeness of nothing.",
                right=True,
            ),
        ),
    ),
    "connectivity-q4": Question(
        "A curve of low loss joins two networks. What has been shown?",
        (
            Option(
                "That an optimizer could have walked from one to the other",
                "The bend was trained for that purpose; no run does that.",
            ),
            Option(
                "That low loss on these images is a connected place that "
                "holds both",
                "A way that was found is enough for that, and for no more.",
                right=True,
            ),
            Option(
                "That the two are the same network up to names",
                "The middle of the curve gives other answers.",
            ),
        ),
    ),
    "connectivity-q5": Question(
        "The middle of a level curve answers differently from its end on "
        "some test images. Which control belongs beside that number?",
        (
            Option(
                "The end itself, trained on for as many steps",
                "It answers differently, too, without any way to another "
                "network.",
                right=True,
            ),
            Option(
                "An untrained network",
                "It answers differently nearly always, which is no scale.",
            ),
            Option(
                "The same two networks on the training images",
                "There both are nearly always right, so they agree.",
            ),
        ),
    ),
}
