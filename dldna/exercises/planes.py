"""Planes."""

import numpy as np

from dldna.exercises.answer_kinds import Function, Number
from dldna.exercises.questions import Option, Question


def _by_filter(d, w):
    """Each filter of d with the length of w's."""
    d, w = np.asarray(d, dtype=float), np.asarray(w, dtype=float)
    axes = tuple(range(1, d.ndim))
    lengths = [np.sqrt((a**2).sum(axes, keepdims=True)) for a in (d, w)]
    return d / lengths[0] * lengths[1]


def _whole(d, w):
    return d * np.linalg.norm(w) / np.linalg.norm(d)


def _last_axis(d, w):
    lengths = [np.sqrt((a**2).sum(-1, keepdims=True)) for a in (d, w)]
    return d / lengths[0] * lengths[1]


_WIDE = np.arange(1.0, 13.0).reshape(2, 3, 2)

EXERCISES = {
    "planes-ex1": Number(
        1000 / 60,
        mistakes={
            625 * 0.4 / 60: "that is for 25 x 25 points.",
            2 * 625 * 0.4 / 60: "both axes are doubled.",
            1000.0: "that is in seconds.",
        },
    ),
    "planes-ex2": Number(
        0.00899,
        mistakes={
            0.01099: "the sign of the ten counts.",
            89.9: "that is the trace; divide by the number of directions.",
        },
    ),
    "planes-ex3": Number(
        2**0.5 * 1e-3,
        mistakes={
            1e-3: "that is one coordinate; there are two.",
            2e-6: "that is the mean square; its root is asked for.",
        },
    ),
    "planes-ex4": Function(
        _by_filter,
        [
            (np.array([[1.0, 0.0], [1.0, 1.0]]),
             np.array([[3.0, 4.0], [0.0, 2.0]])),
            (_WIDE[::-1], _WIDE),
        ],
        mistakes=[
            (_whole, "each filter by itself, not the whole array."),
            (
                lambda d, w: _by_filter(d, np.ones_like(w))
                * (w[0].size) ** -0.5,
                "multiply by the length of w's filter, too.",
            ),
            (
                lambda d, w: np.swapaxes(
                    _by_filter(*(np.swapaxes(v, 0, 1) for v in (d, w))), 0, 1
                ),
                "the first axis counts the filters.",
            ),
            (_last_axis, "the lengths are over all axes but the first."),
        ],
    ),
}  # fmt: skip

QUIZZES = {
    "planes-predict": Question(
        "Training walked from the first weights to the middle of such a "
        "plane. How much of its way lies in the plane?",
        (
            Option(
                "Nearly nothing: on the plane it is a dot",
                "Two random directions among so many hold hardly any of it.",
                right=True,
            ),
            Option(
                "Most: it came down the walls of the valley",
                "The walls are those of two directions that training did "
                "not know.",
            ),
            Option(
                "About half: the plane has two of its directions",
                "It has two random ones of very many, not two of the few "
                "that matter.",
            ),
        ),
        section="What a random plane cannot show",
    ),
    "planes-q2": Question(
        "The losses of a plane span a factor of a thousand. Which display "
        "keeps the shape?",
        (
            Option(
                "Leave out all points above a threshold",
                "That makes a hole where the wall is, and changes the "
                "topology.",
            ),
            Option(
                "A linear scale: it alone is honest",
                "Every scale is honest if the bar names it; on this one the "
                "valley would be a single colour.",
            ),
            Option(
                "A logarithmic scale, named at the bar",
                "It shows detail at every height and keeps every point.",
                right=True,
            ),
        ),
    ),
    "planes-q3": Question(
        "Two networks compute the same function. Must their "
        "filter-normalized planes be equal?",
        (
            Option(
                "Yes: that is what the normalization is for",
                "It undoes a scale of each filter, not every change that "
                "keeps the function.",
            ),
            Option(
                "No: that depends on the change that keeps the function",
                "It undoes one scale for a whole layer, or of a filter before "
                "a normalization; a scale of each unit's own moves into the "
                "next layer and stays.",
                right=True,
            ),
            Option(
                "No: no scaling makes any two such planes equal",
                "In units of each entry all four twins of the chapter are.",
            ),
        ),
    ),
    "planes-q4": Question(
        "You draw one plane of network A and one of network B, and A looks "
        "flatter. What is missing?",
        (
            Option(
                "More directions, and more networks of each kind",
                "Within one network the directions differed by more than "
                "the two kinds did.",
                right=True,
            ),
            Option(
                "More points on each plane, to see narrow valleys as well",
                "They would draw the same two slices more finely.",
            ),
            Option(
                "Orthogonal directions",
                "In many dimensions random ones are nearly orthogonal "
                "already; the draw still decides.",
            ),
        ),
    ),
    "planes-q5": Question(
        "Without skips the plane has a wall a hundred times as high. What "
        "did the chapter find behind it?",
        (
            Option(
                "A harder training: the loss stayed higher",
                "The runs show no lead of the skips in training.",
            ),
            Option(
                "Another colour scale",
                "Both planes have the same colours and the same extent.",
            ),
            Option(
                "Logits that grow along the way, layer by layer",
                "Brought back to the size at the centre, the order is gone.",
                right=True,
            ),
        ),
    ),
    "planes-q6": Question(
        "Each point of a plane was measured on a fresh batch of 32, and the "
        "plane has many dips. What are they?",
        (
            Option(
                "Local minima of the training loss, as deep as they look",
                "The loss over all images has no dip at most of these places.",
            ),
            Option(
                "Noise, unless their walls exceed twice the error",
                "Use the same images at all points, or test the walls.",
                right=True,
            ),
            Option(
                "A sign that the grid is too coarse",
                "A finer grid with fresh batches has still more of them.",
            ),
        ),
    ),
    "planes-q1": Question(
        "The loss rises on every one of ten random planes through a trained "
        "network. What follows?",
        (
            Option(
                "It is at a minimum",
                "A few descending directions among many are not seen.",
            ),
            Option(
                "The average curvature is probably positive",
                "Random directions measure the average, each of them with "
                "luck of its own.",
                right=True,
            ),
            Option(
                "The surface is convex",
                "Convexity is about all pairs of points, not ten slices.",
            ),
        ),
    ),
}
