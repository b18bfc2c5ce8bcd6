"""Curvature."""

import numpy as np

from dldna.exercises.answer_kinds import Array, Function, Number
from dldna.exercises.questions import Option, Question


def _product(gradient, w, v):
    """Hv from two gradients."""
    h = 1e-4
    return (gradient(w + h * v) - gradient(w - h * v)) / (2 * h)


def _ahead(gradient, w, v):
    """The one-sided difference, which is nearly right."""
    return (gradient(w + 1e-4 * v) - gradient(w)) / 1e-4


def _cases():
    def cubic(w):  # of L = sum of w^3 / 3
        return w**2

    def mixed(w):  # of L = w0^2 w1
        return np.array([2 * w[0] * w[1], w[0] ** 2])

    w, v = np.array([1.0, 2.0]), np.array([1.0, -1.0])
    return [(cubic, w, v), (mixed, w, v), (mixed, 2 * w, 3 * v)]


EXERCISES = {
    "curvature-ex1": Array(
        [2.0, 2.0],
        mistakes=[
            ([4.0, 1.0], "that is the gradient g."),
            ([6.0, 2.0], "mind the sign of v's second entry."),
            ([4.0, -1.0], "sum g times v first, then differentiate."),
            ([4.0, 2.0], "the first entry needs both terms of the sum."),
        ],
    ),
    "curvature-ex2": Number(
        66,
        mistakes={
            65: "65 products do not quite get there: round up.",
            33: "that would be the squared ratio; it is the plain one.",
        },
    ),
    "curvature-ex3": Number(
        0.03,
        mistakes={
            0.05: "the negative eigenvalues count, too.",
            0.07: "the sign counts: the average is not of absolute values.",
            300.0: "that is the trace; divide by the number of weights.",
        },
    ),
    "curvature-ex4": Number(
        9 + 1 / 9,
        mistakes={
            2.0: "the loss is the same at the twin, the Hessian is not.",
            9.0: "the other weight contributes a little, too.",
            18.0: "not every direction is scaled by 9.",
        },
    ),
    "curvature-ex5": Function(
        _product,
        _cases(),
        rtol=1e-5,
        atol=1e-6,
        mistakes=[
            (_ahead, "that looks ahead only; look behind as well."),
            (
                lambda g, w, v: 2 * _product(g, w, v),
                "the two points are two steps apart.",
            ),
            (
                lambda g, w, v: _product(g, w, v) / np.linalg.norm(v),
                "a longer v has a longer product.",
            ),
        ],
    ),
}

QUIZZES = {
    "curvature-predict": Question(
        "Along how many of its eigenvectors does the ground around this "
        "network bend by more than a tenth of the steepest?",
        (
            Option(
                "About half of them: some bend more, some less",
                "Eigenvalues are not spread evenly; nearly all of them lie "
                "close to zero.",
            ),
            Option(
                "About ten",
                "A handful, about as many as the data have classes.",
                right=True,
            ),
            Option(
                "Some thousands, a few in a hundred",
                "Networks have many weights, but the steep directions follow "
                "the classes and not the weights.",
            ),
        ),
        section="How many directions are curved?",
    ),
    "curvature-q2": Question(
        "What does one product of the Hessian with a vector cost?",
        (
            Option(
                "As much as writing the whole Hessian down, row by row",
                "The matrix is never formed: the product is the gradient of "
                "one number.",
            ),
            Option(
                "One gradient for each weight",
                "That would be the whole matrix, a row for each weight.",
            ),
            Option(
                "About two gradients, whatever the number of weights",
                "Differentiate the gradient's product with the vector.",
                right=True,
            ),
        ),
    ),
    "curvature-q3": Question(
        "Power iteration stops early with a small residual. The two largest "
        "eigenvalues are nearly equal. What may you trust?",
        (
            Option(
                "The eigenvalue, but not the vector",
                "Any vector in the plane of the two has a small residual.",
                right=True,
            ),
            Option(
                "Both: the residual is small",
                "The residual bounds the eigenvalue's error; for the vector "
                "it must be small beside the gap.",
            ),
            Option(
                "Neither: it stopped too early",
                "Some eigenvalue lies within the residual of the one found, "
                "however early it stopped.",
            ),
        ),
    ),
    "curvature-q4": Question(
        "The Hessian promises that a step along the top eigenvector raises "
        "the loss by 2. The measured rise differs. Why may it?",
        (
            Option(
                "The eigenvalue was computed with too few products",
                "Its residual is small; more digits would not help.",
            ),
            Option(
                "The parabola holds for short steps only",
                "How short depends on the direction; along the steepest it "
                "is shortest here.",
                right=True,
            ),
            Option(
                "An eigenvector gives no direction in weight space",
                "It does: one number for each weight.",
            ),
        ),
    ),
    "curvature-q5": Question(
        "Most of the gradient lies in the space of ten eigenvectors. May you "
        "train in that space alone?",
        (
            Option(
                "Yes: the rest of the gradient is negligible",
                "Small is not useless: many steps along flat directions may "
                "be what lowers the loss.",
            ),
            Option(
                "No: the gradient never points along eigenvectors",
                "Most of it does, in these networks.",
            ),
            Option(
                "The figure does not say",
                "Gradients are large along steep directions because these "
                "are steep; progress is another question.",
                right=True,
            ),
        ),
    ),
    "curvature-q6": Question(
        "Two networks compute the same function. Have they the same largest "
        "eigenvalue?",
        (
            Option(
                "Not always: rescaled layers can make it ever larger",
                "The Hessian belongs to the weights, not to the function.",
                right=True,
            ),
            Option(
                "Yes: the same function has the same loss",
                "The loss at the point is the same; around it the surfaces "
                "differ.",
            ),
            Option(
                "Yes, if both were trained to the same accuracy",
                "Accuracy is a property of the function as well, and says "
                "nothing about the scale of the weights.",
            ),
        ),
    ),
    "curvature-q1": Question(
        "The loss rises along every one of 100 random directions from a "
        "trained network. What follows?",
        (
            Option(
                "It sits at a minimum, or at least very near to one",
                "A few directions that bend down are too rare to be met.",
            ),
            Option(
                "The trace of the Hessian is probably positive",
                "A random direction sees tr(H)/n on average.",
                right=True,
            ),
            Option(
                "Its largest eigenvalue is small",
                "The largest ones are hardly ever met, either.",
            ),
        ),
    ),
}
