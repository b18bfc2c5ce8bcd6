"""A network that reads, I: start and movement."""

from dldna.exercises.answer_kinds import Number
from dldna.exercises.questions import Option, Question

EXERCISES = {
    "reading_start-ex1": Number(
        2.164,
        rtol=1e-2,
        mistakes={1.04: "multiplied by ln 2; a bit is less than a nat."},
    ),
    "reading_start-ex2": Number(
        0.2041,
        rtol=1e-2,
        mistakes={
            0.2887: "each of the 12 blocks has two branches.",
            24**0.5: "that is what it divides by.",
            0.0417: "variances add up, so the factor is a root.",
        },
    ),
    "reading_start-ex3": Number(
        0.25,
        rtol=1e-2,
        mistakes={
            0.0625: "divide by what Adam has learned, not by its loss.",
            0.1: "that is the gap in bits, not as a share.",
            0.333: "divide by what Adam has learned, not what SGD has.",
        },
    ),
}

QUIZZES = {
    "reading_start-predict": Question(
        "A small transformer reads 60,000 characters, an hour of "
        "reading for you. Its loss ends nearest to which reference?",
        (
            Option(
                "The one of guessing, about 6 bits",
                "The shares of the characters alone are learned in a few "
                "dozen steps.",
            ),
            Option(
                "The entropy of single characters, about 4.7 bits",
                "That is where the first steps lead, and not the last.",
            ),
            Option(
                "The entropy of pairs, about 3.6 bits",
                "What follows what is learned next; longer memory takes "
                "many more characters.",
                right=True,
            ),
            Option(
                "The 5-gram, about 2.2 bits",
                "That model has counted the whole text; the network has "
                "seen an eighth of it once.",
            ),
        ),
        section="Three optimizers, and how far they read",
    ),
    "reading_start-q1": Question(
        "A model of characters ends at 1 bit per character on text it has "
        "not seen. What does that mean?",
        (
            Option(
                "It is right half of the time: each second guess is the true "
                "character",
                "Bits measure the probability given to the truth, not how "
                "often it is the likeliest.",
            ),
            Option(
                "It gives the true character probability 1/2, in the "
                "geometric mean",
                "The mean of the logarithms is -1 bit.",
                right=True,
            ),
            Option(
                "It has one weight for each character",
                "Bits of the loss do not count weights.",
            ),
        ),
    ),
    "reading_start-q2": Question(
        "Why does GPT-2's start shrink the last matrix of each branch by the "
        "root of the number of branches?",
        (
            Option(
                "So that the sum of all branches keeps its size at any depth",
                "Independent terms add their variances.",
                right=True,
            ),
            Option(
                "So that the gradient is zero in the first step",
                "Only branches that end in zero do that, and only to the "
                "weights before their end.",
            ),
            Option(
                "So that attention looks at all tokens equally in the first "
                "steps",
                "That depends on queries and keys, which are not shrunk.",
            ),
        ),
    ),
    "reading_start-q3": Question(
        "The first gradient of the embeddings is a hundred times that of the "
        "last block's output, in a pre-norm network. Where does it come from?",
        (
            Option(
                "Attention multiplies gradients",
                "Theory has attention for a mean, which shrinks them.",
            ),
            Option(
                "Deep networks explode, block by block on the way back to "
                "the start",
                "The same happens with one block: look at the first norm.",
            ),
            Option(
                "The first norm divides by the length of short embeddings",
                "What is divided by a small number going forward has its "
                "gradient divided by it going back.",
                right=True,
            ),
        ),
    ),
    "reading_start-q4": Question(
        "Two tasks differ in entropy, and on both SGD ends 0.04 bits behind "
        "Adam. In which is it further behind?",
        (
            Option(
                "In neither: the gap is the same",
                "One of the tasks may have only 0.1 bits to learn.",
            ),
            Option(
                "In the one where less was to be learned",
                "Measure the gap as a share of what Adam has learned.",
                right=True,
            ),
            Option(
                "In the one with more classes",
                "Their number does not say how much can be learned.",
            ),
        ),
    ),
    "reading_start-q5": Question(
        "Rates by the curvature of each layer help SGD. Which control tells "
        "whether it was the curvature?",
        (
            Option(
                "The same factors, given to the wrong layers",
                "If any spread of rates would help, this would, too.",
                right=True,
            ),
            Option(
                "More seeds of the same run, and a test of the pairs",
                "They tell how sure the gain is, not why it is there.",
            ),
            Option(
                "A larger rate for all layers",
                "That is part of the tuning that each side had already.",
            ),
        ),
    ),
}
