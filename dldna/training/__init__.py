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
from dldna.training.flows import (
    Flow,
    FlowRule,
    central_flow,
    gradient_flow,
    stable_flow,
)
from dldna.training.loop import DivergenceWarning, train
from dldna.training.range_test import RateRange, lr_range
from dldna.training.statistics import (
    Choice,
    Comparison,
    Comparisons,
    choose_rate,
    compare,
    compare_all,
    expected_best,
    holm,
    letter_groups,
    permutation_interval,
    permutation_test,
    power,
    smallest_p,
    t_interval,
    t_test,
    told_apart,
    welch_test,
)
from dldna.training.sweep import Sweep, sweep
from dldna.training.tournament import (
    CONTESTANTS,
    Arena,
    Contestant,
    Pair,
    Rank,
    StepCost,
    arena,
    step_cost,
)
from dldna.training.two_weights import SlicePaths, slice_paths

__all__ = [
    "CONTESTANTS",
    "Arena",
    "Callback",
    "Choice",
    "Comparison",
    "Comparisons",
    "Contestant",
    "DivergenceWarning",
    "Dynamics",
    "Flow",
    "FlowRule",
    "Live",
    "Pair",
    "Rank",
    "RateRange",
    "SlicePaths",
    "State",
    "StepCost",
    "Sweep",
    "arena",
    "central_flow",
    "choose_rate",
    "compare",
    "compare_all",
    "evaluate",
    "expected_best",
    "gradient_flow",
    "gradient_noise",
    "holm",
    "letter_groups",
    "load_checkpoint",
    "lr_range",
    "permutation_interval",
    "permutation_test",
    "power",
    "preconditioner",
    "slice_paths",
    "smallest_p",
    "stability_threshold",
    "stable_flow",
    "step_cost",
    "sweep",
    "t_interval",
    "t_test",
    "told_apart",
    "train",
    "welch_test",
]
