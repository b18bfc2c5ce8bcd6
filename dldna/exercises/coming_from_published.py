"""The page for readers of the published chapter: its exercises."""

import math

from dldna.exercises.answer_kinds import Array, Function, Number
from dldna.exercises.questions import Option, Question


def _sgd(gradients: list[float], lr: float, mu: float) -> float:
    """Heavy ball from 0 along given gradients."""
    w = v = 0.0
    for g in gradients:
        v = mu * v + g
        w = w - lr * v
    return w


def _epochs_to(losses: list[float], level: float) -> float:
    """First epoch, from 1, with a loss below the level."""
    for epoch, loss in enumerate(losses, start=1):
        if loss < level:
            return epoch
    return math.inf


EXERCISES = {
    "coming_from_published-ex1": Function(
        _sgd,
        cases=[
            ([1.0], 0.1, 0.9),
            ([1.0, 1.0], 0.1, 0.9),
            ([2.0, -1.0, 0.5], 0.01, 0.5),
        ],
        mistakes=[
            (
                lambda g, lr, mu: -_sgd(g, lr, mu),
                "the step goes against the gradient.",
            ),
            (lambda g, lr, mu: -lr * sum(g), "the velocity is missing."),
            (
                lambda g, lr, mu: (1 - mu) * _sgd(g, lr, mu),
                "that averages; the formula sums.",
            ),
        ],
    ),
    "coming_from_published-ex2": Function(
        _epochs_to,
        cases=[
            ([0.9, 0.7, 0.6], 0.8),
            ([0.9, 0.8, 0.6], 0.8),
            ([2.3, 2.3], 1.0),
            ([math.nan, math.nan], 1.0),
        ],
        mistakes=[
            (
                lambda x, at: _epochs_to(x, at) - 1,
                "epochs are counted from 1.",
            ),
            (
                lambda x, at: _epochs_to(x, math.nextafter(at, math.inf)),
                "below the level, and not at it.",
            ),
            (
                lambda x, at: min(_epochs_to(x, at), len(x)),
                "it is infinite where no loss is below the level.",
            ),
        ],
    ),
    "coming_from_published-ex3": Number(
        (6 * 1.41 - 0.25) / 5,
        mistakes={
            (5 * 1.41 - 0.25) / 5: "the mean was over six things.",
            6 * 1.41 / 5: "the slope is part of the sum: take it out.",
        },
    ),
    "coming_from_published-ex4": Number(
        1e-3 / math.sqrt(2),
        mistakes={1e-3: "that is the right form, with eps outside."},
    ),
    "coming_from_published-ex5": Number(
        0.01,
        mistakes={
            0.1: "that is the gradient; the weights are longer, too.",
            1.0: "the output stays, but what of its derivative?",
        },
    ),
    "coming_from_published-ex6": Array(
        [2, 3],
        mistakes=[
            ([3, 2], "first the right rule, then the printed one."),
            ([1, 2], "the gradient 1 is step 1, not step 0."),
        ],
    ),
    # Two axes of a long random walk: 6 / pi^2 (1 + 1/4).
    "coming_from_published-ex7": Number(
        7.5 / math.pi**2,
        rtol=5e-3,
        mistakes={6 / math.pi**2: "that is the first axis alone."},
    ),
}

QUIZZES = {
    "coming_from_published-q1": Question(
        "You tuned SGD(lr=0.01, momentum=0.9) with the published package. "
        "What trains in exactly the same way here?",
        (
            Option(
                "SGD(lr=0.01, momentum=0.9)",
                "Its steps become ten times as long.",
            ),
            Option(
                "SGD(lr=0.001, momentum=0.9)",
                "Nearly: the effective rate is the same, but the first "
                "steps differ.",
            ),
            Option(
                "optim.SGD(lr=0.01, momentum=0.9, dampening=0.9)",
                "Yes: the average is the sum with dampening.",
                right=True,
            ),
        ),
    ),
}
