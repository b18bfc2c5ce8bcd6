"""Read the checkpoints that ``train_model`` wrote.

The network stands in :mod:`dldna.models`; ``dldna make-checkpoints`` makes
the files that the chapter takes for granted.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules import activation

from dldna import checks
from dldna.models import SimpleNetwork
from dldna.published.data import usable

REMEDY = "make it with: dldna make-checkpoints"
ACTIVATIONS = {
    name: getattr(nn, name)
    for name in (*activation.__all__, "Identity")
    if name not in ("MultiheadAttention", "Threshold")
}
NONE = "No Activation"


def load_model(
    model_file: str,
    path: str | Path = "tmp/models",
    device: str | torch.device | None = None,
) -> tuple[nn.Module, dict[str, Any]]:
    """One checkpoint and its config.

    Args:
        model_file: such as ``"SimpleNetwork-ReLU.pth"`` or
            ``"SimpleNetwork-ReLU-epoch3.pth"``.
        path: the folder.
        device: a string or a ``torch.device``; the CPU if None.

    Returns:
        The model in eval mode, and its config.

    Raises:
        FileNotFoundError: there is no such file; the message names the
            command that makes it.
        ValueError: it is damaged, or of another architecture.
    """
    file = Path(path) / model_file
    name = re.sub(r"(-epoch\d+)?\.pth$", "", file.name)
    settings = file.with_name(f"{name}.config")
    for wanted in (file, settings):
        if not wanted.exists():
            raise FileNotFoundError(f"no checkpoint at {wanted}; {REMEDY}")
    try:
        config = json.loads(settings.read_text(encoding="utf-8"))
        model = _network(config)
        state = torch.load(file, map_location="cpu", weights_only=True)
        model.load_state_dict(state)
    except Exception as error:
        raise ValueError(
            f"{file} is damaged or holds another network ({error}); {REMEDY}"
        ) from error
    return model.to(usable(device or "cpu")).eval(), config


def _network(config: dict[str, Any]) -> nn.Module:
    act = config["act_func"]
    plain = act == NONE
    if plain:
        act = config["model_name"].partition("-")[2]
    act = checks.choice("activation", act, ACTIVATIONS)
    with torch.random.fork_rng(devices=[]):
        return SimpleNetwork(
            ACTIVATIONS[act](),
            input_shape=config["input_shape"],
            num_labels=config["num_labels"],
            hidden_shape=config["hidden_shape"],
            no_act=plain,
        )


def load_models_by_pattern(
    model_dir: str | Path = "tmp/models",
    activation_types: Sequence[str] | None = None,
    epochs: Sequence[int] | None = None,
) -> tuple[list[nn.Module], list[str]]:
    """The checkpoints of several epochs, in NUMERIC order of the epochs.

    Args:
        model_dir: the folder.
        activation_types: such as ``["ReLU"]``; all that are there if None.
        epochs: such as ``[1, 2, 15]``; all that are there if None.

    Returns:
        The models, and labels such as ``"ReLU-epoch1"``.

    Raises:
        FileNotFoundError: one that was asked for is not there, or none
            is; the message names the command that makes them.
    """
    found: dict[str, set[int]] = {}
    for file in Path(model_dir).glob("SimpleNetwork-*-epoch*.pth"):
        match = re.fullmatch(r"SimpleNetwork-(\w+)-epoch(\d+)\.pth", file.name)
        if match is not None:
            found.setdefault(match[1], set()).add(int(match[2]))
    acts = sorted(found) if activation_types is None else activation_types
    models, labels = [], []
    for act in acts:
        there = found.get(act, set())
        for epoch in sorted(there if epochs is None else set(epochs)):
            file = f"SimpleNetwork-{act}-epoch{epoch}.pth"
            models.append(load_model(file, model_dir)[0])
            labels.append(f"{act}-epoch{epoch}")
        if not there:
            break
    if not models or not set(acts) <= set(found):
        lack = [a for a in acts if a not in found] or ["*"]
        raise FileNotFoundError(
            f"no checkpoints SimpleNetwork-{lack[0]}-epoch*.pth in "
            f"{model_dir}; {REMEDY}"
        )
    return models, labels
