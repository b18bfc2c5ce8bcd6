"""Momentum and stability."""

from dldna.exercises.answer_kinds import Array, Number
from dldna.exercises.questions import Option, Question


def _limits(mu: float = 0.9, curvature: float = 40.0) -> list[float]:
    """Largest stable rates: descent, heavy ball, Nesterov, average."""
    return [
        2 / curvature,
        2 * (1 + mu) / curvature,
        2 * (1 + mu) / (1 + 2 * mu) / curvature,
        2 * (1 + mu) / (1 - mu) / curvature,
    ]


def _three_steps() -> float:
    w, v = 1.0, 0.0
    for _ in range(3):
        v = 0.5 * v + w
        w = w - 0.5 * v
    return w


EXERCISES = {
    "momentum-ex1": Array(
        _limits,
        mistakes=[
            (_limits(curvature=1.0), "divide by the curvature."),
            (_limits(mu=0.0), "that is without momentum."),
        ],
    ),
    "momentum-ex2": Number(
        _three_steps,
        mistakes={
            0.125: "that is plain descent, without the velocity.",
            0.0: "that is after two steps.",
            0.171875: "that averages the gradients; a heavy ball sums them.",
        },
    ),
    "momentum-ex3": Number(
        0.04,
        mistakes={
            1.0: "the sum takes larger steps, so its rate must be smaller.",
            0.16: "times 1 - mu, not times mu.",
            0.2: "at the same rate the sum's steps are five times as large.",
        },
    ),
}

QUIZZES = {
    "momentum-predict": Question(
        "Gradient descent diverges once rate times curvature exceeds 2. "
        "Where is the limit of a heavy ball with a momentum of 0.9?",
        (
            Option(
                "Near 0.2: its steps are ten times as large",
                "They are along a slope that stays. Across a valley the "
                "gradients change sign, and the sum of them is small.",
            ),
            Option(
                "At 2: the landscape sets it, not the method",
                "The method counts: the roots of its own step decide.",
            ),
            Option(
                "Near 4: it stands almost twice the rate",
                "It is 2 (1 + 0.9) = 3.8, and in units of the effective "
                "rate nineteen times gradient descent's.",
                right=True,
            ),
        ),
        section="How large may the step be?",
    ),
    "momentum-q1": Question(
        "A heavy ball with momentum 0.9 beats plain SGD at the same "
        "learning rate. What is the first thing to check?",
        (
            Option(
                "Plain SGD at ten times the rate",
                "That is the same effective rate.",
                right=True,
            ),
            Option(
                "A larger momentum",
                "That raises the effective rate once more.",
            ),
            Option(
                "Another seed, since one run is luck",
                "Worth doing, but the comparison itself is uneven.",
            ),
        ),
    ),
    "momentum-q2": Question(
        "Gradient descent with rate times curvature at 1.5: what does the "
        "walk do?",
        (
            Option(
                "It comes in from one side, by half of its way in each step",
                "That needs a factor 1 - 1.5 above zero.",
            ),
            Option(
                "It jumps across the minimum and halves its distance",
                "The factor is 1 - 1.5 = -0.5.",
                right=True,
            ),
            Option(
                "It diverges, since each step goes beyond the minimum",
                "Not before 2, where the factor reaches -1.",
            ),
        ),
    ),
    "momentum-q3": Question(
        "A walk ripples: its two roots are a pair. You raise the rate a "
        "little and keep the momentum. What happens to its long-run speed?",
        (
            Option(
                "Nothing: the size of a pair is the root of mu alone",
                "The product of the roots is mu, whatever the rate.",
                right=True,
            ),
            Option(
                "It gets faster, because steps are longer",
                "So it is in the monotone regime; a pair only turns faster.",
            ),
            Option(
                "It gets slower, because it swings more",
                "It swings more often, but each swing per step shrinks as "
                "before.",
            ),
        ),
    ),
    "momentum-q4": Question(
        "Code that averages its gradients (v = mu v + (1 - mu) g) diverges "
        "at a rate of 1. At which rate does a heavy ball with the same "
        "momentum of 0.9 diverge?",
        (
            Option(
                "At 1, too",
                "The sum's steps are ten times as large at the same rate.",
            ),
            Option(
                "At 10",
                "The other way round: the sum needs the smaller rate.",
            ),
            Option(
                "At 0.1",
                "Its rate is the average's times 1 - mu.",
                right=True,
            ),
        ),
    ),
    "momentum-q5": Question(
        "The condition number grows from 100 to 10,000. How many times as "
        "many steps does the best heavy ball need?",
        (
            Option(
                "About 100 times",
                "That is gradient descent, whose steps grow with kappa.",
            ),
            Option(
                "About 10 times",
                "The steps grow with the root of kappa.",
                right=True,
            ),
            Option(
                "As many as before",
                "Its factor is (root kappa - 1) / (root kappa + 1), which "
                "still comes closer to 1.",
            ),
        ),
    ),
    "momentum-q6": Question(
        "At the same large effective rate, why does a heavy ball leave a "
        "saddle later than gradient descent?",
        (
            Option(
                "Because its velocity first has to build up",
                "It takes about 1 / (1 - mu) steps until it has.",
                right=True,
            ),
            Option(
                "Because it averages the noise away",
                "There is no noise in this experiment.",
            ),
            Option(
                "Because it swings about the saddle",
                "Both roots are real and positive there: it only grows.",
            ),
        ),
    ),
}
