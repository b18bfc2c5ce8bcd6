"""Chapter 7: modern optimizers."""

from dldna.exercises.answer_kinds import Array, Number
from dldna.exercises.questions import Option, Question

MIB = 2**20

EXERCISES = {
    "ch07-ex1": Array([2 * 1024 * 4096 * 4 / MIB, (1024 + 4096) * 4 / MIB]),
    "ch07-ex2": Number(
        1.0,
        mistakes={0.02: "that is one step; they can all point one way."},
    ),
}

QUIZZES = {
    "ch07-q1": Question(
        "Two optimizers are compared at their libraries' default rates, "
        "one run each. A wins. What has been shown?",
        (
            Option("A is better", "Rates and seeds could each reverse it."),
            Option(
                "A's default rate suited this run better",
                "No more than that.",
                right=True,
            ),
            Option(
                "B needs tuning",
                "So may A: nobody has looked.",
            ),
        ),
    ),
}
