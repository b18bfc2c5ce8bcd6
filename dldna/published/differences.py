"""Where these functions differ from those of version 0.1, and why.

Two tables for the page on the published chapter: one of arguments, made
from both signatures, and one of what the chapter's fourteen cells give. The
tests hold every row of both to what the functions do.
"""

import importlib
import inspect
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from dldna.published.signatures import ABSENT, REQUIRED, SIGNATURES, SPAN

_SEED = "so that a run can be had again"
REASONS: dict[tuple[str, str], str] = {
    ("get_data_loaders", "seed"): _SEED,
    ("load_model", "path"): "the chapter's own folder may be left out",
    ("train_model", "device"): "the CPU may be left out",
    ("analyze_initialization", "lr"): "the rate was fixed at this value",
    ("analyze_initialization", "seed"): "each method starts from one seed",
    ("run_basic_experiment", "seed"): "each optimizer starts from one seed",
    ("run_advanced_experiment", "seed"): "each optimizer starts from one seed",
    ("run_advanced_experiment", "folder"): "where the table goes",
    ("analyze_loss_surface_multiscale", "resolution"): (
        "the number of points was fixed at this value"
    ),
    ("analyze_loss_surface_multiscale", "extent"): (
        "the range was fixed at this value"
    ),
    ("analyze_loss_surface_multiscale", "levels"): (
        "the number of levels was fixed at this value"
    ),
    ("visualize_gaussian_fit", "d_min"): "the range may be left out",
    ("visualize_gaussian_fit", "d_max"): "the range may be left out",
    ("visualize_gaussian_fit", "d_num"): "the range may be left out",
    ("visualize_gaussian_fit", "act_name"): "a word for the title",
    ("visualize_training_dynamics", "per"): "the finer figures, by step",
}
"""Why an argument differs, by the function's and the argument's name."""


class Argument(NamedTuple):
    """An argument that is not what it was."""

    function: str
    name: str
    then: str
    now: str
    why: str


def arguments() -> list[Argument]:
    """Every argument whose order or default differs, from both signatures.

    Raises:
        ValueError: an old argument is gone, has another place, or one that
            is new has no default: a call of version 0.1 would not fit.

    Example:
        >>> arguments()[0]
        Argument(function='get_data_loaders', name='seed', then='-', \
now='0', why='so that a run can be had again')
    """
    rows = []
    for path, old in SIGNATURES.items():
        module, _, function = path.rpartition(".")
        found = getattr(importlib.import_module(f"dldna.{module}"), function)
        new = {
            k: REQUIRED if p.default is p.empty else p.default
            for k, p in inspect.signature(found).parameters.items()
        }
        lost = list(new)[: len(old)] != list(old)
        if lost or any(new[k] is REQUIRED for k in set(new) - set(old)):
            raise ValueError(f"a call of {path} as in 0.1 would not fit")
        for name, now in new.items():
            then, now = said(old.get(name, ABSENT)), said(now)
            if then != now:
                why = REASONS.get((function, name), "")
                rows.append(Argument(function, name, then, now, why))
    return rows


def said(value: Any) -> str:
    """A default in words.

    Example:
        >>> said(0.81), said((8, 6)), said(np.linspace(-1, 1, 40))
        ('0.81', '(8, 6)', '40 numbers from -1 to 1')
    """
    if isinstance(value, str) and value in (REQUIRED, ABSENT, SPAN):
        return value
    if isinstance(value, np.ndarray):
        return f"{len(value)} numbers from {value[0]:g} to {value[-1]:g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return str(tuple(value))
    return repr(value)


class Output(NamedTuple):
    """What a cell of the chapter gave in print, and what it gives here."""

    cell: int
    what: str
    printed: str
    here: str
    why: str


CELLS: tuple[Output, ...] = (
    Output(1, "methods", "six functions", "the same six",
           "scaled_orthogonal counts the fan twice and l-momentum gives "
           "every layer one variance: they are kept as negative examples"),
    Output(2, "error rate (%)", "0.45 to 0.49; 2.30; nan",
           "100 (1 - accuracy)",
           "in print it was the test cross-entropy, and 2.30 is chance"),
    Output(2, "convergence speed", "0.33; 1.00; 0.00", "steps, or inf",
           "in print a network that never learns had 1.00 and one that "
           "diverged 0.00"),
    Output(2, "condition number", "5.52 to 5.78; 1.00",
           "a mean over matrices only",
           "in print the PReLU's one slope was counted as a matrix of "
           "condition 1"),
    Output(2, "spectral norm", "0.88 for orthogonal", "1.00",
           "in print the slope, 0.25, was counted in"),
    Output(2, "effective rank ratio", "0.89; 0.95",
           "Roy and Vetterli's; 1.00 for orthogonal",
           "in print it was the share of singular values that hold 95 % of "
           "their sum"),
    Output(2, "order of the batches", "another for each method",
           "the same for each", "else the methods are not compared alone"),
    Output(3, "own SGD", "runs", "runs, and goes through every function",
           "no difference: the momentum is the one the reader wrote"),
    Output(4, "momentum", "(1 - mu) g is added", "g is added",
           "the formula in print, and torch; the steps are ten times as "
           "long at mu = 0.9"),
    Output(4, "files", "the last epoch, others if asked for",
           "each epoch, and NAME.run",
           "the cells that follow load the epochs; a run that was killed "
           "goes on from NAME.run"),
    Output(5, "epochs", "from 0", "from 1", "as train_model counts them"),
    Output(5, "train_loss, test_loss", "mean of the batches",
           "by their numbers of samples", "the last batch is smaller"),
    Output(5, "panels", "one for each metric", "one for each column",
           "of the memory, two: in print what is in reserve was not drawn"),
    Output(5, "test_gradient_norm", "0.0", "of the mean test loss",
           "in print it was not measured"),
    Output(5, "memory without a GPU", "an empty list",
           "weights, gradients and state, in MiB",
           "no process's history: the curves do not depend on which "
           "optimizer ran first"),
    Output(5, "start", "another for each optimizer", "the same for each",
           "else the optimizers are not compared alone"),
    Output(6, "CNN", "1194.1K parameters", "1194.1K parameters",
           "no difference but those of cell 5"),
    Output(7, "transformer", "62099.8K parameters", "62099.8K parameters",
           "no difference but those of cell 5"),
    Output(8, "positions", "50, evenly; 0 and 1 not among them",
           "50, 0 and 1 among them",
           "the networks themselves are on the line; the steps outside and "
           "between differ by 4 %"),
    Output(8, "losses and accuracies", "lists", "arrays",
           "as alphas are; losses.tolist() is the list"),
    Output(8, "picture", "shown by the call", "its axes are returned",
           "a notebook shows it after the cell; a script calls plt.show()"),
    Output(9, "colours", "one for each epoch", "one for each run",
           "the epochs are written beside the points"),
    Output(9, "order of the points", "1, 10 to 15, 2 to 9", "1 to 15",
           "in print files were sorted as text, so the curve was no path"),
    Output(9, "runs", "two, 22 apart", "one",
           "epochs of another run are left out, and it is said"),
    Output(9, "t-SNE", "from -100 to 123, another picture each time",
           "another scale, the same picture each time",
           "its axes carry no scale; the start is random in both, and here "
           "from one seed"),
    Output(10, "data", "the first batch", "all batches",
           "one pass is kept in memory; with the chapter's one batch it is "
           "the same"),
    Output(10, "axes", "one for each pair", "one for each pair",
           "no difference; but contours lie on the floor instead of at 0, "
           "and all colours are shades of the one given"),
    Output(11, "levels", "1 is medium, 2 finest", "2 is coarsest, 1 finest",
           "in print the place in the list was taken for the level"),
    Output(11, "shapes", "5 x 5, 5 x 5, 10 x 10", "5 x 5, 5 x 5, 10 x 10",
           "no difference; but 0 is on our grid, so that its centre is the "
           "network, and one end lies a step inside"),
    Output(12, "rim (offset)", "the highest loss", "fitted",
           "held there it biases depth and widths"),
    Output(12, "picture", "points and well", "and what the well misses",
           "a fit without its residuals says little"),
    Output(13, "SGD at rate 0.1", "said to approach the bottom slowly",
           "never settles in the printed well",
           "the rate is above 2 s^2 / A, in print as here"),
    Output(13, "picture", "from above", "from above, and in space",
           "a path ends where it leaves the range, and its label says when"),
    Output(13, "labels", "three, fixed", "the optimizers' own",
           "any number of paths in any order"),
    Output(14, "norms", "sums of the tensors' norms",
           "of the whole vector", "the L2 norm that their names promise"),
    Output(14, "loss", "mean of the batches", "by their numbers of samples",
           "the last batch is smaller"),
)  # fmt: skip
"""Cell by cell, what the chapter shows of them, and why it differs."""
