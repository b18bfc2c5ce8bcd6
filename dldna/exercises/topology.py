"""Chapter 16: topology, scales and wells."""

import numpy as np

from dldna.exercises.answer_kinds import Array, Function, Number
from dldna.exercises.questions import Option, Question


def _count(bars, error):
    """Bars longer than twice the error."""
    bars = np.asarray(bars, dtype=float)
    return (bars[:, 1] - bars[:, 0] > 2 * error).sum()


EXERCISES = {
    "topology-ex1": Array([[1.0, 5.0], [2.0, 4.0]]),
    "topology-ex2": Number(
        1.0,
        mistakes={
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
    ),
    "topology-ex4": Array([2.0, 4.0]),
    "topology-ex5": Number(
        0.01,
        mistakes={
            0.09: "the narrow axis decides.",
            0.1: "the width counts squared.",
            0.005: "that is 1 over the curvature; descent bears 2 over it.",
        },
    ),
}

QUIZZES = {
    "topology-q1": Question(
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
                "That the minima were not found exactly",
                "The grid's error is far smaller than these differences.",
            ),
        ),
    ),
    "topology-q4": Question(
        "The roughness index of one surface is 0.01 on a grid of 50 x 50 "
        "points and 0.003 on one of 100 x 100. What happened?",
        (
            Option(
                "The finer grid has less noise",
                "Noise would keep its share, whatever the grid.",
            ),
            Option(
                "One of the two was computed wrongly",
                "Both may be right: level 1 means another distance.",
            ),
            Option(
                "Nothing: differences of neighbours shrink with the spacing",
                "So the index compares surfaces on one grid only.",
                right=True,
            ),
        ),
    ),
    "topology-q5": Question(
        "A Gaussian well fits a window with R2 = 0.95. What do you check "
        "before you call the minimum a narrow hole in a plain?",
        (
            Option(
                "A parabola with the same axes, and a wider window",
                "If both fit alike and the fitted widths exceed the "
                "window, the data know of no rim.",
                right=True,
            ),
            Option(
                "Whether R2 rises with more points",
                "More points of the same window say nothing of its outside.",
            ),
            Option(
                "Whether the fit has converged",
                "It may have, to widths far beyond the window.",
            ),
        ),
    ),
}
