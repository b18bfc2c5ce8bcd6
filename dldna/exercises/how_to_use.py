"""The warm-up on the page that says how to use the book."""

from dldna.exercises.answer_kinds import Function, Number
from dldna.exercises.questions import Option, Question


def _descend(w: float, lr: float, steps: int) -> float:
    """Plain descent on ``w**2 / 2``, whose gradient is ``w``."""
    for _ in range(steps):
        w = w - lr * w
    return w


EXERCISES = {
    # One weight, loss w^2 / 2, start 1, rate 0.6: after three steps.
    "how_to_use-ex1": Number(
        lambda: _descend(1.0, 0.6, 3),
        mistakes={
            0.4: "that is the weight after one step.",
            0.16: "that is the weight after two steps.",
            0.64: "0.4 cubed has one zero more.",
            -0.008: "the gradient of w^2 / 2 is w, not 2 w.",
        },
    ),
    "how_to_use-ex2": Function(
        _descend,
        cases=[(1.0, 0.6, 0), (1.0, 0.6, 3), (-2.0, 1.5, 4), (3.0, 2.0, 5)],
        mistakes=[
            (
                lambda w, lr, n: _descend(w, 2 * lr, n),
                "the gradient of w^2 / 2 is w, not 2 w.",
            ),
            (
                lambda w, lr, n: _descend(w, -lr, n),
                "descent subtracts the rate times the gradient.",
            ),
            (
                lambda w, lr, n: w * (1 - lr * n),
                "each step uses the w that the last one left.",
            ),
        ],
    ),
}

QUIZZES = {
    "how_to_use-q1": Question(
        "The loss is w squared over 2 and the learning rate is 2.5. What "
        "does plain descent do?",
        (
            Option(
                "It reaches the minimum in one step",
                "That happens at the rate 1: the step is then exactly w.",
            ),
            Option(
                "It jumps across the minimum and further away each time",
                "Each step multiplies w by 1 - 2.5 = -1.5.",
                right=True,
            ),
            Option(
                "It jumps across the minimum and nearer each time",
                "That holds for rates between 1 and 2.",
            ),
        ),
    ),
}
