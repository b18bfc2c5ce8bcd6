"""Read the checkpoints that ``train_model`` wrote, and those of version 0.1.

The network stands in :mod:`dldna.models`; ``dldna make-checkpoints`` makes
the files that the chapter takes for granted.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import activation

from dldna import checks
from dldna.models import SimpleNetwork, make
from dldna.published import ownership
from dldna.published.loaders import get_device, usable

REMEDY = "make it with: dldna make-checkpoints"
ACTIVATIONS = {
    name: getattr(nn, name)
    for name in (*activation.__all__, "Identity")
    if name not in ("MultiheadAttention", "Threshold")
}
NONE = "No Activation"
OLD_NAMES = {"Swish": "SiLU"}
CNN = "CIFAR100CNN"


def load_model(
    model_file: str,
    path: str | Path = "tmp/models",
    device: str | torch.device | None = None,
) -> tuple[nn.Module, dict[str, Any]]:
    """One checkpoint and its config.

    Files of version 0.1 are read, too, and so is a plain ``state_dict``
    beside its ``.config``. Nothing in a file is executed.

    Args:
        model_file: such as ``"SimpleNetwork-ReLU.pth"`` or
            ``"SimpleNetwork-ReLU-epoch3.pth"``.
        path: the folder.
        device: a string or a ``torch.device``; that of ``get_device()``
            if None.

    Returns:
        The model in eval mode, and its config.

    Raises:
        FileNotFoundError: there is no such file; the message names the
            command that makes it.
        ValueError: it is damaged, or of another architecture.
    """
    file = Path(path) / model_file
    state, config = _read(file)
    if config is None:
        name = re.sub(r"(-epoch\d+)?\.pth$", "", file.name)
        settings = file.with_name(f"{name}.config")
        if not settings.exists():
            raise FileNotFoundError(f"no checkpoint at {settings}; {REMEDY}")
        config = ownership.read_config(settings)
    try:
        model = _network(config)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{file} holds a network that cannot be made from its config "
            f"({error}): make it yourself, and load the weights with "
            "torch.load(file, weights_only=True)['model_state_dict']; or "
            f"{REMEDY}"
        ) from error
    _put(model, state, file)
    device = get_device() if device is None else device
    return model.to(usable(device)).eval(), config


def read_into(model: nn.Module, file: Path) -> None:
    """Load the weights in a file into a network that is there.

    Raises:
        ValueError: the file is damaged, or of another architecture.
    """
    _put(model, _read(file)[0], file)


def _read(file: Path) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    """The weights in a file, and the config beside them if there is one."""
    if not file.exists():
        raise FileNotFoundError(f"no checkpoint at {file}; {REMEDY}")
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
        state = found.get("model_state_dict", found)
        state = {k.removeprefix("module."): v for k, v in state.items()}
    except Exception as error:  # of a damaged file anything may come
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"{file} is damaged or holds no weights alone ({first[:120]}); "
            f"{REMEDY}"
        ) from error
    config = found.get("config")
    return state, dict(config) if isinstance(config, Mapping) else None


def _put(model: nn.Module, state: Mapping[str, Any], file: Path) -> None:
    """Load weights by name; those of the published CNN by their order."""
    own = model.state_dict()
    if "conv1.weight" in state and len(state) == len(own):
        state = dict(zip(own, state.values(), strict=True))
    try:
        model.load_state_dict(dict(state))
    except (RuntimeError, TypeError) as error:
        what = " ".join(str(error).split())[:300]
        raise ValueError(
            f"{file} is damaged or holds another network than "
            f"{type(model).__name__} ({what}); {REMEDY}"
        ) from error


def _network(config: Mapping[str, Any]) -> nn.Module:
    name = str(config["model_name"])
    if name.startswith(CNN):
        classes = config.get("num_classes", 100)
        return make("arena-cnn", in_shape=(3, 32, 32), num_classes=classes)
    act = str(config.get("act_func", "ReLU"))
    plain = act == NONE
    if plain:
        act = name.partition("-")[2]
    if "activation" not in config:  # of version 0.1
        act = OLD_NAMES.get(act, act)
    act = checks.choice("activation", act, ACTIVATIONS)
    made = ACTIVATIONS[act]()
    wanted = config.get("activation", repr(made))
    if not plain and wanted != repr(made):
        raise ValueError(f"its activation is {wanted}, not {made!r}")
    with torch.random.fork_rng(devices=[]):
        return SimpleNetwork(
            made,
            input_shape=config.get("input_shape", 784),
            num_labels=config.get("num_labels", 10),
            hidden_shape=config.get("hidden_shape", [256, 192, 128, 64]),
            no_act=plain,
        )


def load_models_by_pattern(
    model_dir: str | Path = "tmp/models",
    activation_types: Iterable[str] | str | None = None,
    epochs: Iterable[int] | None = None,
) -> tuple[list[nn.Module], list[str]]:
    """The checkpoints of several epochs, in NUMERIC order of the epochs.

    All of one network belong to one run, that of its ``.config``: epochs
    that an older run left behind are not mixed in.

    Args:
        model_dir: the folder.
        activation_types: such as ``["ReLU"]`` or ``"ReLU"``; all that are
            there if None or empty.
        epochs: such as ``[1, 2, 15]`` or ``15``; all that are there if
            None or empty.

    Returns:
        The models, and labels such as ``"ReLU-epoch1"``.

    Raises:
        FileNotFoundError: one that was asked for is not there, or belongs
            to another run, or none is there; the message names the command
            that makes them.

    Warns:
        UserWarning: files of another run are left out.
    """
    folder = Path(model_dir)
    found: dict[str, dict[int, Path]] = {}
    for file in folder.glob("SimpleNetwork-*-epoch*.pth"):
        match = re.fullmatch(r"SimpleNetwork-(\w+)-epoch(\d+)\.pth", file.name)
        if match is not None:
            found.setdefault(match[1], {})[int(match[2])] = file
    if isinstance(activation_types, str):
        activation_types = [activation_types]
    acts = [] if activation_types is None else list(activation_types)
    acts = acts or sorted(found)
    wanted = None if epochs is None else numbers("epochs", epochs) or None
    lack = [a for a in acts if a not in found] or ([] if acts else ["*"])
    if lack:
        raise FileNotFoundError(
            f"no checkpoints SimpleNetwork-{lack[0]}-epoch*.pth in "
            f"{model_dir}; {REMEDY}"
        )
    models, labels = [], []
    for act in acts:
        mine = _of_one_run(folder, act, found[act], wanted)
        for epoch in sorted(wanted or mine):
            file = mine.get(epoch, f"SimpleNetwork-{act}-epoch{epoch}.pth")
            models.append(load_model(Path(file).name, folder)[0])
            labels.append(f"{act}-epoch{epoch}")
    return models, labels


def numbers(name: str, given: Iterable[int] | int) -> set[int]:
    """Whole numbers from any collection of them, or from a single one.

    Raises:
        TypeError: one is no whole number.

    Example:
        >>> sorted(numbers("epochs", torch.tensor([3, 1])))
        [1, 3]
        >>> numbers("epochs", 15)
        {15}
    """
    several = given if isinstance(given, Iterable) else [given]
    return {checks.whole(name, k) for k in several}


def _of_one_run(
    folder: Path, act: str, files: dict[int, Path], epochs
) -> dict[int, Path]:
    """The epochs of the run that the config names."""
    runs = {k: ownership.run_of(f) for k, f in files.items()}
    current = ownership.run_of(folder / f"SimpleNetwork-{act}.config")
    if current not in runs.values() and len(set(runs.values())) == 1:
        current = next(iter(runs.values()))
    mine = {k: f for k, f in files.items() if runs[k] == current}
    strange = sorted(set(files) - set(mine))
    asked = [k for k in strange if epochs is not None and k in epochs]
    if asked or not mine:
        file = files[(asked or strange)[0]].name
        raise FileNotFoundError(
            f"{file} in {folder} belongs to another run than "
            f"SimpleNetwork-{act}.config, so they are not one path; move "
            f"the files of one run to a folder of their own, or {REMEDY}"
        )
    if strange and epochs is None:
        names = ", ".join(files[k].name for k in strange[:3])
        more = ", ..." if len(strange) > 3 else ""
        checks.warn(f"left out, as files of another run: {names}{more}")
    return mine
