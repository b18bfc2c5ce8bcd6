"""Chapter 4: momentum and stability."""

from dldna.exercises.answer_kinds import Array, Number
from dldna.exercises.questions import Option, Question


def _limits(mu: float = 0.9, curvature: float = 40.0) -> list[float]:
    """Largest stable rates: descent, heavy ball, Nesterov, average."""
    return [
        2 / curvature,
        2 * (1 + mu) / curvature,
        2 * (1 + mu) / (1 + 2 * mu) / curvature,
        2 * (1 + mu) / (1 - mu) / curvature,
    ]


def _three_steps() -> float:
    w, v = 1.0, 0.0
    for _ in range(3):
        v = 0.5 * v + w
        w = w - 0.5 * v
    return w


EXERCISES = {
    "ch04-ex1": Array(_limits),
    "ch04-ex2": Number(
        _three_steps,
        mistakes={
            0.125: "that is plain descent, without the velocity.",
            0.0: "that is after two steps.",
        },
    ),
    "ch04-ex3": Number(
        0.04,
        mistakes={
            1.0: "the sum takes larger steps, so its rate must be smaller.",
            0.2: "at the same rate the sum's steps are five times as large.",
        },
    ),
}

QUIZZES = {
    "ch04-q1": Question(
        "A heavy ball with momentum 0.9 beats plain SGD at the same "
        "learning rate. What is the first thing to check?",
        (
            Option(
                "Plain SGD at ten times the rate",
                "That is the same effective rate.",
                right=True,
            ),
            Option(
                "A larger momentum",
                "That raises the effective rate once more.",
            ),
            Option(
                "Another seed",
                "Worth doing, but the comparison itself is uneven.",
            ),
        ),
    ),
}
