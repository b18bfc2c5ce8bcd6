"""Chapter 2: initialization schemes."""

from dldna.exercises.kinds import Array, Number
from dldna.exercises.questions import Option, Question

EXERCISES = {
    "ch02-ex1": Array([(1 / 400) ** 0.5, (2 / 500) ** 0.5, (2 / 400) ** 0.5]),
    "ch02-ex2": Array([4.0, 1.375, 3.36359]),
    "ch02-ex3": Number(
        0.1,
        mistakes={
            0.0: "epochs count from 0, so the last one is number 9.",
            0.9: "that is the best epoch's share; the formula subtracts it.",
        },
    ),
}

QUIZZES = {
    "ch02-q1": Question(
        "A table says: Kaiming 0.45 % error, a scheme that learns nothing "
        "2.30 % error, on ten classes. What is wrong?",
        (
            Option(
                "Nothing: 2.30 % is worse than 0.45 %",
                "Who learns nothing on ten classes is wrong 90 % of the time.",
            ),
            Option(
                "The column is the cross-entropy: ln 10 = 2.30",
                "Guessing among ten classes costs ln 10.",
                right=True,
            ),
            Option(
                "The test set is too small",
                "No sample size turns 90 % into 2.3 %.",
            ),
        ),
    ),
}
