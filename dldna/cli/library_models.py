"""Networks of other packages, by name: ``hf:...`` and ``timm:...``."""

import difflib
from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dldna.checks import need

PREFIXES = ("hf:", "timm:")
SAVED = ("*.safetensors", "pytorch_model*.bin")
# Of a configuration that names no class: the first that knows it.
HEADS = (
    "SpeechSeq2Seq",
    "Seq2SeqLM",
    "AudioClassification",
    "MaskedLM",
    "CausalLM",
    "ImageClassification",
    "SequenceClassification",
)


def is_library(text: str) -> bool:
    """Whether a word of the command line names another package's network.

    Example:
        >>> is_library("timm:resnet18"), is_library("my_nets.py:make")
        (True, False)
    """
    return text.startswith(PREFIXES)


def library_model(
    text: str, seed: int, shape: Sequence[int] | None, classes: int | None
) -> nn.Module:
    """The network that ``hf:CONFIG_OR_FOLDER`` or ``timm:NAME`` names.

    Nothing is downloaded. A folder of Hugging Face with weights gives the
    network with them; one without, a ``config.json`` or the name of a kind
    ("gpt2") gives initial weights.

    Args:
        text: the word.
        seed: of the initial weights.
        shape: of a sample, (channels, height, width), where it is known.
        classes: number of classes, where it is known.

    Raises:
        ImportError: the package is missing.
        ValueError: it knows no such network.
    """
    library, _, name = text.partition(":")
    if not name:
        raise ValueError(
            f"{text!r} names no network: hf:FOLDER, hf:config.json, hf:gpt2 "
            "or timm:resnet18"
        )
    with suppress(ImportError):  # they do without
        from dldna._torchvision import torchvision

        torchvision()
    make = _hugging_face if library == "hf" else _timm
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make(name, shape, classes)


def weights_of(text: str) -> str:
    """Whether a word's network comes with "saved" or "initial" weights.

    Example:
        >>> weights_of("timm:resnet18")
        'initial'
    """
    place = Path(text.removeprefix("hf:"))
    saved = (
        text.startswith("hf:")
        and place.is_dir()
        and any(any(place.glob(form)) for form in SAVED)
    )
    return "saved" if saved else "initial"


def batches_for(model: nn.Module, batches: list, loss: str) -> list:
    """Pairs as the dictionaries that a network with its own loss takes."""
    name = getattr(model, "main_input_name", None)
    if loss != "model" or name is None:
        return batches
    return [{name: x, "labels": y} for x, y in batches]


def _hugging_face(name: str, shape: Any, classes: int | None) -> nn.Module:
    hf = need("transformers", "libraries", f"hf:{name}")
    place = Path(name)
    known = place.exists() or place.suffix == ".json" or place.is_absolute()
    if known and not place.exists():
        raise FileNotFoundError(f"no file or folder {name}")
    if known:
        config = hf.AutoConfig.from_pretrained(name, local_files_only=True)
    else:
        config = _kind(hf, name)
        wanted = {"num_labels": classes}
        if shape is not None and len(shape) == 3:
            wanted |= {"num_channels": shape[0], "image_size": shape[1]}
        for key, value in wanted.items():
            if value is not None and hasattr(config, key):
                setattr(config, key, value)
    kind = _class(hf, config, name)
    if weights_of(f"hf:{name}") == "saved":
        return kind.from_pretrained(name, local_files_only=True)
    make = getattr(kind, "_from_config", None) or kind.from_config
    return make(config)


def _kind(hf: Any, name: str) -> Any:
    """The usual configuration of a kind of network."""
    kinds = list(hf.models.auto.configuration_auto.CONFIG_MAPPING.keys())
    if name not in kinds:
        _unknown("transformers", "no folder, no file and no kind", name, kinds)
    return hf.AutoConfig.for_model(name)


def _class(hf: Any, config: Any, name: str) -> Any:
    for architecture in getattr(config, "architectures", None) or ():
        if hasattr(hf, architecture):
            return getattr(hf, architecture)
    for head in HEADS:
        auto = getattr(hf, f"AutoModelFor{head}")
        if type(config) in auto._model_mapping.keys():  # noqa: SIM118
            found = auto._model_mapping[type(config)]
            return found[0] if isinstance(found, (list, tuple)) else found
    raise ValueError(
        f"hf:{name}: the configuration names no class ('architectures') and "
        f"transformers has none with a loss for it (of {', '.join(HEADS)})"
    )


def _timm(name: str, shape: Any, classes: int | None) -> nn.Module:
    timm = need("timm", "libraries", f"timm:{name}")
    if not timm.is_model(name.partition(".")[0]):
        _unknown("timm", "no model", name, timm.list_models())
    options: dict[str, Any] = {"pretrained": False}
    if classes is not None:
        options["num_classes"] = classes
    if shape is not None and len(shape) == 3:
        options["in_chans"] = shape[0]
        with suppress(TypeError):  # convolutions take any size
            return timm.create_model(name, **options, img_size=shape[1:])
    return timm.create_model(name, **options)


def _unknown(package: str, what: str, name: str, known: list[str]) -> None:
    near = difflib.get_close_matches(name, known, 3, 0.5)
    hint = f"; near it: {', '.join(near)}" if near else ""
    raise ValueError(f"{package} has {what} {name!r}{hint}")


def default_loss(given: Namespace) -> str:
    """The loss where none is named: a network's own, where it has one."""
    if given.loss is not None:
        return given.loss
    return "model" if given.model.startswith("hf:") else "cross_entropy"
