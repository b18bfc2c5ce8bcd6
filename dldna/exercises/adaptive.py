"""Adaptive methods."""

from dldna.exercises.answer_kinds import Array, Number
from dldna.exercises.questions import Option, Question


def _first_steps() -> list[float]:
    """The second coordinate after one step from -2, gradient -20."""
    w, g, lr = -2.0, -20.0, 0.1
    sign = -1.0
    return [
        w - lr * g,
        w - lr * sign,
        w - lr * sign / (1 - 0.99) ** 0.5,
        w - lr * sign,
    ]


EXERCISES = {
    "adaptive-ex1": Array(
        _first_steps,
        mistakes=[
            ([0.9, 0.9, 0.0, 0.9], "those are w_0, the first coordinate."),
            ([2.0, 0.1, 1.0, 0.1], "those are the steps; add them to -2."),
            ([-4.0, -2.1, -3.0, -2.1], "the steps go against the gradient."),
            ([0.0, -1.9, -1.9, -1.9], "RMSProp corrects no bias."),
        ],
    ),
    "adaptive-ex2": Number(
        lambda: 0.01 * 1.0 / 1e-8,
        mistakes={
            0.1: "that is the right RMSProp, with the updated average.",
            0.01: "the old average is 0: only eps is left to divide by.",
            100.0: "that is eps inside the root.",
        },
    ),
    # How many of the four rules keep their path when the loss is rescaled.
    "adaptive-ex3": Number(
        4,
        mistakes={
            3: "look at AdamW again: its decay does not see the gradient.",
            0: "up to eps: a constant factor cancels in g / root(v).",
        },
    ),
}

QUIZZES = {
    "adaptive-predict": Question(
        "Which will change the test error more: to go from the best of the "
        "four methods to the worst, each at its best rate, or to go from a "
        "method's best rate to its worst?",
        (
            Option(
                "From the best method to the worst",
                "A guess that many tables suggest, because they show each "
                "method at one rate. The range of rates was wider than that.",
            ),
            Option(
                "From the best rate to the worst",
                "Five rates span a factor of a hundred, and the worst of "
                "them costs every method more than the choice among methods "
                "does.",
                right=True,
            ),
            Option(
                "Neither: adaptive methods need no tuning",
                "They make the rate independent of the loss's scale, but "
                "they still have one, and a wrong one still costs.",
            ),
        ),
        section="Do adaptive steps help on real images?",
    ),
    "adaptive-q1": Question(
        "Adam with an L2 term and AdamW use the same lambda. For a weight "
        "whose gradients are large, which one shrinks it more?",
        (
            Option(
                "Adam with the L2 term",
                "Its term is divided by the root of v, which is large here.",
            ),
            Option(
                "AdamW",
                "Its factor 1 - lr * lambda is the same for every weight.",
                right=True,
            ),
            Option(
                "Both alike",
                "That holds for plain gradient descent, not inside Adam.",
            ),
        ),
    ),
    "adaptive-q2": Question(
        "A valley has the curvatures 1 and 100. What is the highest rate at "
        "which gradient descent does not diverge?",
        (
            Option(
                "2, from the shallow direction",
                "At that rate the steep weight is multiplied by "
                "1 - 200 in each step.",
            ),
            Option(
                "2 / 50.5, from the mean curvature",
                "Directions do not share: each has its own factor "
                "1 - lr * curvature, and one beyond -1 is enough.",
            ),
            Option(
                "0.02, from the steep direction",
                "Beyond 2 / 100 the steep weight grows from step to step.",
                right=True,
            ),
        ),
    ),
    "adaptive-q3": Question(
        "A weight has seen gradients of size 1 for 99 steps. How long is "
        "AdaGrad's next step, at the rate 0.5 and again a gradient of 1?",
        (
            Option(
                "0.05",
                "The sum is 100 with the new gradient, its root is 10.",
                right=True,
            ),
            Option(
                "0.5",
                "That is the first step, when the sum holds one gradient; "
                "RMSProp and Adam come back to it, AdaGrad does not.",
            ),
            Option(
                "0.005",
                "The gradient is divided by the root of the sum, not by the "
                "sum.",
            ),
        ),
    ),
    "adaptive-q4": Question(
        "RMSProp with alpha = 0.99 meets gradients that are all 1. What "
        "becomes of the length of its steps?",
        (
            Option(
                "It falls for ever, like one over the root of t",
                "That is AdaGrad: a sum grows, an average of ones does not.",
            ),
            Option(
                "It starts ten times too long and settles at the rate",
                "v starts at 0.01 instead of 1 and reaches 1 within some "
                "hundred steps.",
                right=True,
            ),
            Option(
                "It is the rate from the first step on",
                "It would be if v started at the first squared gradient, or "
                "if it were corrected as Adam does.",
            ),
            Option(
                "It starts near zero and grows to the rate",
                "A v that is too small makes a quotient that is too large.",
            ),
        ),
    ),
    "adaptive-q5": Question(
        "Adam's two corrections are left out. Why are the first steps too "
        "long and not too short, although m starts at zero?",
        (
            Option(
                "Because m is corrected more strongly than v",
                "It is the other way round: after one step m is a tenth of "
                "what it should be, and v a thousandth.",
            ),
            Option(
                "Because the betas are larger than one half",
                "With beta1 = 0.9 and beta2 = 0.99 the two would cancel on "
                "the first step. Their relation matters.",
            ),
            Option(
                "Because the root of v is even further too small than m",
                "One tenth over the root of one thousandth is about 3.2.",
                right=True,
            ),
        ),
    ),
    "adaptive-q6": Question(
        "At the start the gradient is (1, -20). In which direction does "
        "Adam's first step go?",
        (
            Option(
                "Along (-1, 1), the diagonal",
                "Each coordinate is divided by its own size: only the signs "
                "are left.",
                right=True,
            ),
            Option(
                "Along (-1, 20), against the gradient",
                "That is gradient descent; Adam divides each coordinate.",
            ),
            Option(
                "Straight towards the minimum",
                "That needs the curvatures, which Adam does not know; the "
                "signs of the gradient are the same at many points.",
            ),
        ),
    ),
}
