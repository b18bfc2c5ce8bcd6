"""The files of a recorded run: what they hold, as far as they are whole."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dldna.checks import choice, count
from dldna.landscape.space.names import WRAPPERS, bare
from dldna.objective import chosen_names
from dldna.objective.inputs import check_real, check_unsharded

FORMAT = 1
DTYPES = ("float32", "float16", "float64")


def check_network(model: Any, first: bool = True) -> None:
    """Refuse what cannot be recorded.

    Args:
        model: what was given.
        first: look at its tensors, too.

    Example:
        >>> check_network(None)
        Traceback (most recent call last):
        ...
        TypeError: a recorder takes the network itself, a torch.nn.Module, \
not NoneType
    """
    if not isinstance(model, nn.Module):
        raise TypeError(
            "a recorder takes the network itself, a torch.nn.Module, not "
            f"{type(model).__name__}"
        )
    if first:
        check_unsharded(model)
        check_real(model)


def entries(path: Path) -> list[dict[str, Any]]:
    """The complete checkpoints of a folder, as far as they are whole."""
    index, weights = path / "index.jsonl", path / "weights.bin"
    if not index.exists() or not weights.exists():
        return []
    meta = read_meta(path)
    numbers = sum(int(np.prod(shape)) for _, shape in meta["shapes"])
    row = numbers * np.dtype(meta["dtype"]).itemsize
    whole = weights.stat().st_size // max(row, 1)
    found = []
    for line in index.read_bytes().split(b"\n")[:whole]:
        try:
            entry = json.loads(line)
            found.append({k: entry[k] for k in _ENTRY})
        except (ValueError, KeyError, TypeError):
            break  # the line that was being written at the kill
    return found


_ENTRY = ("step", "epoch", "loss", "crc")


def read_meta(path: Path) -> dict[str, Any]:
    """What the folder says of itself.

    Raises:
        FileNotFoundError: there is no recorded run.
        ValueError: the file is damaged.
    """
    meta = path / "meta.json"
    if not meta.exists():
        raise FileNotFoundError(
            f"no recorded run in {path}: make one with "
            "dldna.landscape.Recorder"
        )
    try:
        found = json.loads(meta.read_text())
        if found["format"] != FORMAT:
            raise ValueError(f"format {found['format']}")
        for name, shape in found["shapes"]:
            wrong = min(shape, default=0) < 0 or math.prod(shape) > 2**48
            if wrong or not isinstance(name, str):
                raise ValueError("bad shapes")
        choice("dtype", found["dtype"], DTYPES)
        count("parameters", found["parameters"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{meta} is damaged ({error})") from error
    return found


def tensors(model: nn.Module, chosen: Any = None) -> dict[str, Tensor]:
    """Parameters, then floating buffers, by the network's own names.

    Args:
        model: the network.
        chosen: which parameters, as :func:`chosen_names` says; None for all.
            Whole numbers (quantised weights) never move.
    """
    while (inside := _wrapped(model)) is not None:
        model = inside
    named = dict(model.named_parameters())
    every = "all" if chosen is None else chosen
    found = {k: named[k] for k in chosen_names(model, every)}
    for name, buffer in model.named_buffers():
        if buffer.is_floating_point():
            found[name] = buffer
    return bare(found)


def _wrapped(model: nn.Module) -> nn.Module | None:
    """The only module within a wrapper (``torch.compile``, say)."""
    inside = dict(model.named_children())
    own = next(model.parameters(recurse=False), None) is not None
    if own or len(inside) != 1:
        return None
    [(name, module)] = inside.items()
    return module if f"{name}." in WRAPPERS else None


def stored(name: str, flat: Tensor, dtype: str) -> np.ndarray:
    """One tensor as it goes to disk, if it survives that."""
    if flat.dtype == torch.bfloat16:  # unknown to NumPy
        flat = flat.float()
    exact = flat.numpy()
    with np.errstate(over="ignore", under="ignore"):
        kept = exact.astype(dtype)
    if np.can_cast(exact.dtype, kept.dtype):
        return kept
    finite = np.isfinite(exact)
    lost = (~np.isfinite(kept[finite])).any()
    if lost or (exact[finite].any() and not kept.any()):
        top = np.abs(exact[finite]).max()
        raise ValueError(
            f"{name!r} reaches {top:.3g}, which {dtype} would "
            f"store as {'inf' if lost else '0'}: record with dtype="
            f"{str(exact.dtype)!r}, in a new folder"
        )
    return kept
