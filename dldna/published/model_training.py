"""Train and keep the checkpoints of every epoch.

The loop stands in :func:`dldna.training.train`; here are the published
call, its printed lines and its files.
"""

import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import nn

from dldna import checks
from dldna.files import write_atomic
from dldna.published.data import usable
from dldna.training import train


def train_model(
    model: nn.Module,
    train_loader: Iterable,
    test_loader: Iterable,
    device: str | torch.device = "cpu",
    optimizer: torch.optim.Optimizer | None = None,
    epochs: int = 15,
    batch_size: int = 128,
    save_dir: str | Path = "./tmp/models",
    retrain: bool = True,
    save_epochs: Sequence[int] | None = None,
) -> dict[str, list]:
    """Train, print the published lines, write the published files.

    After each epoch the whole state of the run goes to ``NAME.run``. With
    ``retrain=False`` the run goes on from there, bit for bit; one that is
    finished already is not trained again, and its results come back.

    Args:
        model: with ``config["model_name"]``; trained in place.
        train_loader: batches to train on.
        test_loader: batches to test on.
        device: a string or a ``torch.device``.
        optimizer: Adam with torch's defaults if None.
        epochs: passes over the data.
        batch_size: for the config file; the loader decides.
        save_dir: where ``NAME.config``, ``NAME.pth`` and
            ``NAME-epoch{k}.pth`` go.
        retrain: train anew, or go on where the last run ended.
        save_epochs: which epochs to keep; all if None.

    Returns:
        Lists epochs (1-based), train_losses, train_accuracies (fractions),
        test_losses and test_accuracies.

    Raises:
        ValueError: no data, or with ``retrain=False`` a run of other
            settings or of more epochs.
    """
    checks.count("epochs", epochs)
    config = dict(getattr(model, "config", {}))
    name = config.setdefault("model_name", type(model).__name__)
    folder = Path(save_dir)
    device = usable(device)
    model.to(device)
    if optimizer is None:
        optimizer = torch.optim.Adam(model.parameters())
    print(f"Starting training for {name}.")
    start = time.perf_counter()
    resume = folder / f"{name}.run"
    if retrain:
        resume.unlink(missing_ok=True)
    config |= {"epochs": epochs, "batch_size": batch_size}
    text = json.dumps(config, indent=2).encode()
    write_atomic(folder / f"{name}.config", lambda f: f.write(text))
    history = train(
        model,
        optimizer,
        train_loader,
        test_loader,
        epochs=epochs,
        callbacks=[_Keeper(folder, name, save_epochs)],
        checkpoint=resume,
        device=device,
    )
    save_state(model, folder / f"{name}.pth")
    seconds = time.perf_counter() - start
    print(
        f"Execution completed for {name}, Execution time = {seconds:.1f} secs"
    )
    return {
        "epochs": history.epochs.tolist(),
        "train_losses": history.train_loss.tolist(),
        "train_accuracies": history.train_accuracy.tolist(),
        "test_losses": history.test_loss.tolist(),
        "test_accuracies": history.test_accuracy.tolist(),
    }


def save_state(model: nn.Module, path: Path) -> None:
    """Write a model's ``state_dict``, whole or not at all."""
    state = {k: v.cpu() for k, v in model.state_dict().items()}
    write_atomic(path, lambda f: torch.save(state, f))


class _Keeper:
    """A callback that keeps the checkpoints of chosen epochs."""

    def __init__(self, folder: Path, name: str, epochs):
        self.folder, self.name, self.epochs = folder, name, epochs

    def on_epoch(self, state) -> None:
        if self.epochs is None or state.epoch in self.epochs:
            path = self.folder / f"{self.name}-epoch{state.epoch}.pth"
            save_state(state.model, path)
