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
from dldna.training.two_weights import SlicePaths, slice_paths

__all__ = [
    "Callback",
    "DivergenceWarning",
    "Dynamics",
    "Live",
    "SlicePaths",
    "State",
    "Sweep",
    "evaluate",
    "gradient_noise",
    "load_checkpoint",
    "preconditioner",
    "slice_paths",
    "stability_threshold",
    "sweep",
    "train",
]
