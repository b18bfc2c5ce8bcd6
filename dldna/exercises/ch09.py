"""Chapter 9: line search and flat minima."""

from dldna.exercises.answer_kinds import Array, Number
from dldna.exercises.questions import Option, Question

EXERCISES = {
    "ch09-ex1": Array([1.0, 1.0]),
    "ch09-ex2": Array([3.3, 4.4]),
    "ch09-ex3": Number(
        lambda: 10 * 5 / (10 + 5),
        mistakes={
            10.0: "that is the loss's own curvature, without smoothing.",
            15.0: "the sum is the curvature of f plus the spring.",
        },
    ),
}

QUIZZES = {
    "ch09-q1": Question(
        "SAM with 10 epochs is compared with SGD with 10 epochs. Is that "
        "an equal budget?",
        (
            Option("Yes", "Count the gradients that each step takes."),
            Option(
                "No: SAM took twice as many gradients",
                "Each step of SAM evaluates two.",
                right=True,
            ),
            Option(
                "No: SGD took twice as many steps",
                "Both took one step for each batch.",
            ),
        ),
    ),
}
