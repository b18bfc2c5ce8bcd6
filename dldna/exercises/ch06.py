"""Chapter 6: two weights at a time."""

from dldna.exercises.answer_kinds import Array, Number
from dldna.exercises.questions import Option, Question


def _gradient() -> list[float]:
    """By a and b of (3 max(0, a + 2 b))^2 at (1, 1)."""
    v, x, w = 3.0, (1.0, 2.0), (1.0, 1.0)
    output = v * max(0.0, w[0] * x[0] + w[1] * x[1])
    return [2 * output * v * one for one in x]


EXERCISES = {
    "ch06-ex1": Number(
        lambda: sum((t - 4) ** 2 for t in (1, 3, 8)) / 3,
        mistakes={
            4.0: "that is the best constant itself, not its error.",
            13.0: "a mean over three samples divides by 3, not by 2.",
            26.0: "that is the sum of the squares; take their mean.",
        },
    ),
    "ch06-ex2": Number(
        lambda: 40 * 39 // 2,
        mistakes={
            1560: "each pair is counted twice there.",
            435: "those are the pairs of weights; add the ten biases.",
            800: "a parameter makes no pair with itself, and each pair "
            "counts once.",
        },
    ),
    "ch06-ex3": Array(_gradient),
    "ch06-ex4": Number(
        lambda: 0.5 / 2,
        mistakes={
            0.0: "at a = 0 every input is -0.5; how far up does that hold?",
            -0.25: "look at the sign: the largest input is 2 a - 0.5.",
        },
    ),
}

QUIZZES = {
    "ch06-q1": Question(
        "On a slice of an untrained network the best optimizer ends at a "
        "loss of 7.7. The best constant has 6.36. What follows?",
        (
            Option(
                "The optimizer failed",
                "It may well stand at the slice's lowest point: two weights "
                "cannot make up for 38 random ones.",
            ),
            Option(
                "The slice holds no useful network",
                "Every point of it is worse than ignoring the inputs. The "
                "picture still shows how the optimizer walks.",
                right=True,
            ),
            Option(
                "The network is too small for the task",
                "The same network, trained as a whole, goes far below 6.36.",
            ),
        ),
    ),
}
