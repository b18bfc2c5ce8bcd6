"""Formulas fitted to a basin: a well, a parabola, and walks on them."""

import numpy as np

from dldna.exercises.answer_kinds import Array, Function, Number
from dldna.exercises.questions import Option, Question


def _r2(losses, fitted):
    """Share of the variance that a fit explains."""
    losses, fitted = (np.asarray(v, dtype=float) for v in (losses, fitted))
    rest = ((losses - fitted) ** 2).sum()
    return 1 - rest / ((losses - losses.mean()) ** 2).sum()


EXERCISES = {
    "wells-ex1": Number(
        0.01,
        mistakes={
            0.09: "the narrow axis decides.",
            0.1: "the width counts squared.",
            0.02: "the depth belongs to the curvature: A / s^2.",
            0.005: "that is 1 over the curvature; descent bears 2 over it.",
        },
    ),
    "wells-ex2": Array(
        [2.0, 1.0],
        mistakes=[
            ([-2.0, -1.0], "the gradient is b + H x: mind the sign."),
            ([2.5, 1.5], "the mixed term belongs to both equations."),
            ([1.0, 0.5], "the half in front cancels the 2 of the derivative."),
            ([1.0, 2.0], "x first, then y."),
        ],
    ),
    "wells-ex3": Number(
        0.019,
        mistakes={
            0.01: "that is without momentum.",
            0.1: "the effective rate is not the bound.",
            0.001: "momentum raises the bound.",
        },
    ),
    "wells-ex4": Function(
        _r2,
        [
            ([0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 2.0, 3.0]),
            ([0.0, 1.0, 2.0, 3.0], [1.5, 1.5, 1.5, 1.5]),
            ([1.0, 4.0, 2.0, 6.0, 2.0], [1.5, 3.0, 2.5, 5.0, 3.0]),
        ],
        mistakes=[
            (lambda z, f: 1 - _r2(z, f), "that is the share left over."),
            (
                lambda z, f: np.var(f) / np.var(z),
                "compare what is left over, not the variance of the fit.",
            ),
        ],
    ),
}

QUIZZES = {
    "wells-predict": Question(
        "A well with its rim at the window's highest loss and a parabola fit "
        "the same window. Three times as far out, where does the network's "
        "loss lie?",
        (
            Option(
                "Near the well's rim: far out the ground is flat",
                "The plain was put there by the formula; the loss goes on "
                "rising.",
            ),
            Option(
                "Between the two",
                "It rises beyond any rim, and more slowly than the parabola.",
                right=True,
            ),
            Option(
                "On the parabola, or above it",
                "A parabola fits near a minimum; farther out it promises "
                "more than the network pays.",
            ),
        ),
        section="Is it a well?",
    ),
    "wells-q1": Question(
        "A Gaussian well fits a window with R2 = 0.95. What do you check "
        "before you call the minimum a narrow hole in a plain?",
        (
            Option(
                "A parabola with the same axes, and a wider window",
                "If both fit alike and the fitted widths exceed the "
                "window, the data know of no rim.",
                right=True,
            ),
            Option(
                "Whether R2 stays as high with more points in the window",
                "More points of the same window say nothing of its outside.",
            ),
            Option(
                "Whether the fit has converged",
                "It may have, to widths far beyond the window.",
            ),
        ),
    ),
    "wells-q2": Question(
        "A parabola with the mixed term fits better than a Gaussian along "
        "the window's axes. Which comparison says whether its form is the "
        "reason?",
        (
            Option(
                "Count the parameters: both have six",
                "Equal numbers, but one of the parabola's turns it, and one "
                "of the Gaussian's sets a rim.",
            ),
            Option(
                "The Gaussian on a finer grid",
                "It would still stand along the window's axes.",
            ),
            Option(
                "A parabola that may not turn",
                "It has the Gaussian's axes, so that the form alone differs.",
                right=True,
            ),
        ),
    ),
    "wells-q3": Question(
        "A fitted Gaussian has widths of sixty windows. What has it become "
        "inside the window?",
        (
            Option(
                "A plain: the window is small beside the well",
                "Its depth has grown with the square of its widths, so the "
                "curvature stays.",
            ),
            Option(
                "A parabola",
                "Within a small part of its width a Gaussian is its own "
                "second-order expansion.",
                right=True,
            ),
            Option(
                "Nothing: such a fit has failed",
                "It has found the best values; the data did not know of a "
                "rim.",
            ),
        ),
    ),
    "wells-q4": Question(
        "On a Gaussian well, five widths from its bottom, descent at half of "
        "the bound hardly moves. Why?",
        (
            Option(
                "The rate is too large for the curvature there",
                "There the curvature, too, is nearly zero.",
            ),
            Option(
                "The gradient falls like exp(-r²/2) with the distance",
                "At five widths that is a few millionths.",
                right=True,
            ),
            Option(
                "It has found a minimum",
                "It has found a plain, whose gradient is small but not zero.",
            ),
        ),
    ),
    "wells-q5": Question(
        "A heavy ball with μ = 0.9 runs at 1.5 times the bound of plain "
        "descent, from two widths away. Near the bottom that rate is stable. "
        "What can happen on the well?",
        (
            Option(
                "It settles: a stable rate is stable from any start",
                "That holds for a parabola, whose curvature is the same "
                "everywhere.",
            ),
            Option(
                "It oscillates about the bottom for ever",
                "Near the bottom it would calm down.",
            ),
            Option(
                "It may shoot through and be lost on the plain",
                "From some starts it climbs out, where no gradient calls "
                "it back.",
                right=True,
            ),
        ),
    ),
}
