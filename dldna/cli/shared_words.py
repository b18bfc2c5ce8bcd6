"""Model, loss and data, by the words of a command line."""

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dldna.checks import choice
from dldna.cli import arguments, library_models
from dldna.params import usable_device

LOSSES = {
    "cross_entropy": nn.CrossEntropyLoss,
    "mse": nn.MSELoss,
    "bce": nn.BCEWithLogitsLoss,
}
BATCH = 500


def add_words(parser: argparse.ArgumentParser) -> None:
    """Give a parser the words for a model, a loss and data."""
    put = parser.add_argument
    put(
        "model",
        help="name of a network, module:factory, hf:CONFIG_OR_FOLDER "
        "(transformers) or timm:NAME",
    )
    put("--key", help="what the checkpoints keep the weights under, as ema")
    put(
        "--data", required=True,
        help="name of a data set, folder:PATH, or module:name of batches",
    )  # fmt: skip
    put("--split", default="train", choices=["train", "test"])
    put("--limit", type=int, help="use only the first so many samples")
    put(
        "--loss",
        help=f"{', '.join(LOSSES)}, module:name, or model for the network's "
        "own (default: cross_entropy; for hf: model)",
    )  # fmt: skip
    put(
        "--params", nargs="+",
        help="what may move: trainable, all, names, parts, '*patterns'",
    )  # fmt: skip
    put("--seed", type=int, default=0)
    put("--threads", type=int, help="CPU threads of each process")
    put("--device", default="cpu", help="cpu, cuda, cuda:1, ...")


def check_words(given: argparse.Namespace) -> None:
    """Refuse what can be refused before anything is loaded.

    Raises:
        ValueError: a count below 1, or a device that is not there.
    """
    for name in ("limit", "threads"):
        value = getattr(given, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name} must be at least 1, not {value}")
    usable_device(given.device, "--device")


def opened(given: argparse.Namespace):
    """The model, batches that it takes, their name, the shape of a sample.

    The loss and the number of threads are settled on the way.
    """
    given.loss = library_models.default_loss(given)
    if given.threads:
        torch.set_num_threads(given.threads)
    data, name, shape, classes = data_of(given)
    seen = shape
    if shape is None and not library_models.is_library(given.model):
        seen = shape_in(data)
    model = model_of(given, seen, classes)
    if shape is not None:
        data = library_models.batches_for(model, data, given.loss)
    return model, data, name, shape


def load_checkpoint(
    model: nn.Module, file: Path | None, given: argparse.Namespace
) -> None:
    """Load a file's weights into the model, or say whose it keeps."""
    from dldna.landscape.space.checkpoints import load_into, read_checkpoint

    if file is None:
        kind = library_models.weights_of(given.model)
        print(f"no checkpoint given: {given.model} at its {kind} weights")
    else:
        load_into(model, read_checkpoint(file, given.key), file)


def data_of(given: argparse.Namespace):
    """Batches, a name, the shape of a sample, the number of classes."""
    if ":" in given.data and not given.data.startswith("folder:"):
        found = arguments.thing(given.data)
        return (found() if callable(found) else found), given.data, None, None
    from dldna.data import load

    dataset = load(given.data)
    x = getattr(dataset, f"{given.split}_x")[: given.limit]
    y = getattr(dataset, f"{given.split}_y")[: given.limit]
    batches = list(zip(x.split(BATCH), y.split(BATCH), strict=True))
    name = f"{dataset.name} ({given.split})"
    return batches, name, dataset.shape, len(dataset.classes)


def shape_in(data: Any) -> tuple[int, ...] | None:
    """The shape of a sample in batches of one's own, if it is plain to see.

    Example:
        >>> x = torch.zeros(8, 3, 32, 32)
        >>> shape_in([(x, x)]), shape_in((x, x)), shape_in(iter([]))
        ((3, 32, 32), (3, 32, 32), None)
    """
    batch = data[0] if isinstance(data, list) and data else data
    x = batch[0] if isinstance(batch, (list, tuple)) and batch else None
    plain = isinstance(x, torch.Tensor) and x.ndim > 1
    return tuple(x.shape[1:]) if plain else None


def model_of(given: argparse.Namespace, shape, classes) -> nn.Module:
    if library_models.is_library(given.model):
        made = library_models.library_model
        return made(given.model, given.seed, shape, classes)
    if ":" in given.model:
        made = arguments.thing(given.model)
        made = made if isinstance(made, nn.Module) else made()
        if not isinstance(made, nn.Module):
            raise TypeError(
                f"{given.model} made a {type(made).__name__}, not a "
                "torch.nn.Module"
            )
        return made
    from dldna.models import make

    known = {"in_shape": shape, "num_classes": classes}
    options = {k: v for k, v in known.items() if v is not None}
    return make(given.model, seed=given.seed, **options)


def loss_of(text: str) -> Any:
    if ":" in text:
        found = arguments.thing(text)
        return found() if isinstance(found, type) else found
    if text == "model":
        return text
    return LOSSES[choice("loss", text, [*LOSSES, "model"])]()
