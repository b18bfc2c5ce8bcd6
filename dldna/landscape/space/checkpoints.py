"""Checkpoints: found in numeric order, read without running them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dldna.checks import choice
from dldna.landscape.space.formats import is_weights, read, weights_in
from dldna.landscape.space.names import bare, is_adapter, match, natural_key

KEYS = (  # under which checkpoints keep their state dict
    "model",
    "state_dict",
    "model_state_dict",
    "net",
    "network",
    "module",
    "weights",
    "params",
)


def read_checkpoint(
    file: str | Path, key: str | None = None
) -> dict[str, Tensor]:
    """A state dict from a checkpoint; nothing in the file is executed.

    Files of torch (``.pt``, ``.pth``, ``.pth.tar``, ``.bin``, Lightning's
    ``.ckpt``), of safetensors, either in several parts with an index, and
    the folders of Hugging Face, accelerate, diffusers and peft are read.
    Names that DataParallel and ``torch.compile`` give are taken off.

    Args:
        file: a file or a folder.
        key: what the checkpoint keeps the state dict under; by default
            one of "model", "state_dict", "model_state_dict", "net",
            "network", "module", "weights" and "params", or the only one
            there is.

    Returns:
        The tensors by name, on the CPU.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: the package safetensors is needed and missing.
        ValueError: it is damaged, holds no state dict or several.

    Example:
        >>> import tempfile, torch
        >>> file = tempfile.mkdtemp() + "/last.pth.tar"
        >>> torch.save({"epoch": 3, "net": {"w": torch.ones(2)},
        ...             "net_ema": {"w": torch.zeros(2)}}, file)
        >>> read_checkpoint(file), read_checkpoint(file, "net_ema")
        ({'w': tensor([1., 1.])}, {'w': tensor([0., 0.])})
    """
    file = Path(file)
    if not file.exists():
        raise FileNotFoundError(f"no checkpoint at {file}")
    held = file
    if file.is_dir():
        held = weights_in(file)
        if held is None:
            raise ValueError(
                f"{file} is a folder without a file of weights that is "
                "known (model.safetensors, pytorch_model.bin, ...): give "
                "the file itself"
            )
    state = inner(read(held), key, file)
    if not state or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f"{file} holds no state dict")
    return bare(state)


def inner(
    found: Mapping[str, Any],
    key: str | None = None,
    file: str | Path = "the checkpoint",
) -> dict[str, Any]:
    """The state dict that a checkpoint keeps under a name.

    Args:
        found: a state dict, or a dict that holds one.
        key: its name; by default a usual one, or the only one there is.
        file: what to call the checkpoint.

    Raises:
        ValueError: no state dict under ``key``, or several without one.

    Example:
        >>> inner({"epoch": 3, "model": {"w": 1}})
        {'w': 1}
    """
    held = {k: v for k, v in found.items() if isinstance(v, Mapping) and v}
    if key is not None:
        return dict(held[choice(f"key of {file}", key, list(held))])
    usual = [k for k in KEYS if k in held]
    usual = [k for k in usual if _holds_tensors(held[k])] or usual
    if usual:
        return inner(held[usual[0]], None, file)
    if any(isinstance(v, Tensor) for v in found.values()):
        return dict(found)
    states = [k for k, v in held.items() if _of_tensors(v)]
    if len(states) > 1:
        raise ValueError(
            f"{file} holds several state dicts "
            f"({', '.join(map(repr, states))}): name one by key=..."
        )
    return dict(held[states[0]] if states else found)


def _holds_tensors(state: Mapping[str, Any]) -> bool:
    within = [v for v in state.values() if isinstance(v, Mapping)]
    return any(isinstance(v, Tensor) for v in state.values()) or any(
        map(_holds_tensors, within)
    )


def _of_tensors(state: Mapping[str, Any]) -> bool:
    return all(isinstance(v, Tensor) for v in state.values())


def weight(name: str, value: Any, like: Tensor) -> Tensor:
    """A tensor from outside as one of a network's: dense, in its type.

    Args:
        name: its name.
        value: a tensor or an array.
        like: the network's own.

    Raises:
        ValueError: complex numbers for real ones; or numbers of 8 bits,
            which are weights only with scales that stand elsewhere.

    Example:
        >>> weight("w", torch.ones(2, dtype=torch.int64), torch.zeros(2))
        tensor([1., 1.])
        >>> weight("w", torch.ones(2, dtype=torch.int8), torch.zeros(2))
        Traceback (most recent call last):
        ...
        ValueError: 'w' holds torch.int8, which are weights only with their \
scales: dequantize it first
    """
    if not isinstance(like, Tensor):
        return value
    if not isinstance(value, Tensor):
        value = torch.as_tensor(value, device="cpu")
    value = value.detach()
    if value.layout != torch.strided:
        value = value.to_dense()
    if value.is_complex() and not like.is_complex():
        raise ValueError(f"{name!r} holds complex numbers for real weights")
    small = value.element_size() == 1 and value.dtype != torch.bool
    if small and like.is_floating_point() and like.element_size() > 1:
        raise ValueError(
            f"{name!r} holds {value.dtype}, which are weights only with "
            "their scales: dequantize it first"
        )
    return value.to(like)


def load_into(
    model: nn.Module, state: Mapping[str, Tensor], file: str | Path
) -> None:
    """Load a state dict into a model of one's own, or say what differs.

    A tensor that the model uses under several names may be kept under
    one; an adapter's leaves the rest of the model as it is.

    Raises:
        ValueError: the file belongs to another network, or holds what is
            no weight by itself.
    """
    own = model.state_dict(keep_vars=True)
    found = {
        k: weight(k, v, own[k]) if k in own else v
        for k, v in match(state, own).items()
    }
    by_place = {v.data_ptr(): found[k] for k, v in own.items() if k in found}
    for name, tensor in own.items():
        if tensor.numel() and tensor.data_ptr() in by_place:
            found.setdefault(name, by_place[tensor.data_ptr()])
    part = is_adapter(state) and len(found) >= len(state)
    try:
        model.load_state_dict(found, strict=not part)
    except RuntimeError as error:
        what = " ".join(str(error).split())[:300]
        raise ValueError(
            f"{file} does not fit {type(model).__name__}: {what}"
        ) from None


def checkpoints_in(paths: str | Path | Sequence[str | Path]) -> list[Path]:
    """Checkpoints in numeric order.

    A folder stands for itself where a library keeps one checkpoint in it,
    else for the checkpoints inside: files, or folders such as
    ``checkpoint-500``.

    Raises:
        FileNotFoundError: there is none in a folder.
    """
    if isinstance(paths, (str, Path)):
        paths = [paths]
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir() or weights_in(path):
            found.append(path)
            continue
        inside = [
            p
            for p in path.iterdir()
            if (weights_in(p) if p.is_dir() else is_weights(p))
        ]
        if not inside:
            raise FileNotFoundError(
                f"no checkpoint (.pt, .pth, .ckpt, .safetensors, ...) in "
                f"{path}"
            )
        found += sorted(inside, key=natural_key)
    return found
