"""Two weights at a time."""

from dldna.exercises.answer_kinds import Array, Number
from dldna.exercises.questions import Option, Question


def _gradient() -> list[float]:
    """By a and b of (3 max(0, a + 2 b))^2 at (1, 1)."""
    v, x, w = 3.0, (1.0, 2.0), (1.0, 1.0)
    output = v * max(0.0, w[0] * x[0] + w[1] * x[1])
    return [2 * output * v * one for one in x]


EXERCISES = {
    "two_weights-ex1": Number(
        lambda: sum((t - 4) ** 2 for t in (1, 3, 8)) / 3,
        mistakes={
            4.0: "that is the best constant itself, not its error.",
            29 / 3: "that is the error of the median.",
            13.0: "a mean over three samples divides by 3, not by 2.",
            26.0: "that is the sum of the squares; take their mean.",
        },
    ),
    "two_weights-ex2": Number(
        lambda: 40 * 39 // 2,
        mistakes={
            1560: "each pair is counted twice there.",
            435: "those are the pairs of weights; add the ten biases.",
            800: "a parameter makes no pair with itself, and each pair "
            "counts once.",
        },
    ),
    "two_weights-ex3": Array(
        _gradient,
        mistakes=[
            ([27.0, 54.0], "the square's derivative has a factor of 2."),
            ([18.0, 36.0], "the 3 stands in the inner derivative, too."),
            ([54.0, 54.0], "each weight receives its own input."),
            ([6.0, 12.0], "the output is 9, with the 3 in front."),
        ],
    ),
    "two_weights-ex4": Number(
        lambda: 0.5 / 2,
        mistakes={
            0.0: "at a = 0 every input is -0.5; how far up does that hold?",
            0.5: "h goes up to 2, not to 1.",
            -0.25: "look at the sign: the largest input is 2 a - 0.5.",
        },
    ),
}

QUIZZES = {
    "two_weights-predict": Question(
        "Three of four optimizers arrive from that one start. What will 36 "
        "starts show, at the same rate?",
        (
            Option(
                "The same: three of four from nearly every start",
                "Then a picture of one start would be enough. It was not: "
                "the number that arrive changes with the start.",
            ),
            Option(
                "It varies: from some starts all four, from others fewer",
                "How many arrive is a property of the start as well.",
                right=True,
            ),
            Option(
                "All four from everywhere, if given time",
                "At this rate gradient descent cannot even stay at the "
                "lowest point of most tanh slices.",
            ),
        ),
        section="Figures 7 to 9: four optimizers, one rate",
    ),
    "two_weights-q1": Question(
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
    "two_weights-q2": Question(
        "The noise in the targets has the variance 0.01 and a network has a "
        "loss of 0.004 on the very data it was trained on. What follows?",
        (
            Option(
                "The loss is computed wrongly, nothing can be below 0.01",
                "No function can expect less on fresh targets; on those "
                "seen in training the noise itself can be learned.",
            ),
            Option(
                "It has learned some of the noise of these targets",
                "The floor holds for the expected loss, not for this draw.",
                right=True,
            ),
            Option(
                "It generalizes better than the true function",
                "On fresh targets the true function has the least expected "
                "loss.",
            ),
        ),
    ),
    "two_weights-q3": Question(
        "On the slice of a trained network the lowest point is a little "
        "below the network's own loss. How can that be, after 1,000 epochs?",
        (
            Option(
                "The training had not found the minimum to the last digit",
                "It walks on batches and stops somewhere; a search of two "
                "weights by ever finer grids finds a little more.",
                right=True,
            ),
            Option(
                "The slice is not the true loss but a projection",
                "It is the exact loss of the network with two weights "
                "changed.",
            ),
            Option(
                "The network is at a saddle and has to be retrained",
                "A gain of a few thousandths says nothing of the kind.",
            ),
        ),
    ),
    "two_weights-q4": Question(
        "With batches of 64 the path ends farther from the lowest point than "
        "with batches of 1, after one epoch each. Why?",
        (
            Option(
                "It made 16 steps instead of 1,000",
                "After 320 steps it has settled closest of all.",
                right=True,
            ),
            Option(
                "Noise helps to find the minimum",
                "Noise makes the path rattle around it; what is missing are "
                "steps.",
            ),
            Option(
                "Large batches end in sharper minima",
                "There is one lowest point in this window, and the path is "
                "still on its way.",
            ),
        ),
    ),
    "two_weights-q5": Question(
        "A ReLU unit is off for 999 of 1,000 samples. What is its gradient?",
        (
            Option(
                "Exactly zero, the unit is dead",
                "Dead means off for every sample.",
            ),
            Option(
                "Small but not zero in general",
                "The one sample that gets through sends a gradient back, "
                "divided by 1,000.",
                right=True,
            ),
            Option(
                "As large as if it were on for all",
                "The mean runs over all samples, and most give nothing.",
            ),
        ),
    ),
    "two_weights-q6": Question(
        "At the lowest point of a slice the larger eigenvalue of the Hessian "
        "is 40. Full-batch descent starts right beside it at the rate 0.1. "
        "What happens?",
        (
            Option(
                "It converges, since it starts in the basin",
                "The rate is beyond 2 / 40 = 0.05: every step overshoots by "
                "more than it corrects.",
            ),
            Option(
                "It moves away",
                "The error is multiplied by 1 - 0.1 * 40 = -3.",
                right=True,
            ),
            Option(
                "It stays where it is, the gradient is zero",
                "Only exactly at the point; beside it the error grows.",
            ),
        ),
    ),
}
