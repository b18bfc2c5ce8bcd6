"""Valleys and rings of a surface, counted by persistence."""

import numpy as np

from dldna.exercises.answer_kinds import Array, Function, Number
from dldna.exercises.questions import Option, Question


def _count(bars, error):
    """Bars longer than twice the error."""
    bars = np.asarray(bars, dtype=float)
    return (bars[:, 1] - bars[:, 0] > 2 * error).sum()


EXERCISES = {
    "topology-ex1": Array(
        [[1.0, 5.0], [2.0, 4.0]],
        mistakes=[
            ([[2.0, 4.0], [1.0, 5.0]], "the longest first."),
            ([[1.0, 2.0], [5.0, 4.0]], "a row is one bar: birth, death."),
            ([[1.0, 4.0], [2.0, 5.0]], "the younger pool dies, that of 2."),
            ([[0.0, 5.0], [2.0, 4.0]], "the deepest pool never dies."),
        ],
    ),
    "topology-ex2": Number(
        1.0,
        mistakes={
            1.2: "that is (1, 3) with (0, 4.2); is there a shorter way?",
            0.2: "(1, 3) has to go somewhere, too: to the diagonal.",
            2.0: "a bar goes half its length to the diagonal.",
        },
    ),
    "topology-ex3": Function(
        _count,
        [
            ([[0.0, np.inf], [1.0, 1.3], [0.5, 1.0]], 0.2),
            ([[0.0, 1.0], [0.0, 2.5], [0.0, 2.0]], 1.0),
            ([[0.0, 1.0], [3.0, 3.5]], 0.0),
        ],
        mistakes=[
            (
                lambda bars, error: _count(bars, error / 2),
                "both ends of a bar may be off, one up and one down.",
            ),
            (
                lambda bars, error: _count(bars, error - 1e-9),
                "a bar of just twice the error may be its work.",
            ),
            (
                lambda bars, error: _count(bars, error) - np.isinf(bars).any(),
                "a bar that never dies counts, too.",
            ),
            (
                lambda bars, error: len(bars) - _count(bars, error),
                "those are the bars that the error may have made.",
            ),
        ],
    ),
    "topology-ex4": Array(
        [[4.0, 49.0], [9.0, 16.0]],
        mistakes=[
            ([[9.0, 16.0], [4.0, 49.0]], "the longest first."),
            ([[2.0, 7.0], [3.0, 4.0]], "those are the old bars."),
            ([[4.0, 9.0], [49.0, 16.0]], "a row is one bar: birth, death."),
        ],
    ),
}

QUIZZES = {
    "topology-q1": Question(
        "A loss surface drawn with a new mini-batch at each point has 2,000 "
        "local minima. What follows?",
        (
            Option(
                "The network's loss has many bad local minima",
                "Noise alone has a minimum at every fifth point, where four "
                "neighbours count.",
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
    "topology-predict": Question(
        "A smooth surface with four valleys gets a little noise at each of "
        "its 10,000 points. How many points then lie lower than all their "
        "neighbours?",
        (
            Option(
                "Four, as before: the noise is small beside the valleys",
                "Beside the valleys, yes; but a dent is made by a point and "
                "its neighbours, and there the surface hardly differs.",
            ),
            Option(
                "About ten, where the ground is flat",
                "On slopes, too, neighbours differ by less than the noise.",
            ),
            Option(
                "More than a hundred",
                "Wherever the slope between neighbours is below the noise. "
                "Only their bars are short.",
                right=True,
            ),
        ),
        section="Noise makes valleys",
    ),
    "topology-q2": Question(
        "Two pools meet at a pass of 5. One was born at 1, the other at 3. "
        "Which bar ends?",
        (
            Option(
                "That of 3: from 3 to 5",
                "The younger pool, whose minimum is higher, dies.",
                right=True,
            ),
            Option(
                "That of 1: from 1 to 5",
                "The elder rule: the deeper pool lives on.",
            ),
            Option(
                "Both, and a new one is born at 5",
                "The joined pool is the elder one, with its own birth.",
            ),
        ),
    ),
    "topology-q3": Question(
        "Four valleys have the same minimum, and bars of very different "
        "lengths. What do the lengths say?",
        (
            Option(
                "How wide the valleys are",
                "Width does not enter: only losses do.",
            ),
            Option(
                "How high one must climb to get to an older valley",
                "Death is the lowest pass on the way.",
                right=True,
            ),
            Option(
                "That the minima were not found exactly on so coarse a grid",
                "The grid's error is far smaller than these differences.",
            ),
        ),
    ),
    "topology-q4": Question(
        "Each loss may be wrong by 0.1. Three bars have the lengths 0.5, 0.3 "
        "and 0.15. Which of them can the error not have made?",
        (
            Option(
                "All three: each is longer than 0.1",
                "Both ends of a bar may move, its birth down and its death "
                "up: by 0.2 together.",
            ),
            Option(
                "Those of 0.5 and 0.3",
                "They are longer than twice the error; the third may be "
                "real, but nothing says so.",
                right=True,
            ),
            Option(
                "None: noise makes bars of any length",
                "Bounded errors move each end of a bar by at most their "
                "bound.",
            ),
        ),
    ),
    "topology-q5": Question(
        "Wide networks, trained as long as narrow ones, have lower walls and "
        "a lower loss. What do you do before you say that width lowers walls?",
        (
            Option(
                "Divide all walls by the loss at the floor",
                "That assumes that walls shrink with the floor, which is "
                "what is to be found out.",
            ),
            Option(
                "Draw finer grids, since walls between the points are missed",
                "The walls would be known better, and the question would "
                "stand where it stood.",
            ),
            Option(
                "Stop the wide ones where their loss is that of the narrow",
                "Then the two differ in width, and no longer in how far "
                "they were trained.",
                right=True,
            ),
        ),
    ),
}
