"""Chapter 2: initialization schemes."""

import math

from dldna.exercises.answer_kinds import Array, Function, Number
from dldna.exercises.questions import Option, Question


def _fixup(branches: int, layers: int) -> float:
    """Fixup's factor on all layers of a branch but the last."""
    return branches ** (-1 / (2 * layers - 2))


EXERCISES = {
    "initialization-ex1": Number(
        math.sqrt(2 / 120),
        mistakes={
            2 / 120: "that is the variance.",
            math.sqrt(2 / 240): "that is the fan-out, 16 * 15.",
            math.sqrt(2 / 8): "the kernel's area belongs to the fan.",
            math.sqrt(1 / 120): "that is LeCun's; ReLU needs a 2.",
        },
    ),
    "initialization-ex2": Array([4.0, 22 / 16, 2.0, 2**1.75]),
    "initialization-ex3": Number(
        99.0,
        mistakes={
            4.61: "what is ln 100?",
            95.39: "that takes the number at its word; what is ln 100?",
        },
    ),
    "initialization-ex4": Function(_fixup, cases=[(16, 2), (10, 3), (1, 2)]),
    "initialization-ex5": Number(
        (1.0625 / 6) ** 4,
        mistakes={
            (1 / 6) ** 4: "that is ReLU; PReLU keeps a part of the rest.",
            (1 / 3) ** 4: "the activations are missing.",
            (1.0625 / 6) ** 5: "the last layer does not count.",
        },
    ),
}

QUIZZES = {
    "initialization-predict": Question(
        'What did the start with an "error rate" of 2.30 % do?',
        (
            Option(
                "It never learned: nine of ten answers were wrong",
                "2.30 is ln 10, the loss of knowing nothing about ten "
                "classes: the column holds losses, not errors.",
                right=True,
            ),
            Option(
                "It learned well, with five times the errors of the best",
                "An error of 2.30 % would be far better than what this "
                "network reaches; the numbers are losses.",
            ),
            Option(
                "It diverged, like the one with nan",
                "A network that diverges has no finite loss; this one did "
                "not move.",
            ),
        ),
        section="What the printed columns were",
    ),
    "initialization-q1": Question(
        "Two starts of one shape: W drawn by Xavier, and 10 W. Which of "
        "these differs between them?",
        (
            Option(
                "The condition number",
                "A ratio of singular values does not see a common factor.",
            ),
            Option(
                "The effective rank",
                "The singular values are normalised before the entropy.",
            ),
            Option(
                "The spectral norm",
                "It is the largest singular value, ten times as large.",
                right=True,
            ),
        ),
    ),
    "initialization-q2": Question(
        "A linear layer with 100 inputs and 400 outputs is drawn by "
        "Xavier's rule. What does it do to the second moments?",
        (
            Option(
                "It keeps the signal's and the gradient's",
                "Only a square layer can have both: the rule is a compromise.",
            ),
            Option(
                "It shrinks the signal's and enlarges the gradient's",
                "2/500 times 100 inputs is 0.4, times 400 outputs 1.6.",
                right=True,
            ),
            Option(
                "It enlarges the signal's and shrinks the gradient's",
                "Forward the inputs count, and there are few of them.",
            ),
        ),
    ),
    "initialization-q3": Question(
        "A matrix with orthonormal columns leads from 64 to 256 units. What "
        "does it keep?",
        (
            Option(
                "The mean square of a unit",
                "The same length is spread over four times as many units.",
            ),
            Option(
                "Neither length nor mean square",
                "Orthonormal columns keep the length of every vector.",
            ),
            Option(
                "The length of the signal",
                "And each unit gets a quarter of the mean square.",
                right=True,
            ),
        ),
    ),
    "initialization-q4": Question(
        "Two starts are trained at one and the same rate, and the first one "
        "is ahead in every seed. What follows?",
        (
            Option(
                "The first start is the better one",
                "At the rate that suits the second one it may be level.",
            ),
            Option(
                "The first start goes better with this rate",
                "A larger start can make up for a rate that is too low: "
                "tune both on images that you do not report.",
                right=True,
            ),
            Option(
                "Nothing, because seeds decide such races",
                "Every seed agrees; it is the rate that was not varied.",
            ),
        ),
    ),
    "initialization-q5": Question(
        "Why may the last layer of a residual branch start at zero, but not "
        "every layer of a plain network?",
        (
            Option(
                "The signal passes beside the branch, and gradients reach "
                "its last layer",
                "In a plain network of zeros nothing passes, and the "
                "gradients of the weights are zero, too.",
                right=True,
            ),
            Option(
                "Zeros are fine everywhere: the first step moves them",
                "A layer of zeros hands no gradient to the layer below, and "
                "gets no signal from one.",
            ),
            Option(
                "Branches are so small that their start is of no account",
                "Many branches add up; their scale is what Fixup sets.",
            ),
        ),
    ),
    "initialization-q6": Question(
        "With the standard start you tuned Adam's rate on a narrow network. "
        "Where do you look for the rate of one that is much wider?",
        (
            Option(
                "At the same rate",
                "That is muP's promise, not the standard start's.",
            ),
            Option(
                "Higher, because there is more to learn",
                "A unit of a wider network sums more moves of its weights.",
            ),
            Option(
                "Lower",
                "Each unit sums over more weights that all move by about "
                "the rate.",
                right=True,
            ),
        ),
    ),
}
