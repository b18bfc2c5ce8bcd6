"""Checkpoints as torch and other libraries keep them on disk."""

import argparse
import codecs
import json
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".tar", ".safetensors")
WEIGHTS = (  # files that a library's folder keeps its weights in
    "model.safetensors",
    "pytorch_model.bin",
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.bin",
    "adapter_model.safetensors",
    "adapter_model.bin",
)
BESIDE = ("optimizer", "scheduler", "training_args", "rng_state", "scaler")
INDEX = ".index.json"
NUMBERS = "numpy.core.multiarray", "numpy._core.multiarray"
PATHS = "pathlib", "pathlib._local"  # the latter in Python 3.13 alone


def weights_in(folder: Path) -> Path | None:
    """The file of a library's folder that holds the weights, or its index.

    Hugging Face's ``save_pretrained`` and ``Trainer``, accelerate,
    diffusers and peft write such folders.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "pytorch_model.bin").touch()
        >>> weights_in(folder).name
        'pytorch_model.bin'
    """
    for name in WEIGHTS:
        for file in (folder / name, folder / f"{name}{INDEX}"):
            if file.is_file():
                return file
    return None


def is_weights(file: Path) -> bool:
    """Whether a file may hold weights, by its name."""
    return file.suffix in SUFFIXES and not file.name.startswith(BESIDE)


def read(file: Path) -> dict[str, Any]:
    """What a file holds, whatever keeps it; nothing in it is executed.

    Args:
        file: a torch file, a ``.safetensors`` file, or the index of
            either in several parts.

    Raises:
        ImportError: the package safetensors is needed and missing.
        ValueError: the file is damaged, or holds more than data.
    """
    if file.name.endswith(INDEX):
        return _read_parts(file)
    if file.suffix == ".safetensors":
        return _read_safetensors(file)
    return _read_torch(file)


def _read_parts(index: Path) -> dict[str, Any]:
    try:
        parts = sorted({*json.loads(index.read_text())["weight_map"].values()})
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{index} is damaged ({error})") from error
    found: dict[str, Any] = {}
    for part in parts:
        file = index.parent / str(part)
        beside = file.parent == index.parent and file.is_file()
        if not beside or file.name.endswith(INDEX):
            raise ValueError(f"{index} names {part!r}, which is not beside it")
        found |= read(file)
    return found


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise ImportError(
            f"{file} can be read with the package safetensors: "
            "pip install safetensors"
        ) from error
    try:
        with safe_open(str(file), framework="pt", device="cpu") as opened:
            found = {k: opened.get_tensor(k) for k in opened.keys()}  # noqa: SIM118
            shared = opened.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(
            f"{file} is damaged ({type(error).__name__}: {str(error)[:200]})"
        ) from error
    # A tensor with two names is kept under one; the other names it.
    named = {k: found[v] for k, v in shared.items() if v in found}
    return named | found


def _read_torch(file: Path) -> dict[str, Any]:
    try:
        with _plain_values():
            found = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(_why(file, error)) from error
    if not isinstance(found, Mapping):
        raise ValueError(
            f"{file} holds no state dict, but a {type(found).__name__}"
        )
    return dict(found)


def _why(file: Path, error: Exception) -> str:
    """Damaged, or more than weights: two things with two remedies."""
    names = re.findall(r"Unsupported global: GLOBAL ([\w.]+)", str(error))
    if hasattr(torch.serialization, "get_unsafe_globals_in_checkpoint"):
        look = torch.serialization.get_unsafe_globals_in_checkpoint
        with suppress(Exception), _plain_values():
            names = look(file)  # all of them, not the first alone
    if names:
        return (
            f"{file} holds objects beside the weights "
            f"({', '.join(sorted(names)[:3])}), and reading those would run "
            "code; where you trust the file, load it yourself with "
            "weights_only=False and give its state dict"
        )
    first = "".join(str(error).strip().splitlines()[:1])[:200]
    return (
        f"{file} is damaged or is no checkpoint of tensors alone "
        f"({type(error).__name__}: {first}); save it with "
        "torch.save(model.state_dict(), ...)"
    )


def _plain_values() -> AbstractContextManager[None]:
    """Let numbers, words and paths lie beside the weights: NumPy's numbers,
    ``argparse.Namespace``, paths. None of them runs code."""
    kinds = {type(np.dtype(c)) for c in "?bhilqBHILQefdSU"}
    number = np.float64(0).__reduce__()[0]
    renamed = [
        *(_called(f"{home}.scalar", number) for home in NUMBERS),
        *(
            _called(f"{home}.{kind.__name__}", kind)
            for kind in (pathlib.PosixPath, pathlib.PurePosixPath)
            for home in PATHS
        ),
    ]
    allowed = getattr(torch.serialization, "safe_globals", _safe_globals)
    return allowed(
        [argparse.Namespace, codecs.encode, np.dtype, *kinds, *renamed]
    )


def _called(name: str, make: Callable[..., Any]) -> Callable[..., Any]:
    """The same under the name that files of another version know it by."""

    def twin(*given: Any) -> Any:
        return make(*given)

    twin.__module__, _, twin.__name__ = name.rpartition(".")
    twin.__qualname__ = twin.__name__
    return twin


@contextmanager
def _safe_globals(kinds: list[Any]) -> Iterator[None]:
    """What torch 2.5 and later have under this name."""
    before = list(torch.serialization.get_safe_globals())
    torch.serialization.add_safe_globals(kinds)
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)
