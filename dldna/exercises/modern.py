"""Modern optimizers."""

from dldna.exercises.answer_kinds import Array, Number
from dldna.exercises.questions import Option, Question

MIB = 2**20
ENTRIES, SUM = 1024 * 4096, 1024 + 4096  # of a layer; rows and columns

EXERCISES = {
    "modern-ex1": Array(
        [2 * ENTRIES * 4 / MIB, SUM * 4 / MIB],
        mistakes=[
            ([ENTRIES * 4 / MIB, SUM * 4 / MIB], "Adam keeps m and v."),
            ([2 * ENTRIES * 4 / 1e6, SUM * 4 / 1e6], "a MiB has 2^20 bytes."),
            (
                [2 * ENTRIES * 8 / MIB, SUM * 8 / MIB],
                "a number of single precision has four bytes.",
            ),
            (
                [3 * ENTRIES * 4 / MIB, SUM * 4 / MIB],
                "the weights themselves are no state.",
            ),
        ],
    ),
    "modern-ex2": Number(
        1.0,
        mistakes={
            0.02: "that is one step; they can all point one way.",
            50.0: "each of the fifty steps is 0.02 long.",
            0.02 * 50**0.5: "that is a walk at random; they may all agree.",
        },
    ),
}

QUIZZES = {
    "modern-predict": Question(
        "Of all steps of size 1, one lowers the loss most. Which of the "
        "three pictures is it?",
        (
            Option(
                "The gradient itself: nothing is steeper",
                "It is, if size means length; another norm, another step.",
            ),
            Option(
                "The signs: they use every weight fully",
                "They are, if no entry may be larger than 1.",
            ),
            Option(
                "The one with equal singular values",
                "It is, if no direction may be stretched by more than 1.",
            ),
            Option(
                "Each of them, for its own measure of size",
                "Steepest is a word about a norm.",
                right=True,
            ),
        ),
        section="One family: steepest descent in a norm",
    ),
    "modern-q1": Question(
        "Two optimizers are compared at their libraries' default rates, "
        "one run each. A wins. What has been shown?",
        (
            Option(
                "A is the better optimizer of the two",
                "Rates and seeds could each reverse it.",
            ),
            Option(
                "A's default rate suited this run better",
                "No more than that.",
                right=True,
            ),
            Option(
                "B needs more tuning than A before it can win",
                "So may A: nobody has looked.",
            ),
        ),
    ),
    "modern-q2": Question(
        "Adam is run without its averages (both betas 0). Which step does "
        "it take?",
        (
            Option(
                "The gradient, at the rate given",
                "It is divided by the root of its square.",
            ),
            Option(
                "The sign of the gradient",
                "g / |g|: steepest descent by the largest entry.",
                right=True,
            ),
            Option(
                "None: it divides by zero",
                "Only where the gradient itself is zero.",
            ),
        ),
    ),
    "modern-q3": Question(
        "Why may Muon do better than Adam on a hidden matrix?",
        (
            Option(
                "It has more memory of the past than Adam's two averages",
                "It keeps one tensor, Adam two.",
            ),
            Option(
                "Its steps are longer",
                "The rate sets the length; each method has one of its own.",
            ),
            Option(
                "It moves weak directions that no single entry shows",
                "Adam rescales entries, and directions may lie across them.",
                right=True,
            ),
        ),
    ),
    "modern-q4": Question(
        "The gradient of a weight has been 1 in each of many steps. What do "
        "Adam and AdaBelief divide by?",
        (
            Option(
                "Adam by about 1, AdaBelief by nearly 0",
                "A gradient that was predicted is no surprise.",
                right=True,
            ),
            Option(
                "Both by about 1",
                "AdaBelief averages the squared distance from the mean.",
            ),
            Option(
                "Adam by nearly 0, AdaBelief by about 1",
                "The other way round: Adam averages the square itself.",
            ),
        ),
    ),
    "modern-q5": Question(
        "A layer has 1,000 by 1,000 weights. Which state is the smallest?",
        (
            Option("Momentum's", "One number for each weight: a million."),
            Option("Lion's", "One memory, as large as momentum's."),
            Option(
                "AdaFactor's",
                "A row and a column: two thousand numbers.",
                right=True,
            ),
            Option("Shampoo's", "Two square matrices: two million."),
        ),
    ),
}
