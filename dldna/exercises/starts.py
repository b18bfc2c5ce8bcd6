"""Starts that look further: data, architecture, first step, width."""

from dldna.exercises.answer_kinds import Array, Function, Number
from dldna.exercises.questions import Option, Question


def _fixup(branches: int, layers: int) -> float:
    """Fixup's factor on all layers of a branch but the last."""
    return branches ** (-1 / (2 * layers - 2))


def _rates(lr: float, base: int, width: int) -> list[float]:
    """Adam's rates under muP: input, hidden and output weights."""
    return [lr, lr * base / width, lr * base / width]


EXERCISES = {
    "starts-ex1": Array(
        [2.5, 0.48],
        mistakes=[
            ([6.25, 0.48], "a variance is a square: divide by its root."),
            ([2.5, 1.2], "the variance falls by the square of the factor."),
            ([2.5, 3.0], "what leaves the first layer reaches the second."),
            ([2.5, 1.0], "the second layer is not divided yet."),
        ],
    ),
    "starts-ex2": Number(
        1.5,
        mistakes={
            2.5 / 3: "a curvature below 0 counts with its size.",
            4.5: "that is the sum; the quotient is a mean over the weights.",
        },
    ),
    "starts-ex3": Function(
        _fixup,
        cases=[(16, 2), (10, 3), (1, 2)],
        mistakes=[
            (lambda d, m: d**-0.5, "that is for branches of two layers."),
            (
                lambda d, m: d ** (-1 / (2 * m)),
                "the last layer of a branch is zero and does not count.",
            ),
            (
                lambda d, m: d ** (1 / (2 * m - 2)),
                "the factor makes layers smaller, not larger.",
            ),
        ],
    ),
    "starts-ex4": Array(
        [1.0, 9.0, 1 / 9],
        mistakes=[
            (
                [1.0, 1 / 9, 9.0],
                "the other way round: smaller weights, larger gradients.",
            ),
            ([1.0, 1.0, 1.0], "the output stays; do its derivatives?"),
        ],
    ),
    "starts-ex5": Function(
        _rates,
        cases=[(0.01, 64, 256), (0.002, 32, 32), (0.1, 128, 64)],
        mistakes=[
            (
                lambda lr, base, n: [lr, lr * base / n, lr],
                "the output weights sum over the width, too.",
            ),
            (
                lambda lr, base, n: [lr * base / n] * 3,
                "the number of inputs does not grow with the width.",
            ),
            (
                lambda lr, base, n: [lr, lr * n / base, lr * n / base],
                "a wider network needs smaller rates.",
            ),
            (
                lambda lr, base, n: [lr, *[lr * (base / n) ** 0.5] * 2],
                "Adam's moves add up in one direction: no root.",
            ),
        ],
    ),
}

QUIZZES = {
    "starts-predict": Question(
        "How do the outputs of the spoiled network differ from image to "
        "image, once each matrix has the largest singular value 1?",
        (
            Option(
                "By far too much, as before",
                "No layer stretches any vector now, so nothing can grow.",
            ),
            Option(
                "As much as the images do",
                "That would need all singular values near 1; only the "
                "largest is.",
            ),
            Option(
                "Hardly at all",
                "A Gaussian matrix whose largest singular value is 1 shrinks "
                "nearly all directions, six times in a row.",
                right=True,
            ),
        ),
        section="A bound that stays: spectral normalization",
    ),
    "starts-q1": Question(
        "LSUV was run on 256 images. What is 1 afterwards?",
        (
            Option(
                "The variance of each layer's output on those images",
                "It is measured there and divided out; on other images it "
                "is near 1 at best.",
                right=True,
            ),
            Option(
                "The variance of each layer's weights",
                "The weights take the scale that the output needs.",
            ),
            Option(
                "The variance of the gradient in each layer",
                "LSUV sends nothing back; it does not see the gradient.",
            ),
        ),
    ),
    "starts-q2": Question(
        "Why may the last layer of a residual branch start at zero, but not "
        "every layer of a plain network?",
        (
            Option(
                "The signal passes beside the branch, and gradients reach "
                "its last layer",
                "In a plain network of zeros nothing passes, and the "
                "gradients of the weights are zero, too.",
                right=True,
            ),
            Option(
                "Zeros are fine everywhere: the first step moves all weights "
                "away from zero",
                "A layer of zeros hands no gradient to the layer below, and "
                "gets no signal from one.",
            ),
            Option(
                "Branches are so small that their start is of no account",
                "Many branches add up; their scale is what Fixup sets.",
            ),
        ),
    ),
    "starts-q3": Question(
        "MetaInit ended at a gradient quotient near 0. What does that say "
        "of the network?",
        (
            Option(
                "It will learn quickly, from the first step on",
                "A network that ignores its inputs has a small quotient, too.",
            ),
            Option(
                "Its gradient is small",
                "The quotient compares the gradient with its change; its "
                "length cancels.",
            ),
            Option(
                "A small step hardly changes its gradient",
                "That is what was tuned; whether the outputs still depend on "
                "the inputs is another question.",
                right=True,
            ),
        ),
    ),
    "starts-q4": Question(
        "After GradInit the loss that follows the first step is ln 10, with "
        "ten classes. What was gained?",
        (
            Option(
                "The network has learned to classify",
                "ln 10 is the loss of equal probabilities for ten classes.",
            ),
            Option(
                "The first step no longer does harm",
                "From the spoiled start it ended above the loss of knowing "
                "nothing; learning is still to come.",
                right=True,
            ),
            Option(
                "Nothing: it knew nothing before, either",
                "Before, it was sure of wrong classes, and its loss was "
                "higher than that of knowing nothing.",
            ),
        ),
    ),
    "starts-q5": Question(
        "In a ReLU network without biases one matrix is doubled and another "
        "one halved. What changes?",
        (
            Option(
                "The gradients of the two, not the output",
                "The factors cancel in the function; by the chain rule each "
                "gradient is divided by the factor of its matrix.",
                right=True,
            ),
            Option(
                "The output, not the gradients",
                "A positive factor passes through a ReLU, and the product of "
                "the two is 1.",
            ),
            Option(
                "Nothing, because the product of the factors is 1",
                "That holds for the output; the same function can lie at "
                "two places with different gradients.",
            ),
        ),
    ),
    "starts-q6": Question(
        "With the standard start you tuned Adam's rate on a narrow network. "
        "Where do you look for the rate of one that is much wider?",
        (
            Option(
                "At the same rate",
                "That is muP's promise, not the standard start's.",
            ),
            Option(
                "Higher, because there is more to learn",
                "A unit of a wider network sums more moves of its weights.",
            ),
            Option(
                "Lower",
                "Each unit sums over more weights that all move by about "
                "the rate.",
                right=True,
            ),
        ),
    ),
}
