"""Lines."""

import numpy as np

from dldna.exercises.answer_kinds import Array, Function, Number
from dldna.exercises.questions import Option, Question


def _barrier(alphas, losses):
    """The largest height above the chord."""
    alphas, losses = np.asarray(alphas), np.asarray(losses)
    chord = (1 - alphas) * losses[0] + alphas * losses[-1]
    return (losses - chord).max()


EXERCISES = {
    "lines-ex1": Number(
        1.0,
        mistakes={
            2.0: "that is the distance of the minima.",
            0.0: "that is the loss at the ends; look between them.",
        },
    ),
    "lines-ex2": Array(
        [[5.0, 0.0], [2**0.5, 2**0.5]],
        mistakes=[
            ([[5.0, 0.0], [2.0, 2.0]], "the second row's length is root 2."),
            (
                [[3 / 2**0.5, 0.0], [3 / 2**0.5, 20**0.5]],
                "a row is a filter, not a column.",
            ),
            (
                np.array([[1.0, 0.0], [1.0, 1.0]]) * (29 / 3) ** 0.5,
                "each row by itself, not the whole matrix.",
            ),
        ],
    ),
    "lines-ex3": Number(
        0.5**0.5,
        mistakes={
            0.5: "that is the variance; its root is asked for.",
            1.0: "the average of two uncorrelated values varies less.",
        },
    ),
    "lines-ex4": Function(
        _barrier,
        [
            ([0.0, 0.5, 1.0], [0.0, 1.0, 0.0]),
            ([0.0, 0.2, 1.0], [0.0, 1.0, 1.0]),
            ([0.0, 0.3, 0.6, 1.0], [3.0, 2.5, 2.0, 1.0]),
        ],
        mistakes=[
            (
                lambda a, x: max(x) - (x[0] + x[-1]) / 2,
                "measure above the chord at the same place, not half-way.",
            ),
            (
                lambda a, x: max(x) - max(x[0], x[-1]),
                "measure above the chord, not above the higher end.",
            ),
            (
                lambda a, x: _barrier(np.linspace(0, 1, len(x)), x),
                "the positions need not be evenly spaced.",
            ),
        ],
    ),
}

QUIZZES = {
    "lines-predict": Question(
        "We take the large-batch network away and put in its place the same "
        "small-batch run, as it was ten epochs earlier. What will the line "
        "look like?",
        (
            Option(
                "Alike on both sides: both ends have small batches",
                "The batch size is the same, but the two ends have not come "
                "equally far, and the line shows that.",
            ),
            Option(
                "Reversed: the early network lies in the wider valley",
                "One may think that training narrows a valley. On this line "
                "the way out at 1 leads back to where the run came from, "
                "and uphill.",
            ),
            Option(
                "Much as before: wider on the side of the later network",
                "It takes no large batch to draw this picture.",
                right=True,
            ),
        ),
        section="Small and large batches: is wide flat?",
    ),
    "lines-q2": Question(
        "Somebody draws a line at 50 points from -0.5 to 1.5 and reads off "
        "the losses of both networks. What is wrong?",
        (
            Option(
                "Neither network is among the points",
                "Zero and one must be on the grid, and their values those "
                "of the networks.",
                right=True,
            ),
            Option(
                "50 points are too few",
                "51 miss both ends as well, and 101 hit them by luck: the "
                "grid has to contain them.",
            ),
            Option(
                "The line must not leave the piece between 0 and 1",
                "It may be extended; beyond the ends are other networks, "
                "and the picture says so.",
            ),
        ),
    ),
    "lines-q3": Question(
        "The loss falls all the way from the initial weights to the trained "
        "ones. What may you conclude?",
        (
            Option(
                "Training walked near this line on its way down",
                "After two epochs its way from the start stood more than "
                "thirty degrees off the line.",
            ),
            Option(
                "The problem was easy to optimize",
                "Such lines fall for easy and for hard problems.",
            ),
            Option(
                "That it falls on this line, and little else",
                "A start from another run gives nearly the same picture.",
                right=True,
            ),
        ),
    ),
    "lines-q4": Question(
        "Between networks A and B stands a barrier. Which control tells "
        "whether they have learnt different things?",
        (
            Option(
                "A finer grid on the same line",
                "The barrier would stand there as well: it is not made by "
                "the grid.",
            ),
            Option(
                "The line from A to A with its hidden units reordered",
                "If that line has a barrier, too, a barrier alone says "
                "nothing about what was learnt.",
                right=True,
            ),
            Option(
                "A line to a network with other random weights",
                "That is a worse network; it tells nothing about two that "
                "are equally good.",
            ),
        ),
    ),
    "lines-q5": Question(
        "Batch size and learning rate differ between two trainings, and so "
        "do the widths of their valleys. How do you find the cause?",
        (
            Option(
                "Train every combination of the two, at equal loss",
                "Crossing them shows what each does while the other stays; "
                "the length of training belongs to the table, too.",
                right=True,
            ),
            Option(
                "Repeat the comparison with more seeds, until it is certain",
                "Seeds make the difference certain, and leave its cause as "
                "open as before.",
            ),
            Option(
                "Draw the line with more images",
                "The difference would be measured more finely; both causes "
                "would still change together.",
            ),
        ),
    ),
    "lines-q6": Question(
        "A line between two batch-normalized networks does not reach the "
        "second one's own loss. What happened?",
        (
            Option(
                "The weights were interpolated wrongly",
                "At 1 they are exactly those of the second network.",
            ),
            Option(
                "The loss was measured in evaluation mode, not in training "
                "mode",
                "So it should be; the question is whose statistics it uses.",
            ),
            Option(
                "The running statistics of the first network were kept",
                "Weights alone are not the network; interpolate the "
                "statistics or measure them anew.",
                right=True,
            ),
        ),
    ),
    "lines-q1": Question(
        "Network A looks wider than network B along raw random directions. "
        "What follows?",
        (
            Option(
                "A generalizes better",
                "Width and generalization are not tied like this.",
            ),
            Option(
                "A is flatter than B, in whatever units one measures",
                "A rescaled twin of A, the same function, may look sharper.",
            ),
            Option(
                "Nothing yet: their weights may differ in scale",
                "Compare along filter-normalized directions, several of them.",
                right=True,
            ),
        ),
    ),
}
