"""What happens to loss, gradient and weights while a network trains.

The measures of single steps stand in
:class:`dldna.training.dynamics.Dynamics`, the loop in
:func:`dldna.training.train`. All norms are L2 norms of the whole vector of
parameters: the root of the sum of squares over all tensors, not a sum of
the tensors' norms.
"""

import math
from collections.abc import Callable, Iterable

import torch
from matplotlib import pyplot as plt
from torch import Tensor, nn

from dldna import checks, plotting
from dldna.params import exact
from dldna.published.loaders import usable
from dldna.published.measurements import Mean, grad_norm
from dldna.published.readers_optimizers import as_optimizer
from dldna.published.timed_training import run
from dldna.training import Callback, State
from dldna.training.dynamics import Dynamics

FIGURES = (
    "loss",
    "grad_norm",
    "param_change",
    "weight_norm",
    "loss_improvement",
)
WORDS = {name: name.replace("_", " ").title() for name in FIGURES}


def visualize_training_dynamics(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    train_loader: Iterable,
    loss_func: Callable,
    num_epochs: int,
    device: str | torch.device,
    *,
    per: str = "epoch",
) -> dict[str, list[float]]:
    """Train a network, record five figures for each epoch, and draw them.

    Args:
        model: trained in place.
        optimizer: over its parameters; of any class that has ``step()``.
        train_loader: batches to train on.
        loss_func: a loss that is a mean over the batch.
        num_epochs: passes over the data.
        device: a string or a ``torch.device``.
        per: "epoch", or "step" for the finer figures of each step.

    Returns:
        Lists with an entry for each epoch: loss (the mean of the batches'
        losses, as they were met, by their numbers of samples), grad_norm
        (mean over the steps), param_change (distance from the weights at
        the start), weight_norm (at the end of the epoch) and
        loss_improvement (loss of the epoch before minus its own; 0 for the
        first). Epochs after a divergence are NaN.

        With ``per="step"`` an entry for each step: loss (of the batch,
        before the step), grad_norm, param_change (length of the step),
        weight_norm (after it), and loss_improvement (of the same batch,
        before minus after the step).
    """
    checks.choice("per", per, ("epoch", "step"))
    checks.count("num_epochs", num_epochs)
    model.to(usable(device))
    optimizer = as_optimizer(optimizer, model)
    watch = (
        _Epochs(num_epochs) if per == "epoch" else Dynamics(per_layer=False)
    )
    run(
        model,
        optimizer,
        train_loader,
        epochs=num_epochs,
        loss_fn=loss_func,
        callbacks=[watch],
    )
    if per == "step":
        motion = watch.record()
        found = {name: getattr(motion, name).tolist() for name in FIGURES}
    else:
        found = watch.figures()
    _draw(found, per)
    return found


class _Epochs(Callback):
    """The figures of epochs, and their printed lines."""

    def __init__(self, epochs: int):
        self.epochs = epochs
        self.found: dict[str, list[float]] = {name: [] for name in FIGURES}
        self.norms: list[float] = []
        self.start: list[Tensor] = []

    def on_start(self, state: State) -> None:
        self.start = [p.detach().clone() for p in state.model.parameters()]
        self.mean = Mean(state.loss_fn)

    def on_step(self, state: State) -> None:
        self.norms.append(grad_norm(state.model))
        self.mean.add(state.loss, state.batch)

    def on_epoch(self, state: State) -> None:
        now = [p.detach() for p in state.model.parameters()]
        moves = [b - a for a, b in zip(self.start, now, strict=True)]
        loss, past = self.mean.value, self.found["loss"]
        row = {
            "loss": loss,
            "grad_norm": sum(self.norms) / max(len(self.norms), 1),
            "param_change": _length(moves),
            "weight_norm": _length(now),
            "loss_improvement": past[-1] - loss if past else 0.0,
        }
        for name, value in row.items():
            self.found[name].append(value)
        said = ", ".join(f"{WORDS[k]}: {v:.4f}" for k, v in row.items())
        print(f"Epoch {state.epoch}/{self.epochs} - {said}")
        self.norms, self.mean = [], Mean(state.loss_fn)

    def figures(self) -> dict[str, list[float]]:
        """All five; NaN for the epochs that a divergence left out."""
        left = self.epochs - len(self.found["loss"])
        return {k: v + [math.nan] * left for k, v in self.found.items()}


def _length(tensors: list[Tensor]) -> float:
    return math.sqrt(sum(float(exact(t).square().sum()) for t in tensors))


def _draw(found: dict[str, list[float]], per: str) -> None:
    figure, axes = plt.subplots(1, 5, figsize=(16, 3.2), layout="constrained")
    steps = range(1, len(found["loss"]) + 1)
    for ax, (name, values) in zip(axes, found.items(), strict=True):
        plotting.curves(steps, {WORDS[name]: values}, ax, xlabel=per)
        ax.get_legend().remove()
        ax.set_title(WORDS[name].lower())
    figure.suptitle("training dynamics")
