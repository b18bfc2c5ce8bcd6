"""One optimizer on the dense network, with the published results.

The loop stands in :func:`dldna.training.train`, the network in
:class:`dldna.models.SimpleNetwork`.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from dldna import batches, checks
from dldna.models import make
from dldna.published import timed_training
from dldna.published.loaders import usable
from dldna.published.measurements import EpochMeasurements, memory
from dldna.published.readers_optimizers import as_optimizer

KINDS = ("allocated", "reserved")


def run_basic_experiment(
    optimizer_class: Callable[..., torch.optim.Optimizer],
    train_loader: Iterable,
    test_loader: Iterable,
    config: Mapping[str, Any],
    device: str | torch.device,
    epochs: int = 30,
    gpu_id: int = 0,
    *,
    seed: int = 0,
) -> dict[str, list]:
    """Train the dense network with an optimizer.

    Args:
        optimizer_class: called with the parameters and ``**config``.
        train_loader: batches to train on.
        test_loader: batches to test on.
        config: the optimizer's settings, such as ``{"lr": 0.01}``.
        device: a string or a ``torch.device``.
        epochs: passes over the data.
        gpu_id: number of the GPU, where ``device`` is "cuda".
        seed: of the weights.

    Returns:
        Lists with an entry for each epoch: epochs, train_loss, test_loss,
        train_accuracy, test_accuracy (fractions), train_gradient_norm (mean
        L2 norm over the steps), test_gradient_norm (of the mean test loss),
        memory_allocated and memory_reserved (MiB; see
        :func:`dldna.published.measurements.memory`).
    """
    shape, classes = shape_of(train_loader)
    model = make(
        "mlp", seed=seed, in_shape=shape, num_classes=classes, act=nn.GELU()
    )
    return run(
        model,
        optimizer_class,
        train_loader,
        test_loader,
        config,
        place(device, gpu_id),
        epochs,
    )


def run(
    model: nn.Module,
    optimizer_class: Callable[..., torch.optim.Optimizer],
    train_loader: Iterable,
    test_loader: Iterable,
    config: Mapping[str, Any],
    device: torch.device,
    epochs: int,
) -> dict[str, list]:
    """Train any model; see :func:`run_basic_experiment`."""
    checks.count("epochs", epochs)
    model.to(device)
    optimizer = optimizer_class(model.parameters(), **config)
    optimizer = as_optimizer(optimizer, model)
    name = name_of(optimizer_class)
    now = memory(device, model, optimizer, 0)
    size = sum(p.numel() for p in model.parameters()) / 1000
    _say(device, f"Optimizer: {name}", "Initial {} Memory Status{}:",
         f"Allocated: {now[0]:.1f}MB", f"Reserved: {now[1]:.1f}MB",
         f"Model Size: {size:.1f}K parameters")  # fmt: skip
    history = timed_training.run(
        model,
        optimizer,
        train_loader,
        test_loader,
        epochs=epochs,
        callbacks=[EpochMeasurements(test_loader)],
    )
    columns = {k: v.tolist() for k, v in history.metrics.items()}
    held, kept = (columns.get(f"memory_{k}", []) for k in KINDS)
    if held:
        _say(device, "Final {} Memory Status{}:",
             f"Peak Allocated: {max(held):.1f}MB",
             f"Peak Reserved: {max(kept):.1f}MB",
             f"Current Allocated: {held[-1]:.1f}MB",
             f"Current Reserved: {kept[-1]:.1f}MB")  # fmt: skip
    return {
        "epochs": history.epochs.tolist(),
        "train_loss": history.train_loss.tolist(),
        "test_loss": history.test_loss.tolist(),
        "train_accuracy": history.train_accuracy.tolist(),
        "test_accuracy": history.test_accuracy.tolist(),
        "train_gradient_norm": columns.get("gradient_norm", []),
        "test_gradient_norm": columns.get("test_gradient_norm", []),
        "memory_allocated": held,
        "memory_reserved": kept,
    }


def name_of(maker: Callable) -> str:
    """The name of a class, or of what makes its objects.

    Example:
        >>> from functools import partial
        >>> name_of(partial(torch.optim.SGD, momentum=0.9))
        'SGD'
    """
    while isinstance(maker, partial):
        maker = maker.func
    return getattr(maker, "__name__", type(maker).__name__)


def _say(device: torch.device, *lines: str) -> None:
    """The published lines about memory, between rules."""
    rule, kind = "=" * 50, device.type.upper()
    which = f" (GPU {device.index})" if device.type == "cuda" else ""
    said = [line.format(kind, which) for line in lines]
    print("\n".join(["", rule, *said, rule, ""]))


def shape_of(loader: Iterable) -> tuple[tuple[int, ...], int]:
    """Shape of a sample, and number of classes, from a loader.

    The classes are those of the whole data set where it can be seen, and
    of the first batch otherwise.

    Example:
        >>> shape_of([(torch.zeros(2, 1, 4, 4), torch.tensor([0, 6]))])
        ((1, 4, 4), 7)
    """
    x, y = batches.split(next(iter(loader)))
    dataset = getattr(loader, "dataset", None)
    seen = getattr(loader, "y", getattr(dataset, "targets", y))
    largest = int(torch.as_tensor(seen, device="cpu").max())
    return tuple(x.shape[1:]), largest + 1


def place(device: str | torch.device, gpu_id: int) -> torch.device:
    """The device to use; ``gpu_id`` counts where none is named."""
    device = usable(device)
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", gpu_id)
    return device
