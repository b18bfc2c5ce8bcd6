"""Descent by hand."""

from dldna.exercises.answer_kinds import Array, Number
from dldna.exercises.questions import Option, Question

EXERCISES = {
    "descent_by_hand-ex1": Array(
        [-0.5, -0.25],
        mistakes=[
            ([-0.25, -0.5], "first the weight's, then the bias's."),
            ([0.5, 0.25], "the output is below the target: mind the sign."),
            ([-0.25, -0.125], "the square's derivative has a factor of 2."),
            ([-2.0, -1.0], "the sigmoid's slope y(1 - y) is missing."),
        ],
    ),
    "descent_by_hand-ex2": Number(
        10,
        mistakes={
            8: "the output neuron multiplies, too.",
            13: "a bias is added, not multiplied.",
        },
    ),
    "descent_by_hand-ex3": Number(
        lambda: 0.002 / (1 - 0.95),
        mistakes={
            0.002: "that is the rate itself; the steps add up.",
            0.0001: "that is the averaging form, which divides.",
            0.0019: "that is eta times mu.",
        },
    ),
}

QUIZZES = {
    "descent_by_hand-predict": Question(
        "A table ranks nine settings of an optimizer by the loss of the last "
        "batch of eight samples, one run each. Five students repeat the whole "
        "table, each with random numbers of their own. How many different "
        "winners do they name?",
        (
            Option(
                "One: the best setting is the best for everybody",
                "The settings differ by less than the last batches do.",
            ),
            Option(
                "Two, which lie close together in the table",
                "The winners lie anywhere in the table.",
            ),
            Option(
                "About as many as there are students",
                "The luck of the last batch is larger than what the "
                "settings do.",
                right=True,
            ),
        ),
        section="Which betas are best?",
    ),
    "descent_by_hand-q1": Question(
        "Pair A ends with a last-batch loss of 0.02, pair B with 0.10, from "
        "one run each at batch 8. What follows?",
        (
            Option(
                "A is better than B, by a factor of five in the loss",
                "Other seeds of the same pair differ by more than that.",
            ),
            Option(
                "B needs more steps until its loss is as low as that of A",
                "The last batch says nothing about the trend.",
            ),
            Option(
                "Nothing, without more seeds and an average over the tail",
                "One batch of eight is a noisy sample of the loss.",
                right=True,
            ),
        ),
    ),
    "descent_by_hand-q2": Question(
        "How many numbers does the three-neuron network learn?",
        (
            Option(
                "10, one for each arrow",
                "Each neuron also adds an offset of its own.",
            ),
            Option(
                "13, one for each arrow and one for each neuron",
                "Ten weights and three biases.",
                right=True,
            ),
            Option(
                "14, two for each of the seven signals",
                "Signals are computed; what is learned stands on arrows and "
                "in neurons, and inputs have no bias.",
            ),
        ),
    ),
    "descent_by_hand-q3": Question(
        "A neuron answers 0.99 although the target is 0. What comes back "
        "through its sigmoid?",
        (
            Option(
                "Little: the slope y(1 - y) is about 0.01",
                "The error is large, but it is multiplied by a slope that is "
                "nearly 0: a saturated unit learns slowly.",
                right=True,
            ),
            Option(
                "Much, because the error is large",
                "The error is multiplied by the slope, and the sigmoid is "
                "nearly flat there.",
            ),
            Option(
                "Nothing, because the sigmoid has no slope at its end",
                "It only approaches 1: its slope is small and not 0.",
            ),
        ),
    ),
    "descent_by_hand-q4": Question(
        "A network whose targets are 0 and 1, equally often, stays at a mean "
        "squared error of 0.25 for thousands of steps. What is it likely to "
        "answer?",
        (
            Option(
                "The right class for three of four points",
                "Hard answers with a quarter wrong would also give 0.25, but "
                "why just a quarter? One half is the best constant, and "
                "there such runs settle.",
            ),
            Option(
                "Random numbers between 0 and 1",
                "Those have a larger error, 1/3, and a sigmoid of fixed "
                "weights is not random.",
            ),
            Option(
                "About one half to every point",
                "The squared distance from one half to 0 and to 1 is 1/4.",
                right=True,
            ),
        ),
    ),
    "descent_by_hand-q5": Question(
        "Two programs train the same network with SGD at the rate 0.01 and "
        "batches of 8. One averages the loss over the batch, the other sums "
        "it. What differs?",
        (
            Option(
                "Only the numbers that they print",
                "The gradient is multiplied by 8, too.",
            ),
            Option(
                "The second one takes steps eight times as long",
                "Its gradient is eight times as large: an effective rate of "
                "0.08.",
                right=True,
            ),
            Option(
                "The second one takes steps eight times as short",
                "A sum is larger than a mean, and so is its gradient.",
            ),
        ),
    ),
}
