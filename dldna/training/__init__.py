"""Training: the loop, its history, its checkpoints."""

from dldna.training.callbacks import Callback, State
from dldna.training.checkpoint import load_checkpoint
from dldna.training.dynamics import (
    Dynamics,
    Live,
    gradient_noise,
    preconditioner,
    stability_threshold,
)
from dldna.training.evaluation import evaluate
from dldna.training.loop import DivergenceWarning, train
from dldna.training.sweep import Sweep, sweep
from dldna.training.tournament import (
    CONTESTANTS,
    Arena,
    Contestant,
    Pair,
    Rank,
    StepCost,
    arena,
    expected_best,
    holm,
    letter_groups,
    permutation_test,
    step_cost,
    welch_test,
)
from dldna.training.two_weights import SlicePaths, slice_paths

__all__ = [
    "CONTESTANTS",
    "Arena",
    "Callback",
    "Contestant",
    "DivergenceWarning",
    "Dynamics",
    "Live",
    "Pair",
    "Rank",
    "SlicePaths",
    "State",
    "StepCost",
    "Sweep",
    "arena",
    "evaluate",
    "expected_best",
    "gradient_noise",
    "holm",
    "letter_groups",
    "load_checkpoint",
    "permutation_test",
    "preconditioner",
    "slice_paths",
    "stability_threshold",
    "step_cost",
    "sweep",
    "train",
    "welch_test",
]
