"""Training: the loop, its history, its checkpoints."""

from dldna.training.callbacks import Callback, State
from dldna.training.checkpoint import load_checkpoint
from dldna.training.evaluation import evaluate
from dldna.training.loop import DivergenceWarning, train

__all__ = [
    "Callback",
    "DivergenceWarning",
    "State",
    "evaluate",
    "load_checkpoint",
    "train",
]
