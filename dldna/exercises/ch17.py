"""Chapter 17: learning dynamics."""

from dldna.exercises.answer_kinds import Array
from dldna.exercises.questions import Option, Question

EXERCISES = {
    "ch17-ex1": Array([40.0, 76.0, 760.0, 76.0 / 2.8]),
    "ch17-ex2": Array([-1.0, 0.36]),
    "ch17-ex3": Array([1.0, 40.0]),
}

QUIZZES = {
    "ch17-q1": Question(
        "Full-batch gradient descent sits at the edge of stability. You "
        "halve the learning rate and train on. What do you expect?",
        (
            Option(
                "The sharpness falls to half",
                "A smaller rate moves the edge up, not down.",
            ),
            Option(
                "The swinging dies out, and the sharpness begins to rise "
                "again towards a new edge",
                "The threshold 2 / rate has doubled, so nothing holds the "
                "sharpness where it is.",
                right=True,
            ),
            Option(
                "Training diverges",
                "It diverges where the sharpness is far above 2 / rate.",
            ),
        ),
    ),
}
