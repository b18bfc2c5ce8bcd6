"""Paths of training, and what noise makes of them."""

import numpy as np

from dldna.exercises.answer_kinds import Function, Number
from dldna.exercises.questions import Option, Question


def _coordinates(points):
    """Coordinates about the last point, by the Gram matrix."""
    m = np.asarray(points, dtype=float)
    return _components(m - m[-1])


def _components(m):
    values, u = np.linalg.eigh(m @ m.T)
    c = u[:, ::-1][:, :2] * np.sqrt(np.clip(values[::-1][:2], 0, None))
    return c * np.where(c[0] < 0, -1, 1)


def _about(middle):
    def coordinates(points):
        m = np.asarray(points, dtype=float)
        return _components(m - middle(m))

    return coordinates


def _sizes(points):
    """The two singular values."""
    return np.linalg.norm(_coordinates(points), axis=0)


_WALK = np.random.default_rng(0).normal(size=(6, 4)).cumsum(0)

EXERCISES = {
    "paths-ex1": Number(
        750 / np.pi**2,
        mistakes={
            600 / np.pi**2: "that is the first component alone.",
            7.5 / np.pi**2: "as a percentage, please.",
            800 / np.pi**2 * 10 / 9: "that is about the end.",
        },
        rtol=5e-3,
    ),
    "paths-ex2": Number(
        0.32,
        mistakes={
            0.16: "float64 has 8 bytes.",
            320_000.0: "that is in bytes.",
            0.32e6 / 2**20: "that is in MiB; a megabyte is a million bytes.",
        },
    ),
    "paths-ex3": Number(
        12**0.5,
        mistakes={
            12.0: "that is the square.",
            5 - 13**0.5: "the lengths do not subtract, their squares do.",
        },
    ),
    "paths-ex4": Number(
        2.0,
        rtol=0.05,
        mistakes={
            40.0: "that is the way in one direction.",
            4.0: "that is the square of the distance.",
        },
    ),
    "paths-ex5": Function(
        _coordinates,
        [(_WALK,), (3 * _WALK[::-1] + 1,)],
        rtol=1e-4,  # single precision is enough
        atol=1e-4,
        mistakes=[
            (
                _about(lambda m: m.mean(0)),
                "subtract the last point, not the mean.",
            ),
            (
                _about(lambda m: m[0]),
                "subtract the last point, not the first.",
            ),
            (_about(lambda m: 0.0), "subtract the last point first."),
            (
                lambda p: -_coordinates(p),
                "each column begins with a positive number.",
            ),
            (
                lambda p: _coordinates(p)[:, ::-1],
                "the larger component comes first; `eigh` sorts upwards.",
            ),
            (
                lambda p: _coordinates(p) / _sizes(p),
                "multiply each column by its s.",
            ),
            (
                lambda p: _coordinates(p) * _sizes(p),
                "the eigenvalues are s squared: take their roots.",
            ),
        ],
    ),
}

QUIZZES = {
    "paths-q1": Question(
        "Two components explain 90 % of a run's variance about its end. "
        "What does this show?",
        (
            Option(
                "Training happens in two dimensions",
                "A random walk in any number of dimensions does the same.",
            ),
            Option(
                "Nothing, before it is compared with a random walk",
                "Its two components hold 90 %, too.",
                right=True,
            ),
            Option(
                "The picture's losses are within 10 % of the true ones",
                "Variance of weights says nothing about losses.",
            ),
        ),
    ),
    "paths-predict": Question(
        "One curve is the training of a large network, one a random walk. "
        "What in the picture tells them apart?",
        (
            Option(
                "The smoothness: noise would be jagged",
                "Single coordinates of a walk are jagged; its leading "
                "components are averages over all of them, and cosines.",
            ),
            Option(
                "The bend: a network has to turn where the valley turns",
                "The second component of a walk bends once, too.",
            ),
            Option(
                "The end: points crowd where a minimum is reached",
                "They crowd where steps are short, as they are once the rate "
                "has fallen. A walk with the same lengths crowds there, too.",
            ),
            Option(
                "Nothing that could be relied on",
                "Sweep and bend come out of noise, and the crowded end out of "
                "any steps that shrink.",
                right=True,
            ),
        ),
        section="What principal components make of noise",
    ),
    "paths-q2": Question(
        "Why does the plane of a path with 200 checkpoints need no matrix "
        "with a row and a column for each weight?",
        (
            Option(
                "Weights that hardly move are left out, and a matrix of the "
                "others is small enough",
                "None is left out; biases and small weights count fully.",
            ),
            Option(
                "The eigenvectors of the small matrix of inner products "
                "give those of the large one",
                "If M M' u = s^2 u, then M' u / s is the eigenvector.",
                right=True,
            ),
            Option(
                "Two random directions span nearly the same plane",
                "Random directions hold next to nothing of a path.",
            ),
        ),
    ),
    "paths-q3": Question(
        "Near the end of training a checkpoint's dot lies right on the "
        "star. Where is the checkpoint?",
        (
            Option(
                "Anywhere: its distance off the plane may be most of its "
                "distance from the end",
                "The plane was chosen for the long rows of the beginning.",
                right=True,
            ),
            Option(
                "At the end, because the plane holds over 90 % of the "
                "variance of all checkpoints",
                "That is the share of the whole run's squared length, and "
                "the early rows make nearly all of it.",
            ),
            Option(
                "In the same valley, because the losses agree",
                "That the shadow's loss is near says nothing about the "
                "place, and often it is not near.",
            ),
        ),
    ),
    "paths-q4": Question(
        "A path drawn from forty files makes one enormous step in its "
        "middle. What do you check first?",
        (
            Option(
                "Whether the learning rate changed there",
                "A rate bounds steps; it seldom makes one of them enormous.",
            ),
            Option(
                "Whether a phase transition is known for this network",
                "A story comes after the files have been checked.",
            ),
            Option(
                "Whether the files are of one run and in the order of time",
                "Two runs in a folder, or epoch 10 before epoch 2, make "
                "such steps.",
                right=True,
            ),
        ),
    ),
    "paths-q5": Question(
        "For a run, two components hold 96 %, and for walks with the same "
        "step lengths 93 %. What may you write?",
        (
            Option(
                "Both numbers, and that the share is nearly that of noise",
                "The difference is what is left to be explained.",
                right=True,
            ),
            Option(
                "That training has two effective dimensions",
                "By that reading a walk in a million dimensions has two.",
            ),
            Option(
                "That training is a random walk, with some drift added to it",
                "Other numbers differ: the early phase is straighter.",
            ),
        ),
    ),
}
