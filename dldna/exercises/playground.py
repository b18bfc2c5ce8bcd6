"""The playground: experiments with a foreseeable end."""

from dldna.exercises.answer_kinds import Number

EXERCISES = {
    # Golden: curvatures 1 and 10.
    "playground-ex1": Number(
        2 / 10,
        mistakes={
            2.0: "that is the limit of the flat direction.",
            0.1: "that rate is stable, and a larger one is, too.",
        },
    ),
    # Rotated: curvatures 1 and 50, heavy ball 0.9.
    "playground-ex2": Number(
        2 * (1 + 0.9) / 50,
        mistakes={
            0.04: "that is the limit without momentum.",
            0.071: "that is the dial's last stable mark: where is the limit?",
            0.4: "a heavy ball does not bear ten times the rate.",
        },
    ),
    "playground-ex3": Number(
        0.05, mistakes={0.0: "every step is 0.1 long, also the last one."}
    ),
    # Noisy quadratic: lr sigma^2 / (curvature (2 - lr curvature)).
    "playground-ex5": Number(
        0.1 / (2 - 0.1),
        mistakes={
            (0.1 / 1.9) ** 0.5: "that is the standard deviation.",
            0.05: "that holds for small rates; (1 - rate)^2 is exact.",
            0.01: "that is what one step adds; the steps pile up.",
        },
        rtol=0.02,
    ),
}
