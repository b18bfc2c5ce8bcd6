"""A surface taken apart by scale, with wavelets."""

import numpy as np

from dldna.exercises.answer_kinds import Array, Function, Number
from dldna.exercises.questions import Option, Question


def _roughness(line):
    """Share of the energy about the mean at the finest level of Haar's."""
    line = np.asarray(line, dtype=float)
    finest = ((line[::2] - line[1::2]) ** 2).sum() / 2
    return finest / ((line - line.mean()) ** 2).sum()


EXERCISES = {
    "scales-ex1": Array(
        [2.0, 4.0],
        mistakes=[
            ([4.0, 2.0], "the finest first."),
            ([2.0, 8.0], "the sums, too, are divided by root 2."),
            ([2.0, 2.0], "level 2 works on sums over root 2, not on means."),
            ([4.0, 8.0], "the square of a difference over root 2: halve it."),
            ([2**0.5, 2.0], "those are the details; square them."),
        ],
    ),
    "scales-ex2": Number(
        3.0,
        mistakes={
            1.0: "level 1 compares neighbours, and most of these are equal.",
            8.0: "that is the number of points; each level doubles it.",
            4.0: "patches of eight points cancel: each holds a whole wave.",
        },
    ),
    "scales-ex3": Function(
        _roughness,
        [
            ([0.0, 1.0, 0.0, 1.0],),
            ([4.0, 2.0, 5.0, 5.0],),
            ([1.0, 1.0, 2.0, 2.0],),
            ([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0],),
        ],
        mistakes=[
            (
                lambda x: 2 * _roughness(x),
                "a detail is a difference over root 2: halve its square.",
            ),
            (
                lambda x: 1 - _roughness(x),
                "that is the share of all but the finest details.",
            ),
            (
                lambda x: _roughness(x) * np.var(x) / np.mean(np.square(x)),
                "the energy about the mean: subtract the mean.",
            ),
            (
                lambda x: (
                    np.square(np.diff(x)).sum() / 2 / (np.var(x) * len(x))
                ),
                "pairs do not overlap: (0, 1), (2, 3), and so on.",
            ),
        ],
    ),
    "scales-ex4": Number(
        np.sqrt(5 / 2) * 0.5 / (2 * np.pi),
        mistakes={
            0.5: "that is the length of the wave; the scale is shorter.",
            0.5 / (2 * np.pi): "the root of 5/2 is missing.",
        },
    ),
}

QUIZZES = {
    "scales-predict": Question(
        "On a grid of independent random numbers, which share of the "
        "variation lies between neighbours, at the finest scale there is?",
        (
            Option(
                "The same as at each other scale",
                "There are fewer patches at the coarser scales, and each "
                "has as much variation as one at a finer scale.",
            ),
            Option(
                "About three quarters",
                "Three of four coefficients are at the finest level, and all "
                "are equally large on average.",
                right=True,
            ),
            Option(
                "All of it",
                "Means of four independent numbers still vary, by half as "
                "much as the numbers.",
            ),
        ),
        section="At which scale?",
    ),
    "scales-q1": Question(
        "Haar's rule replaces 5 and 3 by a sum and a difference. Which?",
        (
            Option(
                "8 and 2",
                "Their squares add up to 68, those of 5 and 3 to 34.",
            ),
            Option(
                "4 and 1",
                "That is mean and half difference: the squares add up to "
                "17, to half.",
            ),
            Option(
                "8/√2 and 2/√2",
                "The squares, 32 and 2, add up to 34 as before.",
                right=True,
            ),
        ),
    ),
    "scales-q2": Question(
        "The roughness index of one surface is 0.01 on a grid of 50 x 50 "
        "points and 0.003 on one of 100 x 100. What happened?",
        (
            Option(
                "The finer grid has less noise",
                "Noise would keep its share, whatever the grid.",
            ),
            Option(
                "One of the two was computed wrongly, since it is one surface",
                "Both may be right: level 1 means another distance.",
            ),
            Option(
                "Nothing: differences of neighbours shrink with the spacing",
                "So the index compares surfaces on one grid only.",
                right=True,
            ),
        ),
    ),
    "scales-q3": Question(
        "The Haar approximation of a surface at level 2 has the value 8 in "
        "one place. What is the mean loss of the patch below?",
        (
            Option(
                "2",
                "Each level doubles the mean of a patch; two levels make "
                "four times.",
                right=True,
            ),
            Option(
                "8",
                "Coefficients are not losses: sums are divided by √2 along "
                "each axis, not by 2.",
            ),
            Option(
                "4",
                "That undoes one level of two.",
            ),
        ),
    ),
    "scales-q4": Question(
        "A map of details is blank over a valley's smooth floor and strong "
        "along its rim. What does that say?",
        (
            Option(
                "The floor's losses are near zero",
                "Details are differences: a floor of any height has none.",
            ),
            Option(
                "At this scale the loss changes along the rim",
                "Where patches differ, the map is strong; where they agree, "
                "it is blank.",
                right=True,
            ),
            Option(
                "The rim is noisy",
                "A smooth slope has differences, too; noise would show at "
                "the finest level, and everywhere.",
            ),
        ),
    ),
    "scales-q5": Question(
        "In a continuous transform with the Mexican hat a place is blue at "
        "small scales and red at large ones. What lies there?",
        (
            Option(
                "A narrow valley on top of a wide hill",
                "Blue answers a valley, red a hill, each at its own width.",
                right=True,
            ),
            Option(
                "A narrow hill in a wide valley",
                "The other way round: a hill is red.",
            ),
            Option(
                "An artefact of the line's ends",
                "Those are hatched; inside, both answers hold.",
            ),
        ),
    ),
}
