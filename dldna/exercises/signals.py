"""Signals through depth."""

import math

from dldna.exercises.answer_kinds import Function, Number
from dldna.exercises.questions import Option, Question


def _scale(blocks: int, factor: float) -> float:
    """The branch scale that multiplies second moments by ``factor``."""
    return math.sqrt(factor ** (1 / blocks) - 1)


EXERCISES = {
    "signals-ex1": Number(
        2.0**-12,
        mistakes={
            1.0: "that would be a linear network; each ReLU halves.",
            2.0**-6: "that is the factor of the length, not of its square.",
            2.0**-11: "the last activation is a ReLU, too.",
        },
    ),
    "signals-ex2": Number(
        math.sqrt(2 / 1.25),
        mistakes={
            2 / 1.25: "that is the gain squared.",
            math.sqrt(2): "that is ReLU's; the slope 0.5 keeps a part.",
            math.sqrt(2 / 1.5): "the slope enters as its square.",
        },
    ),
    "signals-ex3": Number(
        256 / 784,
        mistakes={
            2 * 256 / 784: "the ReLUs' slopes are missing.",
            1.0: "that is the forward factor.",
            784 / 256: "the other way round: the sum runs over 256 units.",
        },
    ),
    "signals-ex4": Function(
        _scale,
        cases=[(1, 2.0), (20, 2.0), (100, 10.0)],
        mistakes=[
            (lambda d, f: _scale(d, f) ** 2, "that is the square of s."),
            (
                lambda d, f: math.sqrt((f - 1) / d),
                "the factors of the blocks multiply.",
            ),
            (
                lambda d, f: f ** (1 / d),
                "that is the factor of one block, 1 + s^2.",
            ),
        ],
    ),
    "signals-ex5": Number(
        1 / 6,
        mistakes={
            1 / 3: "that is the layer alone; ReLU halves once more.",
            1 / 2: "that is LeCun's variance, 1/n.",
        },
    ),
    # E[gelu(z)^2] of a standard normal z, to ten digits.
    "signals-ex6": Number(
        0.4252214826**-0.5,
        mistakes={
            math.sqrt(2): "that is ReLU's gain.",
            0.4252214826**-1: "that is the gain squared.",
        },
    ),
}

QUIZZES = {
    "signals-predict": Question(
        "Fifteen ReLU layers start with weights that let the signal shrink "
        "at each layer. Adam's steps do not shrink with the gradient. With "
        "the best of its rates, does it make up for the start?",
        (
            Option(
                "Yes: it ends level with a start that keeps the signal",
                "The length of a step is not its direction: from a start "
                "that loses the signal it ends behind.",
            ),
            Option(
                "Partly: it learns, but ends behind such a start",
                "From most seeds it learns where SGD does not learn at any "
                "rate, and ends behind all the same.",
                right=True,
            ),
            Option(
                "No: at no rate does it learn anything",
                "That happens to SGD; Adam divides by the size of the "
                "gradient, however small.",
            ),
        ),
        section="Does it decide what is learned?",
    ),
    "signals-q1": Question(
        "A network with ReLU narrows from 1024 to 32 units over ten layers, "
        "drawn with variance 2/fan-in. What happens to the squared gradient "
        "from the last hidden layer to the first?",
        (
            Option(
                "It shrinks to about 1/1000, halved in each layer",
                "ReLU's half is balanced by the 2 in the variance.",
            ),
            Option(
                "It shrinks to about 1/32, the ratio of the widths",
                "Each layer gives n_out/n_in, and the ratios multiply.",
                right=True,
            ),
            Option(
                "It stays as it is",
                "That holds forward; backward the other fan counts.",
            ),
        ),
    ),
    "signals-q2": Question(
        "The variance of the weights is 10 % too high in every layer of a "
        "network with 50 layers. By how much is the second moment of the "
        "last layer too high?",
        (
            Option(
                "By 10 %",
                "That is one layer; the factors multiply.",
            ),
            Option(
                "By a factor of 6",
                "Percentages of layers do not add up, they multiply: 1.1 "
                "to the power of 50.",
            ),
            Option(
                "By a factor of about 117",
                "1.1 to the power of 50.",
                right=True,
            ),
        ),
    ),
    "signals-q3": Question(
        "A deep linear network with Gaussian weights keeps the second moment "
        "of its inputs exactly on average. What can still be wrong?",
        (
            Option(
                "A few directions are stretched and most are crushed",
                "An average of squares says nothing about the single "
                "directions.",
                right=True,
            ),
            Option(
                "Nothing: what has the right size is intact",
                "A matrix with one large and many tiny singular values can "
                "have the right mean square.",
            ),
            Option(
                "The gradient must explode on its way back",
                "In a square layer the same factor holds backward.",
            ),
        ),
    ),
    "signals-q4": Question(
        "Two pictures of different things enter a deep tanh network in the "
        "ordered phase. What does its last layer see?",
        (
            Option(
                "Two signals that have nothing in common",
                "That would be chaos, where near signals part.",
            ),
            Option(
                "Nearly one and the same signal",
                "Their correlation goes to 1: the network cannot tell them "
                "apart, and the gradients vanish as well.",
                right=True,
            ),
            Option(
                "Two signals that are as different as the pictures are",
                "For that the map of correlations would have to stand "
                "still at each of its values.",
            ),
        ),
    ),
    "signals-q5": Question(
        "A network with batch normalization and ReLU, without residual "
        "branches, is made deeper and deeper. What happens at the start?",
        (
            Option(
                "Signals and gradients stay as they are",
                "Only the signals are normalized; the gradients are not.",
            ),
            Option(
                "The signals explode and the gradients stay",
                "Each layer brings the signals back to variance 1.",
            ),
            Option(
                "The signals stay and the gradients explode",
                "By about pi/(pi - 1) in each layer, whatever the weights' "
                "scale.",
                right=True,
            ),
        ),
    ),
    "signals-q6": Question(
        "The recursion predicts a second moment of 1 after twenty ReLU "
        "layers of 50 units. One network that you draw has 0.2. What do you "
        "conclude?",
        (
            Option(
                "Nothing yet: single networks of this width scatter so much",
                "The logarithm has a variance of about 5 D/n = 2.",
                right=True,
            ),
            Option(
                "The recursion is wrong for ReLU",
                "It holds for the mean, and in the limit of large widths.",
            ),
            Option(
                "The weights were drawn with too small a variance",
                "Their right variance gives values like this one, too: look "
                "at many networks.",
            ),
        ),
    ),
}
