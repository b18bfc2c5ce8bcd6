"""What happens to loss, gradient and weights while a network trains.

The measures stand in :class:`dldna.training.dynamics.Dynamics`, the loop in
:func:`dldna.training.train`. All norms are L2 norms of the whole vector of
parameters: the root of the sum of squares over all tensors, not a sum or a
mean of the tensors' norms.
"""

from collections.abc import Callable, Iterable

import torch
from matplotlib import pyplot as plt
from torch import nn

from dldna import plotting
from dldna.published.data import usable
from dldna.training import train
from dldna.training.dynamics import Dynamics

FIGURES = (
    "loss",
    "grad_norm",
    "param_change",
    "weight_norm",
    "loss_improvement",
)


def visualize_training_dynamics(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    train_loader: Iterable,
    loss_func: Callable,
    num_epochs: int,
    device: str | torch.device,
) -> dict[str, list[float]]:
    """Train a network, record five figures for each step, and draw them.

    Args:
        model: trained in place.
        optimizer: over its parameters.
        train_loader: batches to train on.
        loss_func: a loss that is a mean over the batch.
        num_epochs: passes over the data.
        device: a string or a ``torch.device``.

    Returns:
        Lists with an entry for each step: loss (of the batch, before the
        step), grad_norm, param_change (length of the step), weight_norm
        (after it), and loss_improvement (of the same batch, before minus
        after the step).
    """
    device = usable(device)
    model.to(device)
    watch = Dynamics(per_layer=False)
    train(
        model,
        optimizer,
        train_loader,
        epochs=num_epochs,
        loss_fn=loss_func,
        callbacks=[watch],
    )
    motion = watch.record()
    found = {name: getattr(motion, name).tolist() for name in FIGURES}
    _draw(found)
    return found


def _draw(found: dict[str, list[float]]) -> None:
    figure, axes = plt.subplots(2, 3, figsize=(11, 5.6), layout="constrained")
    drawn = list(axes.flat)
    drawn.pop().remove()
    steps = range(1, len(found["loss"]) + 1)
    for ax, (name, values) in zip(drawn, found.items(), strict=True):
        words = name.replace("_", " ")
        plotting.curves(steps, {words: values}, ax, xlabel="step")
        ax.get_legend().remove()
        ax.set_title(words)
    figure.suptitle("training dynamics")
