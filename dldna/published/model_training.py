"""Train and keep the checkpoints of every epoch.

The loop stands in :func:`dldna.training.train`; here are the published
call, its printed lines and its files.
"""

import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from dldna import checks
from dldna.published import ownership
from dldna.published.loaders import usable
from dldna.published.readers_optimizers import (
    as_optimizer,
    describe,
    keeps_state,
)
from dldna.published.saved_networks import numbers, read_into
from dldna.published.timed_training import run
from dldna.records import History


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
    save_epochs: Iterable[int] | int | None = None,
) -> dict[str, list] | None:
    """Train, print the published lines, write the published files.

    Files of the same names that this package did not make are the
    reader's and stay: the run is then kept in a folder ``dldna`` beside
    them, and a warning says so.

    With ``retrain=False`` a network that is there is loaded, not trained;
    a run that was killed goes on from ``NAME.run``, where after each epoch
    the whole state of the run is kept, and ends bit for bit as if it had
    not been, whatever an older run has left beside it. (With an optimizer
    of the reader's own that keeps its state to itself it begins anew.)

    Args:
        model: with ``config["model_name"]``; trained in place.
        train_loader: batches to train on.
        test_loader: batches to test on.
        device: a string or a ``torch.device``.
        optimizer: SGD with rate 0.001 and momentum 0.9 if None.
        epochs: passes over the data.
        batch_size: for the config file; the loader decides.
        save_dir: where ``NAME.config``, ``NAME.pth`` and
            ``NAME-epoch{k}.pth`` go.
        retrain: train anew, or load what is there.
        save_epochs: which epochs to keep, such as ``[1, 15]``; all if
            None.

    Returns:
        Lists epochs (1-based), train_losses, train_accuracies (fractions),
        test_losses and test_accuracies. None if a network was loaded of
        which the weights alone are there.

    Raises:
        NotADirectoryError: ``save_dir`` is a file.
        ValueError: no data, or with ``retrain=False`` a network of another
            architecture, a run with another optimizer or another rate, or
            one of another number of epochs.
    """
    checks.count("epochs", epochs)
    folder = checks.folder("save_dir", save_dir)
    if save_epochs is not None:
        save_epochs = numbers("save_epochs", save_epochs)
    model.to(usable(device))
    if optimizer is None:
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    optimizer = as_optimizer(optimizer, model)
    name = name_of(model)
    finished = not retrain and _finished(folder, name)
    if not finished:  # then something is written
        folder = ownership.beside(folder, name)
        finished = not retrain and _finished(folder, name)
    if finished and not _whole_run(folder, name):
        read_into(model, folder / f"{name}.pth")
        print("Model file already exists. Training stopped.")
        return None
    if not retrain:
        _check_same(folder, name, finished, epochs, describe(optimizer))
    history = train_and_keep(
        model, optimizer, train_loader, test_loader, folder, name,
        epochs=epochs, batch_size=batch_size, save_epochs=save_epochs,
        go_on=finished or (not retrain and keeps_state(optimizer)),
    )  # fmt: skip
    return {
        "epochs": history.epochs.tolist(),
        "train_losses": history.train_loss.tolist(),
        "train_accuracies": history.train_accuracy.tolist(),
        "test_losses": history.test_loss.tolist(),
        "test_accuracies": history.test_accuracy.tolist(),
    }


def train_and_keep(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    train_loader: Iterable,
    test_loader: Iterable,
    folder: Path,
    name: str,
    *,
    epochs: int,
    batch_size: int,
    save_epochs: Collection[int] | None = None,
    go_on: bool = False,
) -> History:
    """Train, and keep all of it in a folder where this may be written.

    Args:
        model: trained in place.
        optimizer: over its parameters.
        train_loader, test_loader: the data.
        folder: holds no file of this name that is not ours.
        name: of the files.
        epochs: in all.
        batch_size: for the config file.
        save_epochs: which epochs to keep; all if None.
        go_on: from where the last run of this name ended.
    """
    resume, last = folder / f"{name}.run", folder / f"{name}.pth"
    old = None
    if go_on and resume.exists():
        old = ownership.run_of(folder / f"{name}.config")
    else:
        resume.unlink(missing_ok=True)
    made = {"epochs": epochs, "batch_size": batch_size}
    made["optimizer"] = describe(optimizer)
    config = ownership.marked(config_of(model) | made, old)
    loads = ownership.run_of(last) == old is not None and (
        ownership.config_in(last).get("epochs") == epochs
    )
    if loads:
        print("Model file already exists. Training stopped.")
    else:
        print(f"\nStarting training for {name}.")
        ownership.save_config(folder / f"{name}.config", config)
    start = time.perf_counter()
    history = run(
        model, optimizer, train_loader, test_loader, epochs=epochs,
        callbacks=[_Keeper(folder, name, config, save_epochs)],
        checkpoint=resume, quiet=loads,
    )  # fmt: skip
    if not loads:
        with evaluated(optimizer):
            ownership.save_state(model, last, config)
        seconds = time.perf_counter() - start
        print(
            f"Execution completed for {name}, Execution time = "
            f"{seconds:.1f} secs"
        )
    return history


def config_of(model: nn.Module) -> dict:
    """What a network was made with, as far as it says so itself."""
    found = getattr(model, "config", None)
    config = dict(found) if isinstance(found, Mapping) else {}
    config.setdefault("model_name", type(model).__name__)
    layers = getattr(model, "layers", None)
    if isinstance(layers, nn.Sequential) and len(layers) > 1:
        config["activation"] = repr(layers[1])
    return config


def name_of(model: nn.Module) -> str:
    """The name of a network's files."""
    return str(config_of(model)["model_name"])


@contextmanager
def evaluated(optimizer: torch.optim.Optimizer):
    """At the weights that were evaluated, where these are not the others."""
    getattr(optimizer, "eval", lambda: None)()
    yield
    getattr(optimizer, "train", lambda: None)()


def _runs(folder: Path, name: str) -> list[str | None]:
    """Whose are the last checkpoint, the config and the state of a run?"""
    ends = (".pth", ".config", ".run")
    return [ownership.run_of(folder / f"{name}{end}") for end in ends]


def _whole_run(folder: Path, name: str) -> bool:
    """Whether the whole run stands behind the last checkpoint."""
    last, config, state = _runs(folder, name)
    return last is not None and last == config and state is not None


def _finished(folder: Path, name: str) -> bool:
    """Whether a network is there, and no later run was begun and killed."""
    last, config, state = _runs(folder, name)
    killed = None not in (last, config, state) and last != config
    return (folder / f"{name}.pth").exists() and not killed


def _check_same(
    folder: Path, name: str, finished: bool, epochs: int, optimizer: str
) -> None:
    """Refuse to load, or to go on with, what was made in another way."""
    if ownership.run_of(folder / f"{name}.run") is None:
        return
    had = ownership.read_config(folder / f"{name}.config")
    pairs = [("with {}", had.get("optimizer", optimizer), optimizer)]
    if finished:
        pairs.append(("for {} epochs", had.get("epochs"), epochs))
    for words, then, now in pairs:
        if then != now:
            raise ValueError(
                f"{name} in {folder} was trained {words.format(then)}, not "
                f"{now}: ask for what it was, give another save_dir, or "
                "retrain=True to train anew"
            )


class _Keeper:
    """A callback that keeps the checkpoints of chosen epochs."""

    def __init__(self, folder: Path, name: str, config: dict, epochs):
        self.folder, self.name = folder, name
        self.config, self.epochs = config, epochs

    def on_epoch(self, state) -> None:
        if self.epochs is None or state.epoch in self.epochs:
            path = self.folder / f"{self.name}-epoch{state.epoch}.pth"
            with evaluated(state.optimizer):
                ownership.save_state(state.model, path, self.config)
