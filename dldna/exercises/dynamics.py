"""Learning dynamics: sharpness, noise and the edge of stability."""

from dldna.exercises.answer_kinds import Array
from dldna.exercises.questions import Option, Question

EXERCISES = {
    "dynamics-ex1": Array(
        [40.0, 76.0, 760.0, 76.0 / 2.8],
        mistakes=[
            (
                [40.0, 76.0, 7.6, 76.0 / 2.8],
                "dampening shortens the steps, so more curvature is stable.",
            ),
            (
                [40.0, 76.0, 76.0, 76.0 / 2.8],
                "dampening makes the steps ten times shorter.",
            ),
            ([2.0, 3.8, 38.0, 3.8 / 2.8], "divide by the rate."),
            (
                [40.0, 76.0, 760.0, 76.0],
                "Nesterov's look-ahead makes the bound lower.",
            ),
        ],
    ),
    "dynamics-ex2": Array(
        [-1.0, 0.36],
        mistakes=[
            ([-0.6, 0.36], "a cosine is of directions only, not of lengths."),
            ([-1.0, 0.6], "the loss is a square."),
            ([-1.0, -0.6], "the loss is a square."),
            ([1.0, 0.36], "does w change its sign?"),
        ],
    ),
    "dynamics-ex3": Array(
        [1.0, 40.0],
        mistakes=[
            ([40.0, 1.0], "first the gradient, then the scale."),
            ([5.0, 1.4], "those are given; the noise is part of them."),
        ],
    ),
}

QUIZZES = {
    "dynamics-q1": Question(
        "Full-batch gradient descent sits at the edge of stability. You "
        "halve the learning rate and train on. What do you expect?",
        (
            Option(
                "The sharpness falls to half of what it was, as the length "
                "of the steps does",
                "A smaller rate moves the edge up, not down.",
            ),
            Option(
                "The swinging dies out, and the sharpness rises again "
                "towards a new edge",
                "The threshold 2 / rate has doubled, so nothing holds the "
                "sharpness where it is.",
                right=True,
            ),
            Option(
                "Training diverges",
                "The sharpness is now at half of the threshold: further "
                "from diverging than before.",
            ),
        ),
    ),
    "dynamics-predict": Question(
        "Every step sees all images, and the rate never changes. Why does "
        "the loss begin to jump?",
        (
            Option(
                "The weights leave one minimum and look for a better one",
                "No minima are needed: one parabola whose curvature is "
                "above 2 / rate does the same.",
            ),
            Option(
                "Noise: in the long run chance adds up",
                "Nothing is drawn at random in these steps.",
            ),
            Option(
                "The ground has become so curved that the step overshoots",
                "The sharpness climbs until it meets 2 / rate, and each step "
                "mostly undoes the one before.",
                right=True,
            ),
            Option(
                "The rate is too large, and training will soon diverge",
                "It would on a parabola. Here the loss goes on falling.",
            ),
        ),
        section="The edge of stability",
    ),
    "dynamics-q2": Question(
        "How long is a step of a network with ten tensors of weights?",
        (
            Option(
                "The root of the sum of all squares, over all tensors",
                "It does not depend on how the weights are cut up.",
                right=True,
            ),
            Option(
                "The sum of the lengths of the ten tensors' steps",
                "That is longer, and changes if a tensor is cut in two.",
            ),
            Option(
                "The rate times the mean of the gradient's entries",
                "Entries of both signs would cancel in a mean.",
            ),
        ),
    ),
    "dynamics-q3": Question(
        "Nearly every step lowers the loss of its own batch. What follows "
        "for the loss over all images?",
        (
            Option(
                "It falls in nearly every step, too",
                "The step was made for the batch; other images did not vote.",
            ),
            Option(
                "It falls by as much, in the mean over many steps",
                "A gradient fits its own batch's noise; that part of the "
                "gain is no gain elsewhere.",
            ),
            Option(
                "Little: it has to be measured on fixed images",
                "Here less than half of the gain arrives, and many steps "
                "make the whole loss worse.",
                right=True,
            ),
        ),
    ),
    "dynamics-q4": Question(
        "The noise scale is 100 images, and you train with batches of 10. "
        "What is the mini-batch gradient's length mostly?",
        (
            Option(
                "The distance to the minimum",
                "Even at the minimum it would be nearly as long.",
            ),
            Option(
                "Noise",
                "Its square is the signal's plus ten times as much noise.",
                right=True,
            ),
            Option(
                "Signal, since a gradient is unbiased",
                "The mean of many is the signal; the length of one is not.",
            ),
        ),
    ),
    "dynamics-q5": Question(
        "With Adam the largest eigenvalue of the Hessian is far above "
        "2 / rate, and training goes on. Why?",
        (
            Option(
                "What counts is the Hessian divided by Adam's P, with the "
                "threshold 38 / rate",
                "Dividing by the size of the gradients changes the metric; "
                "averaging them moves the threshold.",
                right=True,
            ),
            Option(
                "Adam has no edge, because it adapts the length of its steps "
                "to the curvature",
                "It has one, at the preconditioned sharpness.",
            ),
            Option(
                "The eigenvalue was measured badly",
                "It may rise much further without harm: it is not limited.",
            ),
        ),
    ),
    "dynamics-q6": Question(
        "Over a run the loss and the length of the weights have the rank "
        "correlation -0.8. What follows?",
        (
            Option(
                "Long weights lower the loss",
                "The loss can fall while the weights stay as long as they "
                "were; two trends in time are correlated in any case.",
            ),
            Option(
                "Weight decay would harm, for it shortens the weights",
                "A correlation in one run says nothing about a change of "
                "the training.",
            ),
            Option(
                "Little: compare their changes from step to step",
                "Both have a direction in time. Here the changes are hardly "
                "correlated at all.",
                right=True,
            ),
        ),
    ),
    "dynamics-q7": Question(
        "Below the edge the central flow is plain gradient flow. Which of "
        "its conditions says so?",
        (
            Option(
                "The covariance has no negative eigenvalue",
                "It might be anything positive by that alone.",
            ),
            Option(
                "A swing exists only in directions whose curvature is at "
                "the edge",
                "Where no direction is there, the covariance is zero, and "
                "the second part of the slope with it.",
                right=True,
            ),
            Option(
                "No curvature exceeds the edge, at any of the points that "
                "the flow passes",
                "That holds below the edge in any case, and says nothing "
                "about the swing.",
            ),
        ),
    ),
    "dynamics-q8": Question(
        "A run passes the edge with a swing of a millionth. What will its "
        "sharpness do, beside that of the flow?",
        (
            Option(
                "Overshoot: it rises on until the swing has grown enough to "
                "brake",
                "The brake is the swing's mean square, and that takes many "
                "steps to grow from next to nothing.",
                right=True,
            ),
            Option(
                "Stay at the edge from the first step on, as that of the "
                "flow does",
                "That is the flow, in which the swing is there at once.",
            ),
            Option(
                "Fall at once, as the steps overshoot the valley",
                "A swing of a millionth pushes nothing.",
            ),
        ),
    ),
}
