"""Checkpoints: the whole state of a training run in one file."""

import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dldna.files import write_atomic
from dldna.guard import RandomStates

FORMAT = "dldna checkpoint 1"
PLAIN = (bool, int, float, str, type(None), torch.dtype, torch.device)


def save_checkpoint(path: str | Path, state: dict[str, Any]) -> Path:
    """Write a checkpoint; the old one stands until the new one is whole.

    Args:
        path: the file.
        state: dicts, lists, tensors, numbers and strings.

    Returns:
        The path.

    Raises:
        TypeError: something in it could not be read back safely.
        OSError: the folder cannot be written, or the disk is full.
    """
    whole = {"format": FORMAT, **_plain(state, "state")}
    return write_atomic(path, lambda file: torch.save(whole, file))


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint; nothing in the file is executed.

    Args:
        path: a file that :func:`dldna.training.train` wrote.

    Returns:
        The state: ``model``, the weights to evaluate with;
        ``training_weights``, the point from which an optimizer with two
        points (Schedule-Free) trains on, None for others; ``optimizer``,
        ``scheduler``, ``run``, ...

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or not a checkpoint.

    Example:
        >>> load_checkpoint("nowhere.pt")
        Traceback (most recent call last):
        ...
        FileNotFoundError: no checkpoint at nowhere.pt; \
train(..., checkpoint='nowhere.pt') makes it
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"no checkpoint at {path}; train(..., checkpoint={str(path)!r}) "
            "makes it"
        )
    remedy = "delete it to start anew, or give another path"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about files that are not ours
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of a damaged file anything may come
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"{path} is damaged or is not a checkpoint ({first[:120]}); "
            f"{remedy}"
        ) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(
            f"{path} is not a checkpoint of dldna.training; {remedy}"
        )
    return state


def put_into(model: nn.Module, state: dict[str, Any], path: Path) -> None:
    """Load a checkpoint's weights, or say why they do not fit.

    Raises:
        ValueError: it was made with another architecture.
    """
    mine, theirs = model.state_dict(), state["model"]
    for name in [*mine, *theirs]:
        if name not in mine or name not in theirs:
            where = "checkpoint" if name not in theirs else "model"
            problem = f"{name!r} is not in the {where}"
        elif mine[name].shape != theirs[name].shape:
            problem = (
                f"{name!r} has shape {tuple(theirs[name].shape)} there and "
                f"{tuple(mine[name].shape)} in the model"
            )
        else:
            continue
        raise ValueError(
            f"{path} comes from another architecture: {problem}; give "
            "another path, or the model it was made with"
        )
    model.load_state_dict(theirs)


def check_same(here: dict[str, Any], there: dict[str, Any], path: Path):
    """Refuse to go on with other settings than a run was begun with.

    Raises:
        ValueError: they differ; the message names the first.
    """
    for name, value in here.items():
        if there.get(name) != value:
            raise ValueError(
                f"{path} was made with {name}={there.get(name)!r}, not "
                f"{value!r}: the run cannot go on as it began; give another "
                "path, or delete it to start anew"
            )


def random_states() -> dict[str, Any]:
    """The global random states of torch, NumPy and Python."""
    now = RandomStates()
    kind, keys, *rest = now.numpy
    return {
        "torch": now.torch,
        "cuda": now.cuda,
        "numpy": [kind, torch.from_numpy(keys.astype(np.int64)), *rest],
        "python": list(now.python),
    }


def set_random_states(states: dict[str, Any]) -> None:
    """Put global random states back."""
    torch.random.set_rng_state(states["torch"])
    if states["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states["cuda"])
    kind, keys, *rest = states["numpy"]
    keys = keys.numpy().astype(np.uint32)
    np.random.set_state((kind, keys, *rest))  # noqa: NPY002
    version, inner, gauss = states["python"]
    random.setstate((version, tuple(inner), gauss))


def _plain(value: Any, where: str) -> Any:
    """A copy in types that ``weights_only`` reads back."""
    if isinstance(value, torch.Tensor) or type(value) in PLAIN:
        return value
    if isinstance(value, dict):
        return {k: _plain(v, f"{where}[{k!r}]") for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_plain(v, f"{where}[{i}]") for i, v in enumerate(value)]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, PLAIN):
        return value
    raise TypeError(
        f"a checkpoint cannot hold {type(value).__name__} ({where}): only "
        "tensors, numbers, strings, lists and dicts are read back safely"
    )
