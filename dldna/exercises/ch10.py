"""Chapter 10: schedules and clipping."""

from dldna.exercises.answer_kinds import Array, Number
from dldna.exercises.questions import Option, Question

EXERCISES = {
    "ch10-ex1": Array([0.1, 0.055, 0.01]),
    "ch10-ex2": Array([3.0, 4.0, 5.0, 5.0]),
    "ch10-ex3": Number(
        4,
        mistakes={
            2: "patience 2 tolerates two bad calls, and the first is none.",
            3: "the first call sets the best loss; it is not a bad one.",
        },
    ),
}

QUIZZES = {
    "ch10-q1": Question(
        "Every gradient of a run is longer than c, and you clip by norm. "
        "What does plain SGD do then?",
        (
            Option(
                "It takes steps of one fixed length",
                "Each step has length lr * c, whatever the gradient.",
                right=True,
            ),
            Option("It stops", "The clipped gradient is not zero."),
            Option(
                "It turns towards the diagonals",
                "That is clipping by value.",
            ),
        ),
    ),
}
