"""Checkpoint files: found in numeric order, read without running them."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

WRAPPERS = ("module.", "_orig_mod.")  # DataParallel, torch.compile


def natural_key(label: str | Path) -> list:
    """Sort key that reads digits as numbers.

    Example:
        >>> sorted(["epoch10", "epoch9", "epoch1"], key=natural_key)
        ['epoch1', 'epoch9', 'epoch10']
    """
    parts = re.split(r"(\d+)", str(label))
    return [
        (0, int(p), "") if p.isdigit() else (1, 0, p.lower()) for p in parts
    ]


def read_checkpoint(file: str | Path) -> dict[str, Tensor]:
    """A state dict from a file; nothing in the file is executed.

    Files that keep it under "model", "state_dict" or "model_state_dict"
    are understood, and so are the names that DataParallel and
    ``torch.compile`` give.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or holds no state dict.
    """
    file = Path(file)
    if not file.exists():
        raise FileNotFoundError(f"no checkpoint at {file}")
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        first = str(error).strip().splitlines()[:1]
        raise ValueError(
            f"{file} is damaged or is no checkpoint of tensors alone "
            f"({type(error).__name__}: {''.join(first)[:200]}); save it "
            "with torch.save(model.state_dict(), ...)"
        ) from error
    state = inner(found) if isinstance(found, dict) else {}
    if not state or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f"{file} holds no state dict")
    return bare(state)


def inner(found: Mapping[str, Any]) -> dict[str, Any]:
    """The state dict that a checkpoint keeps under a name.

    Example:
        >>> inner({"epoch": 3, "model": {"w": 1}})
        {'w': 1}
    """
    for key in ("model", "state_dict", "model_state_dict"):
        if isinstance(found.get(key), Mapping):
            found = found[key]
    return dict(found)


def bare(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state dict without the names of wrappers around the network.

    Example:
        >>> bare({"_orig_mod.module.w": 1, "_orig_mod.module.b": 2})
        {'w': 1, 'b': 2}
        >>> bare({"module.w": 1, "b": 2})
        {'module.w': 1, 'b': 2}
    """
    found = dict(state)
    for prefix in WRAPPERS * 2:
        if found and all(str(k).startswith(prefix) for k in found):
            found = {k[len(prefix) :]: v for k, v in found.items()}
    return found


def load_into(
    model: nn.Module, state: dict[str, Tensor], file: str | Path
) -> None:
    """Load a state dict into a model of one's own, or say what differs.

    Raises:
        ValueError: the file belongs to another network.
    """
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        what = " ".join(str(error).split())[:300]
        raise ValueError(
            f"{file} does not fit {type(model).__name__}: {what}"
        ) from None


def checkpoints_in(paths: Sequence[str | Path]) -> list[Path]:
    """Files in numeric order; a folder stands for its ``.pt``/``.pth``."""
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inner = [p for p in path.iterdir() if p.suffix in {".pt", ".pth"}]
            if not inner:
                raise FileNotFoundError(f"no .pt or .pth file in {path}")
            found += sorted(inner, key=natural_key)
        else:
            found.append(path)
    return found
