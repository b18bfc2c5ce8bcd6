"""Chapter 3: descent by hand."""

from dldna.exercises.answer_kinds import Array, Number
from dldna.exercises.questions import Option, Question

EXERCISES = {
    "ch03-ex1": Array([-0.5, -0.25]),
    "ch03-ex2": Number(
        10,
        mistakes={
            8: "the output neuron multiplies, too.",
            13: "a bias is added, not multiplied.",
        },
    ),
    "ch03-ex3": Number(
        lambda: 0.002 / (1 - 0.95),
        mistakes={
            0.002: "that is the rate itself; the steps add up.",
            0.0001: "that is the averaging form, which divides.",
            0.0019: "that is eta times mu.",
        },
    ),
}

QUIZZES = {
    "ch03-q1": Question(
        "Pair A ends with a last-batch loss of 0.09, pair B with 0.21, from "
        "one run each at batch 8. What follows?",
        (
            Option(
                "A is better than B",
                "Other seeds of the same pair differ by more than that.",
            ),
            Option(
                "B needs more steps",
                "The last batch says nothing about the trend.",
            ),
            Option(
                "Nothing, without more seeds and an average over the tail",
                "One batch of eight is a noisy sample of the loss.",
                right=True,
            ),
        ),
    ),
}
