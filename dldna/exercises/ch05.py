"""Chapter 5: adaptive methods."""

from dldna.exercises.answer_kinds import Array, Number
from dldna.exercises.questions import Option, Question


def _first_steps() -> list[float]:
    """The second coordinate after one step from -2, gradient -20."""
    w, g, lr = -2.0, -20.0, 0.1
    sign = -1.0
    return [
        w - lr * g,
        w - lr * sign,
        w - lr * sign / (1 - 0.99) ** 0.5,
        w - lr * sign,
    ]


EXERCISES = {
    "ch05-ex1": Array(_first_steps),
    "ch05-ex2": Number(
        lambda: 0.01 * 1.0 / 1e-8,
        mistakes={
            0.1: "that is the right RMSProp, with the updated average.",
            0.01: "the old average is 0: only eps is left to divide by.",
            100.0: "that is eps inside the root.",
        },
    ),
    # How many of the four rules keep their path when the loss is rescaled.
    "ch05-ex3": Number(
        4,
        mistakes={
            3: "look at AdamW again: its decay does not see the gradient.",
            0: "up to eps: a constant factor cancels in g / root(v).",
        },
    ),
}

QUIZZES = {
    "ch05-q1": Question(
        "Adam with an L2 term and AdamW use the same lambda. For a weight "
        "whose gradients are large, which one shrinks it more?",
        (
            Option(
                "Adam with the L2 term",
                "Its term is divided by the root of v, which is large here.",
            ),
            Option(
                "AdamW",
                "Its factor 1 - lr * lambda is the same for every weight.",
                right=True,
            ),
            Option(
                "Both alike",
                "That holds for plain gradient descent, not inside Adam.",
            ),
        ),
    ),
}
