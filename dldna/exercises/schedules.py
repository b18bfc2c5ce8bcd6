"""Schedules and clipping."""

from dldna.exercises.answer_kinds import Array, Number
from dldna.exercises.questions import Option, Question

EXERCISES = {
    "schedules-ex1": Array(
        [0.1, 0.055, 0.01],
        mistakes=[
            ([0.1, 0.05, 0.0], "it ends at the smallest rate, not at 0."),
            ([0.1, 0.045, 0.01], "half-way is the mean of the two rates."),
        ],
    ),
    "schedules-ex2": Array(
        [3.0, 4.0, 5.0, 5.0],
        mistakes=[
            ([5.0, 5.0, 3.0, 4.0], "first by norm, then by value."),
            ([6.0, 8.0, 5.0, 5.0], "the length of g is 10, above 5."),
            ([0.6, 0.8, 5.0, 5.0], "that has length 1; the limit is 5."),
        ],
    ),
    "schedules-ex3": Number(
        4,
        mistakes={
            2: "patience 2 tolerates two bad calls, and the first is none.",
            5: "the third bad call is one too many: which call is that?",
            3: "the first call sets the best loss; it is not a bad one.",
        },
    ),
}

QUIZZES = {
    "schedules-predict": Question(
        "A third plan starts at the large rate and falls to zero within the "
        "same number of steps. Where does it end?",
        (
            Option(
                "Between the two curves",
                "It is no average: the two rates act one after the other.",
            ),
            Option(
                "Level with the better of the two",
                "It can do what neither can: forget fast, then be quiet.",
            ),
            Option(
                "Far below both",
                "Large steps forget the start, small ones end the jitter.",
                right=True,
            ),
            Option(
                "Above both: the steps are too small at the end",
                "By then the start is forgotten; only jitter is left.",
            ),
        ),
        section="Why lower the rate at all?",
    ),
    "schedules-q1": Question(
        "Every gradient of a run is longer than c, and you clip by norm. "
        "What does plain SGD do then?",
        (
            Option(
                "It takes steps of one fixed length",
                "Each step has length lr * c, whatever the gradient.",
                right=True,
            ),
            Option("It stops", "The clipped gradient is not zero."),
            Option(
                "It turns towards the diagonals",
                "That is clipping by value.",
            ),
        ),
    ),
    "schedules-q2": Question(
        "Right after a drop of the rate the loss falls sharply. What has the "
        "drop done?",
        (
            Option(
                "It found a better minimum",
                "The same happens in a bowl that has only one.",
            ),
            Option(
                "It took jitter away that the large rate had kept up",
                "The variance of the jitter grows with the rate.",
                right=True,
            ),
            Option(
                "It made the descent along the floor of the valley faster",
                "A smaller rate forgets the start more slowly.",
            ),
        ),
    ),
    "schedules-q3": Question(
        "A run with a cosine of T = 100 steps is made longer, to 140, and "
        "nothing else is changed. What happens to its rate?",
        (
            Option(
                "It rises again after step 100",
                "The cosine goes on: the plan must be as long as the run.",
                right=True,
            ),
            Option(
                "It stays at zero",
                "Nothing stops the formula at T.",
            ),
            Option(
                "The plan stretches to 140 steps",
                "T was given as 100; no schedule can guess the length.",
            ),
        ),
    ),
    "schedules-q4": Question(
        "The gradient is (3, 0.4). Which clipping at 1 changes its direction?",
        (
            Option("Both", "By norm, both entries get the same factor."),
            Option(
                "By norm only",
                "One factor for all entries keeps the direction.",
            ),
            Option(
                "By value only",
                "The long entry is cut, the short one is not.",
                right=True,
            ),
            Option("Neither", "By value, 3 becomes 1 and 0.4 stays 0.4."),
        ),
    ),
    "schedules-q5": Question(
        "Two plans are compared at the base rate 0.1, which was tuned for "
        "one of them. What does the result compare?",
        (
            Option(
                "The plans: their rate is equal",
                "An equal base rate suits one of them by construction.",
            ),
            Option(
                "A tuned plan and an untuned one",
                "Each plan needs a base rate of its own, tuned as much.",
                right=True,
            ),
            Option(
                "Nothing that can be said",
                "It does say what happens at this one rate.",
            ),
        ),
    ),
    "schedules-q6": Question(
        "Before its first step at the full rate, Adam sees fifty batches "
        "without moving. In the steep network, what does that show?",
        (
            Option(
                "That a warm-up is needed because the second moment is young",
                "It is old by then, and the runs end worse, not better.",
            ),
            Option(
                "That a warm-up needs small moves, not only old averages",
                "Waiting gives the averages and not the flatter ground.",
                right=True,
            ),
            Option(
                "Nothing: it had fewer steps",
                "It had as many steps that move as the others.",
            ),
        ),
    ),
}
