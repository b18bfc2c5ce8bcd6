"""The line through two networks, as published.

It stands in :func:`dldna.landscape.line`, which says more (what was
evaluated, and how far it is to be trusted) than fits these returns.
"""

import copy
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from torch import nn

from dldna import batches, checks, plotting
from dldna.guard import untouched
from dldna.landscape import line
from dldna.published.loaders import placed
from dldna.published.measurements import of_targets
from dldna.records import Line


def linear_interpolation(
    model1: nn.Module,
    model2: nn.Module,
    data_loader: Iterable,
    loss_func: Callable,
    device: str | torch.device,
    num_points: int = 50,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Loss and accuracy on the line through two networks.

    Every point is the first network with other weights. Where the second
    has another activation, the point 1 is therefore not the second
    network, and a warning says so.

    Args:
        model1: the network at 0.
        model2: the network at 1.
        data_loader: batches; one pass is kept in memory.
        loss_func: a mean over the batch, of outputs and targets.
        device: a string or a ``torch.device``.
        num_points: points from -0.5 to 1.5, at least 4; both ends, 0 and
            1 are among them, see :func:`grid`.

    Returns:
        Positions, losses and accuracies (fractions), (num_points,) each.
    """
    model1, model2 = placed(model1, device), placed(model2, device)
    twin = copy.deepcopy(model1)
    twin.load_state_dict(model2.state_dict())
    if not _same_function(twin, model2, data_loader):
        checks.warn(
            "the networks differ in more than their weights: at 1 stands "
            f"the first one ({_name(model1)}) with the weights of the second "
            f"({_name(model2)}), not the second"
        )
        model2 = twin
    found = line(
        model1,
        model2,
        of_targets(loss_func),
        data_loader,
        alphas=grid(num_points),
        metrics="accuracy",
    )
    return found.alphas, found.losses, found.metrics["accuracy"]


def grid(num_points: int) -> np.ndarray:
    """Positions from -0.5 to 1.5, with 0 and 1 among them, bit for bit.

    Each of the three parts, outside, between and outside, is evenly
    spaced; the two spacings are as equal as the number of points lets
    them be.

    Args:
        num_points: how many; every fourth and one more (5, 9, ...) make
            one even spacing.

    Example:
        >>> grid(5).tolist()
        [-0.5, 0.0, 0.5, 1.0, 1.5]
        >>> x = grid(50)
        >>> len(x), x[[0, -1]].tolist(), 0.0 in x, 1.0 in x
        (50, [-0.5, 1.5], True, True)
    """
    steps = checks.count("num_points", num_points, least=4) - 1
    outside = max(1, round(steps / 4))
    step = 0.5 / outside
    before = -step * np.arange(outside, 0, -1)
    between = np.linspace(0, 1, steps - 2 * outside + 1)
    after = 1 + step * np.arange(1, outside + 1)
    return np.concatenate([before, between, after])


def _same_function(a: nn.Module, b: nn.Module, data: Iterable) -> bool:
    """Whether two networks give the same outputs on a few samples."""
    with untouched(a, b), torch.no_grad():
        [few] = batches.held(next(iter(data)), 16)
        few = batches.to(few, next(a.parameters()).device)
        inputs, _ = batches.split(few)
        one, two = (batches.apply(m.eval(), inputs) for m in (a, b))
    return torch.allclose(one, two, rtol=1e-3, atol=1e-5)


def _name(model: nn.Module) -> str:
    config = getattr(model, "config", {})
    return config.get("model_name", type(model).__name__)


def visualize_linear_interpolation(
    alphas: Sequence[float],
    losses: Sequence[float],
    accuracies: Sequence[float],
    title: str,
    size: tuple[float, float] = (8, 6),
) -> list[Axes]:
    """Draw a line, the loss above and the accuracy below.

    Args:
        alphas: (N,) positions.
        losses: (N,) losses.
        accuracies: (N,) accuracies.
        title: above the figure.
        size: of the figure in inches.

    Returns:
        Both axes.
    """
    found = Line(
        np.asarray(alphas, float),
        np.asarray(losses, float),
        {"accuracy": np.asarray(accuracies, float)},
    )
    figure, axes = plt.subplots(
        2, 1, figsize=size, sharex=True, layout="constrained"
    )
    plotting.line(found, axes[0])
    plotting.line(found, axes[1], metric="accuracy")
    for ax in axes:
        for end in (0, 1):
            ax.axvline(end, color="0.6", lw=0.8)
    figure.suptitle(title)
    return list(axes)
