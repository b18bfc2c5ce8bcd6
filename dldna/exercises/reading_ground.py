"""A network that reads, II: the ground."""

from dldna.exercises.answer_kinds import Number
from dldna.exercises.questions import Option, Question

EXERCISES = {
    "reading_ground-ex1": Number(
        3800.0,
        rtol=1e-2,
        mistakes={
            200.0: "that is 2 / rate, the bound of plain descent.",
            380.0: "the rate is 0.01, not 0.1.",
        },
    ),
    "reading_ground-ex2": Number(
        0.7,
        rtol=1e-2,
        mistakes={
            0.8: "measured from the lower end; subtract the straight line.",
            0.6: "measured from the higher end; subtract the straight line.",
        },
    ),
    "reading_ground-ex3": Number(
        3000.0,
        rtol=1e-2,
        mistakes={
            0.1: "that is the largest eigenvalue's share of the trace.",
            1500.0: "the top eigenvector costs 2, not 1, per squared length.",
        },
    ),
}

QUIZZES = {
    "reading_ground-predict": Question(
        "Two copies of one trained network are tuned on new plays, in two "
        "orders. What is there on the straight line between their ends?",
        (
            Option(
                "A wall, as between networks from different seeds",
                "Strangers begin apart; copies share a start, and a short "
                "tuning does not leave its valley.",
            ),
            Option(
                "Nothing: they end in the same weights",
                "Their orders differ, and they end about as far from each "
                "other as from where they began.",
            ),
            Option(
                "Level ground, although they lie apart",
                "So short a tuning stays in the valley of its start.",
                right=True,
            ),
        ),
        section="Two copies, two strangers",
    ),
    "reading_ground-q1": Question(
        "Why does a warm-up help a run whose final rate is too large for the "
        "start?",
        (
            Option(
                "It gives the network more steps",
                "Both runs have a hundred steps; one spends some at lower "
                "rates.",
            ),
            Option(
                "Small steps find flatter ground before the rate is full",
                "So others found it; here each run with a warm-up ended on "
                "flatter ground than the one without, though most had been "
                "over the edge as well.",
                right=True,
            ),
            Option(
                "It makes the bound on the sharpness larger for good",
                "The bound is 38 over the rate of that step; at the full rate "
                "it is the same for both.",
            ),
        ),
    ),
    "reading_ground-q2": Question(
        "Adam's preconditioned sharpness is 500 and its rate 0.1. What "
        "follows?",
        (
            Option(
                "It is stable, for Adam adapts its step to the curvature",
                "It divides by the size of gradients, and has a bound: 380 "
                "at this rate.",
            ),
            Option(
                "The run must diverge",
                "Above the bound it swings; curvature may fall by that and "
                "end it.",
            ),
            Option(
                "Along that direction the steps grow for now",
                "It is above 38 / 0.1 = 380; how it ends, the next look "
                "tells.",
                right=True,
            ),
        ),
    ),
    "reading_ground-q3": Question(
        "A report shows that a model's loss hardly changes along random "
        "directions, and calls the valley wide. What is missing?",
        (
            Option(
                "Directions that matter, at equal length",
                "Among thousands of dimensions random ones meet the steep few "
                "hardly at all.",
                right=True,
            ),
            Option(
                "More random directions",
                "A hundred more are as dull as the first.",
            ),
            Option(
                "A finer grid along each line, to see its dips",
                "The curve is smooth; its direction is the matter.",
            ),
        ),
    ),
    "reading_ground-q4": Question(
        "When may one average the weights of two networks?",
        (
            Option(
                "When both read equally well",
                "Strangers do, and their mean reads badly.",
            ),
            Option(
                "When the line between them has no barrier",
                "The mean lies on that line.",
                right=True,
            ),
            Option(
                "When they are close to each other in weight space",
                "Distance alone says little: a short step along a steep "
                "direction costs much.",
            ),
        ),
    ),
    "reading_ground-q5": Question(
        "Tuning on new plays lowered the loss on the old ones. What does "
        "that say about forgetting in general?",
        (
            Option(
                "Networks of this size do not forget what they have read once",
                "These had the language still to learn; a finished network "
                "has more to lose.",
            ),
            Option(
                "Little: both halves taught the same unlearned language",
                "A gain in common hides what is lost.",
                right=True,
            ),
            Option(
                "Short tuning never forgets",
                "Along the steepest direction as short a step costs bits.",
            ),
        ),
    ),
}
