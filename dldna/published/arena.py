"""One optimizer on a CNN or a transformer, with the published results.

The networks stand in :func:`dldna.models.make` ("arena-cnn",
"arena-transformer"), the loop in :func:`dldna.training.train`.
"""

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from dldna import checks
from dldna.files import write_atomic
from dldna.models import make
from dldna.published.experiments import name_of, place, run, shape_of

MODEL_TYPES = {"cnn": "arena-cnn", "transformer": "arena-transformer"}


def run_advanced_experiment(
    optimizer_class: Callable[..., torch.optim.Optimizer],
    model_type: str,
    train_loader: Iterable,
    test_loader: Iterable,
    config: Mapping[str, Any],
    device: str | torch.device,
    epochs: int = 50,
    gpu_id: int = 0,
    *,
    seed: int = 0,
    folder: str | Path = ".",
) -> dict[str, list]:
    """Train a CNN or a transformer with an optimizer, and write a table.

    For CIFAR-100 the CNN has 1.19 million parameters and the transformer
    62.1 million; an epoch of the latter takes hours without a GPU.

    Args:
        optimizer_class: called with the parameters and ``**config``.
        model_type: "cnn" or "transformer".
        train_loader: batches to train on.
        test_loader: batches to test on.
        config: the optimizer's settings, such as ``{"lr": 1e-4}``.
        device: a string or a ``torch.device``.
        epochs: passes over the data.
        gpu_id: number of the GPU, where ``device`` is "cuda".
        seed: of the weights.
        folder: where ``<Opt>_<type>_<timestamp>.csv`` goes.

    Returns:
        As :func:`~dldna.published.experiments.run_basic_experiment`.
    """
    checks.choice("model type", model_type, MODEL_TYPES)
    shape, classes = shape_of(train_loader)
    model = make(
        MODEL_TYPES[model_type],
        seed=seed,
        in_shape=shape,
        num_classes=classes,
    )
    results = run(
        model,
        optimizer_class,
        train_loader,
        test_loader,
        config,
        place(device, gpu_id),
        epochs,
    )
    name = name_of(optimizer_class).strip("<>")
    stamp = datetime.now().strftime("%Y%m%d_%H%M%S")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["epoch", *list(results)[1:]])
    writer.writerows(zip(*results.values(), strict=True))
    path = unused(Path(folder) / f"{name}_{model_type}_{stamp}.csv")
    write_atomic(path, lambda file: file.write(text.getvalue().encode()))
    print(f"Results saved to: {path}")
    return results


def unused(path: Path) -> Path:
    """A name at which no file stands, as near to the one given as can be.

    Example:
        >>> unused(Path("nothing/here.csv")).name
        'here.csv'
    """
    number, found = 1, path
    while found.exists() or found.is_symlink():
        number += 1
        found = path.with_stem(f"{path.stem}_{number}")
    return found
