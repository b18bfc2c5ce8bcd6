"""What may look in while a network trains."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import nn
from torch.optim import Optimizer


@dataclass
class State:
    """Where a training run stands, as its callbacks see it.

    Args:
        model: the model itself, not a copy.
        optimizer: its optimizer; gradients are those of the last step.
        epoch: 1-based number of the epoch.
        step: number of steps taken since the very start.
        loss: loss of the last step's batch, before the step.
        batch: that batch; where steps accumulate several, all of them
            joined, or None if they cannot be joined.
        samples: number of samples of that batch.
        loss_fn: the loss of the run.
        metrics: what a callback puts here in ``on_epoch`` becomes a
            column of the history.
        stop: a callback sets this to end the run after this epoch.
        save: a callback sets this in ``on_step`` to have the checkpoint
            written after this step; it is cleared then.
    """

    model: nn.Module
    optimizer: Optimizer
    epoch: int = 0
    step: int = 0
    loss: float = float("nan")
    batch: Any = None
    samples: int = 0
    loss_fn: Callable | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    stop: bool = False
    save: bool = False


class Callback:
    """Base of callbacks: every method may be left out.

    Any object with one of these methods will do. If it also has
    ``state_dict`` and ``load_state_dict``, checkpoints keep its state.

    Example:
        >>> class Steps(Callback):
        ...     n = 0
        ...
        ...     def on_step(self, state):
        ...         self.n = state.step
    """

    def on_start(self, state: State) -> None:
        """Before the first step, and again when a run is resumed."""

    def on_step(self, state: State) -> None:
        """After each step."""

    def on_epoch(self, state: State) -> None:
        """After each epoch and its evaluation."""
