"""Initialization: schemes, and what a printed table showed."""

import math

from dldna.exercises.answer_kinds import Array, Function, Number
from dldna.exercises.questions import Option, Question


def _gain(n_in: int, n_out: int) -> float:
    """What an orthonormal matrix needs to keep E[h^2] behind a ReLU."""
    return math.sqrt(2 * max(1, n_out / n_in))


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
    "initialization-ex2": Array(
        [4.0, 22 / 16, 2.0, 2**1.75],
        mistakes=[
            (
                [4.0, 22 / 16, 2.0, 1.75],
                "1.75 bits are the entropy; the rank is 2 to that power.",
            ),
            (
                [4.0, 22 / 16, 2.0, 1.75 * math.log(2)],
                "the last is the exponential of the entropy.",
            ),
            (
                [4.0, 2.0, 22 / 16, 2**1.75],
                "the stable rank squares the singular values.",
            ),
        ],
    ),
    "initialization-ex3": Number(
        99.0,
        mistakes={
            4.61: "what is ln 100?",
            95.39: "that takes the number at its word; what is ln 100?",
        },
    ),
    "initialization-ex4": Function(
        _gain,
        cases=[(784, 256), (64, 256), (100, 100)],
        mistakes=[
            (
                lambda m, n: _gain(m, n) / math.sqrt(2),
                "that would do without a ReLU, which halves.",
            ),
            (
                lambda m, n: math.sqrt(2),
                "that is right unless the layer widens.",
            ),
            (
                lambda m, n: _gain(n, m),
                "the other way round: n_out / n_in counts.",
            ),
            (lambda m, n: _gain(m, n) ** 2, "that is the gain squared."),
        ],
    ),
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
                "The singular values are normalized before the entropy.",
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
        'A table\'s "speed" is (E - e*)/E, where e* is the last of E epochs '
        "that gained more than 1 %, counted from 0. Who has the highest?",
        (
            Option(
                "A network that improves in each epoch",
                "Its e* is the last epoch, so that 1/E is left: the lowest.",
            ),
            Option(
                "A network that improves in the first epoch alone",
                "So has one that never learns: the first epoch gains on "
                "nothing at all, and e* stays 0.",
                right=True,
            ),
            Option(
                "A network whose loss becomes NaN at once",
                "No epoch gains anything, and the default is 0.",
            ),
        ),
    ),
    "initialization-q6": Question(
        "Thirty tanh layers without normalization. Which start keeps the "
        "directions of a small signal?",
        (
            Option(
                "Orthogonal with gain 1",
                "Near 0 tanh is linear, and all singular values are 1.",
                right=True,
            ),
            Option(
                "LeCun: it has gain 1, too",
                "It keeps the size; a product of Gaussian matrices loses "
                "directions.",
            ),
            Option(
                "Kaiming, the best of the table",
                "Its gain makes up for a ReLU; with tanh it leads into "
                "chaos, and the table's network had five layers.",
            ),
        ),
    ),
}
