"""Which optimizer?"""

from math import comb

import numpy as np

from dldna.exercises.answer_kinds import Array, Function, Number
from dldna.exercises.questions import Option, Question


def _share(a, b) -> float:
    a, b = np.asarray(a)[:, None], np.asarray(b)[None, :]
    return float(np.mean((a > b) + 0.5 * (a == b)))


def _ties(a, b) -> float:
    return float(np.mean(np.asarray(a)[:, None] == np.asarray(b)))


EXERCISES = {
    "comparison-ex1": Number(
        2 / comb(8, 4),
        mistakes={
            1 / comb(8, 4): "the mirror image parts the means as far.",
            2 / 2**4: "that is the paired test, with signs.",
        },
    ),
    "comparison-ex2": Number(
        6,
        mistakes={
            5: "21 times 2/252 is still 0.17.",
            4: "that is enough for one pair alone; there are 21.",
        },
    ),
    "comparison-ex3": Array(
        [13 / 16, 5 / 6],
        mistakes=[
            ([5 / 6, 13 / 16], "first with replacement, then without."),
            ([0.75, 0.75], "that is the mean of one draw."),
        ],
    ),
    "comparison-ex4": Function(
        _share,
        cases=[
            ([2.0, 3.0], [1.0]),
            ([1.0, 2.0], [1.0, 3.0]),
            ([0.5, 0.5, 0.7], [0.6, 0.5]),
        ],
        mistakes=[
            (
                lambda a, b: _share(a, b) - _ties(a, b) / 2,
                "a tie counts one half, not nothing.",
            ),
            (
                lambda a, b: _share(a, b) + _ties(a, b) / 2,
                "a tie counts one half, not a whole win.",
            ),
            (lambda a, b: _share(b, a), "that is how often b beats a."),
        ],
    ),
}

QUIZZES = {
    "comparison-predict": Question(
        "Five rates for each of two optimizers make 25 pairs of rates. Each "
        "pair would be a table of two numbers. Who is ahead in them, by the "
        "mean of ten seeds?",
        (
            Option(
                "Adam in all of them",
                "At a rate that does not suit it, it falls behind.",
            ),
            Option(
                "SGD in all of them",
                "Its small rates have not arrived after two epochs.",
            ),
            Option(
                "Each of the two in some of them",
                "Who chooses the pair of rates chooses the winner.",
                right=True,
            ),
            Option(
                "Nobody: the means are nearly equal",
                "Between a good and a bad rate lie many points.",
            ),
        ),
        section="A single run ranks nothing",
    ),
    "comparison-q1": Question(
        "A table says: A 92.4 %, B 92.1 %, one run each, rates chosen by "
        "hand. What do you know?",
        (
            Option(
                "A is better than B, by a little",
                "Another seed or another rate may turn the order round.",
            ),
            Option(
                "A and B are equally good",
                "One run each cannot show that, either.",
            ),
            Option(
                "Next to nothing about A and B",
                "Neither the spread nor the tuning budget is known.",
                right=True,
            ),
        ),
    ),
    "comparison-q2": Question(
        "The best of an optimizer's trials is at the largest rate tried. "
        "What do you do?",
        (
            Option(
                "Report it: it is the best",
                "A larger rate may have been better still.",
            ),
            Option(
                "Widen the range, for everybody",
                "The budget stays equal, and the best rate lies inside.",
                right=True,
            ),
            Option(
                "Give this optimizer some more trials",
                "Then its budget is larger than the others'.",
            ),
        ),
    ),
    "comparison-q3": Question(
        "Two optimizers share a letter. What does it say?",
        (
            Option(
                "These runs do not separate them",
                "No more: other or further runs may.",
                right=True,
            ),
            Option(
                "They are equally good",
                "Not separated is not the same as equal.",
            ),
            Option(
                "Their means are the same, as far as digits are shown",
                "The means may lie apart, if the scores are spread widely.",
            ),
        ),
    ),
    "comparison-q4": Question(
        "Which score of the best of k trials is reported fairly?",
        (
            Option(
                "The highest test score among the k, with its own rate",
                "Then the test images choose, and the score is too good.",
            ),
            Option(
                "The validation score of the best trial",
                "It was chosen for being high: it flatters.",
            ),
            Option(
                "The test score of the trial that validation chose",
                "One set of images chooses, another reports.",
                right=True,
            ),
        ),
    ),
    "comparison-q5": Question(
        "The length of the gradient grows during a training. Is it going "
        "wrong?",
        (
            Option(
                "Yes: at a minimum the gradient is zero",
                "Training ends far from there, and the way is not straight.",
            ),
            Option(
                "Not by that alone: look at the loss",
                "In the stored runs it grows while the loss falls.",
                right=True,
            ),
            Option(
                "Yes: the rate must be too large",
                "It happened at rates that validation had chosen.",
            ),
        ),
    ),
}
