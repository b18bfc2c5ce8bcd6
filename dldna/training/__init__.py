"""Training: the loop, its history, its checkpoints."""

from dldna.training.callbacks import Callback, State
from dldna.training.checkpoint import load_checkpoint
from dldna.training.evaluation import evaluate
from dldna.training.loop import DivergenceWarning, train
from dldna.training.sweep import Sweep, sweep

__all__ = [
    "Callback",
    "DivergenceWarning",
    "State",
    "Sweep",
    "evaluate",
    "load_checkpoint",
    "sweep",
    "train",
]
