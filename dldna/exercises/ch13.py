"""Chapter 13: curvature."""

from dldna.exercises.answer_kinds import Array, Function, Number
from dldna.exercises.questions import Option, Question


def _product(gradient, w, v):
    """Hv from two gradients."""
    h = 1e-4
    return (gradient(w + h * v) - gradient(w - h * v)) / (2 * h)


def _cases():
    import numpy as np

    def cubic(w):  # of L = sum of w^3 / 3
        return w**2

    def mixed(w):  # of L = w0^2 w1
        return np.array([2 * w[0] * w[1], w[0] ** 2])

    w, v = np.array([1.0, 2.0]), np.array([1.0, -1.0])
    return [(cubic, w, v), (mixed, w, v), (mixed, 2 * w, 3 * v)]


EXERCISES = {
    "ch13-ex1": Array([2.0, 2.0]),
    "ch13-ex2": Number(
        66,
        mistakes={
            65: "65 products do not quite get there: round up.",
            33: "that would be the squared ratio; it is the plain one.",
        },
    ),
    "ch13-ex3": Number(
        0.03,
        mistakes={
            0.05: "the negative eigenvalues count, too.",
            0.07: "the sign counts: the average is not of absolute values.",
            300.0: "that is the trace; divide by the number of weights.",
        },
    ),
    "ch13-ex4": Number(
        9 + 1 / 9,
        mistakes={
            2.0: "the loss is the same at the twin, the Hessian is not.",
            9.0: "the other weight contributes a little, too.",
            18.0: "not every direction is scaled by 9.",
        },
    ),
    "ch13-ex5": Function(_product, _cases(), rtol=1e-4, atol=1e-6),
}

QUIZZES = {
    "ch13-q1": Question(
        "The loss rises along every one of 100 random directions from a "
        "trained network. What follows?",
        (
            Option(
                "It sits at a minimum",
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
