"""``dldna make-checkpoints``: the trained networks that chapters load."""

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from dldna.checks import choice, count, folder
from dldna.params import usable_device
from dldna.progress import announce

ACTIVATIONS = (
    "Sigmoid", "Tanh", "ReLU", "LeakyReLU", "PReLU", "ELU", "SELU", "GELU",
    "SiLU", "Mish", "Hardswish",
)  # fmt: skip
MADE_WITH = "made_with"
EPILOG = """
examples:
  dldna make-checkpoints
  dldna make-checkpoints --activations ReLU Tanh --epochs 3
  dldna make-checkpoints --data digits --out tmp/models

For each activation it writes SimpleNetwork-<Act>.config, .pth and
-epoch<k>.pth, as the published notebooks load them. What is finished is not
trained again; after a kill the same command goes on where it was. Networks
of these names that it did not make are yours: it writes nothing over them.
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Give the parser this command's words."""
    parser.epilog = EPILOG
    put = parser.add_argument
    put(
        "--epochs", type=int, default=15,
        help="passes over the data (default: %(default)s)",
    )  # fmt: skip
    put(
        "--data", default="FashionMNIST",
        help="name of a data set of images (default: %(default)s)",
    )  # fmt: skip
    put(
        "--activations", nargs="+", default=list(ACTIVATIONS), metavar="ACT",
        help=f"names in torch.nn (default: {' '.join(ACTIVATIONS)})",
    )  # fmt: skip
    put(
        "--out", type=Path, default=Path("tmp/models"),
        help="folder (default: %(default)s)",
    )  # fmt: skip
    put("--batch-size", type=int, default=128)
    put("--device", default="cpu", help="cpu, cuda, ...")
    put("--seed", type=int, default=0)
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Train what is missing, and say what is there."""
    from dldna.data import load
    from dldna.models import make
    from dldna.published.model_training import train_and_keep
    from dldna.published.saved_networks import ACTIVATIONS as KNOWN

    count("--epochs", given.epochs)
    usable_device(given.device, "--device")
    folder("--out", given.out)
    for act in given.activations:
        choice("activation", act, KNOWN)
    missing = [a for a in given.activations if not _finished(a, given)]
    if not missing:
        print(f"all are there already, in {given.out}")
        return 0
    _check_owner(missing, given)
    dataset = load(given.data)
    train, test = dataset.loaders(given.batch_size, given.seed)

    def network(act: str) -> torch.nn.Module:
        return make(
            "mlp",
            seed=given.seed,
            in_shape=dataset.shape,
            num_classes=len(dataset.classes),
            act=KNOWN[act](),
        )

    each = _seconds(network(missing[0]).to(given.device), train)
    print(
        f"{len(missing)} of {len(given.activations)} networks are to be "
        f"trained on {dataset.name}, {given.epochs} epochs each"
    )
    announce("in all", each * given.epochs * len(missing))
    for act in missing:
        model = network(act)
        model.config[MADE_WITH] = _settings(given)
        model.to(given.device)
        train_and_keep(
            model,
            torch.optim.Adam(model.parameters()),
            train,
            test,
            given.out,
            _name(act),
            epochs=given.epochs,
            batch_size=given.batch_size,
            go_on=not _other(act, given),
        )
        train.epoch = 0
    print(f"written: {given.out}")
    return 0


def _settings(given: argparse.Namespace) -> dict[str, Any]:
    return {
        "data": given.data,
        "batch_size": given.batch_size,
        "seed": given.seed,
    }


def _name(act: str) -> str:
    return f"SimpleNetwork-{act}"


def _check_owner(missing: list[str], given: argparse.Namespace) -> None:
    """Write nothing at all where a reader keeps networks of these names.

    A network that :func:`train_model` has kept there is the reader's, too:
    hours of work that this command cannot make again.

    Raises:
        FileExistsError: there are files that this command did not make.
    """
    from dldna.published.ownership import config_in, files_of, others

    def not_made_here(name: str) -> list[Path]:
        strange = others(given.out, name)
        return [
            file
            for file in files_of(given.out, name)
            if file in strange
            or (file.suffix != ".run" and MADE_WITH not in config_in(file))
        ]

    found = {a: not_made_here(_name(a)) for a in missing}
    theirs = [act for act, files in found.items() if files]
    if not theirs:
        return
    files = [f.name for act in theirs for f in found[act]]
    names = ", ".join(files[:4]) + (", ..." if len(files) > 4 else "")
    rest = [a for a in given.activations if a not in theirs]
    remedy = "give another folder with --out"
    if rest:
        remedy += f", or leave them out: --activations {' '.join(rest)}"
    raise FileExistsError(
        f"{given.out} holds networks that this command did not make "
        f"({names}); they stay as they are and nothing was written: {remedy}"
    )


def _config(act: str, given: argparse.Namespace) -> dict[str, Any]:
    from dldna.published.ownership import read_config

    return read_config(given.out / f"{_name(act)}.config")


def _other(act: str, given: argparse.Namespace) -> bool:
    """Whether what is there was made in another way, or for longer."""
    config = _config(act, given)
    same = config.get(MADE_WITH) == _settings(given)
    return not same or config.get("epochs", 0) > given.epochs


def _finished(act: str, given: argparse.Namespace) -> bool:
    """Whether all files of an activation are there, made in this way."""
    from dldna.published.ownership import run_of

    name, config = _name(act), _config(act, given)
    names = [f"{name}.pth"]
    names += [f"{name}-epoch{k}.pth" for k in range(1, given.epochs + 1)]
    if config.get(MADE_WITH) != _settings(given):
        return False
    return all(run_of(given.out / n) == config.get("run") for n in names)


def _seconds(model: torch.nn.Module, loader: Any, steps: int = 5) -> float:
    """Seconds for an epoch, from a few steps on a network to throw away."""
    optimizer = torch.optim.Adam(model.parameters())
    device = next(model.parameters()).device
    batches = loader.batches(0)
    for k in range(min(steps + 1, len(loader))):
        x, y = next(batches)
        if k == min(1, len(loader) - 1):
            start = time.perf_counter()  # the first one warms up
        optimizer.zero_grad()
        F.cross_entropy(model(x.to(device)), y.to(device)).backward()
        optimizer.step()
    taken = max(1, min(steps, len(loader) - 1))
    return (time.perf_counter() - start) / taken * len(loader)
