"""Line search and flat minima."""

from dldna.exercises.answer_kinds import Array, Number
from dldna.exercises.questions import Option, Question

EXERCISES = {
    "line_search-ex1": Array(
        [3.0, 1 / 3],
        mistakes=[
            ([3.0, 2 / 3], "the parabola's slope is b + 2 a s."),
            ([3.0, -1 / 3], "it lies ahead: mind the sign of b."),
            ([1.5, 2 / 3], "mu is squared below the line."),
            ([6.0, 1 / 3], "that is the curvature, twice a."),
        ],
    ),
    "line_search-ex2": Array(
        [3.3, 4.4],
        mistakes=[
            ([2.7, 3.6], "SAM looks uphill, along the gradient."),
            ([6.0, 8.0], "bring the gradient to length 1 first."),
            ([0.3, 0.4], "that is the way; it begins at w."),
            ([3.5, 4.5], "that is a step of rho in each coordinate."),
        ],
    ),
    "line_search-ex3": Number(
        lambda: 10 * 5 / (10 + 5),
        mistakes={
            10.0: "that is the loss's own curvature, without smoothing.",
            5.0: "that is the spring alone.",
            15.0: "the sum is the curvature of f plus the spring.",
        },
    ),
}

QUIZZES = {
    "line_search-predict": Question(
        "A parabola is fitted to the first point, its slope and the second "
        "point. Up to the minimum of the parabola, how far is it off the "
        "loss?",
        (
            Option(
                "By more than half of the loss",
                "Smooth layers and a short way leave little room to bend.",
            ),
            Option(
                "By some hundredths of the loss, or less",
                "So one look ahead gains most of this batch's drop.",
                right=True,
            ),
            Option(
                "Not at all: the loss is a parabola",
                "It is curved like one only near the start; look far out.",
            ),
        ),
        section="PAL: a parabola along the gradient",
    ),
    "line_search-q1": Question(
        "SAM with 10 epochs is compared with SGD with 10 epochs. Is that "
        "an equal budget?",
        (
            Option("Yes", "Count the gradients that each step takes."),
            Option(
                "No: SAM took twice as many gradients",
                "Each step of SAM evaluates two.",
                right=True,
            ),
            Option(
                "No: SGD took twice as many steps",
                "Both took one step for each batch.",
            ),
        ),
    ),
    "line_search-q2": Question(
        "PAL's parabola opens downwards (a is not positive). What does PAL "
        "do?",
        (
            Option(
                "It stays where it is",
                "The slope still says that it goes down.",
            ),
            Option(
                "It jumps to -b / (2a)",
                "That is the top of the parabola, and behind the start.",
            ),
            Option(
                "It goes the measuring distance",
                "There is no minimum to jump to, so the step is a safe one.",
                right=True,
            ),
        ),
    ),
    "line_search-q3": Question(
        "Where does SAM go from w?",
        (
            Option(
                "To the worst nearby point",
                "It only looks there; then it comes back.",
            ),
            Option(
                "From w, along the gradient at the worst nearby point",
                "The gradient comes from there, the step starts at w.",
                right=True,
            ),
            Option(
                "From the worst nearby point, along its gradient",
                "Then w would climb by rho in each step.",
            ),
            Option(
                "From w, along the mean of two gradients",
                "The gradient at w only says where to look.",
            ),
        ),
    ),
    "line_search-q4": Question(
        "What does a larger gamma do in Entropy-SGD?",
        (
            Option(
                "It smooths less: the lowest point is that of the loss again",
                "The spring is stiffer, and x' stays near x.",
                right=True,
            ),
            Option(
                "It smooths more: its mean is over a wider neighbourhood of x",
                "It is the other way round: gamma is a spring's stiffness.",
            ),
            Option(
                "It makes the walk noisier",
                "The noise is a setting of its own.",
            ),
        ),
    ),
    "line_search-q5": Question(
        "A network found by SAM has a smaller largest eigenvalue than one "
        "found by SGD. What follows?",
        (
            Option(
                "It generalizes better, as networks on flat ground do",
                "That would have to be measured on data of its own.",
            ),
            Option(
                "Its loss is lower, as it lies at the bottom of a wide valley",
                "Flat is not low: the eigenvalue is about curvature.",
            ),
            Option(
                "In these coordinates it lies on flatter ground, no more",
                "Rescaled layers change the eigenvalue, not the function.",
                right=True,
            ),
        ),
    ),
    "line_search-q6": Question(
        "SGD, SAM and Entropy-SGD with a walk of eight get 256 gradients "
        "each. How often does each move its weights for good?",
        (
            Option(
                "256 times each",
                "SAM's first gradient only says where to look.",
            ),
            Option(
                "256, 128 and 32 times",
                "One, two and eight gradients go into each of their steps.",
                right=True,
            ),
            Option(
                "256, 128 and 128 times",
                "Entropy-SGD spends a whole walk on a step.",
            ),
        ),
    ),
}
