"""Whose files are these? A reader's own are never written to.

Every checkpoint that is written here names the package and its run inside
the file, beside the weights (which stand under ``model_state_dict``, as
published), and so does the ``.config``. The mark in a checkpoint holds for
the very weights it was written with. A file without it is the reader's: one
of version 0.1, one saved by hand, one of ours with other weights put in, or
no checkpoint at all.
"""

import json
import re
import uuid
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dldna import __version__, checks
from dldna.files import write_atomic
from dldna.landscape.scan.fingerprint import digest
from dldna.training.checkpoint import load_checkpoint

MARK, RUN, WEIGHTS = "made_by", "run", "weights"
BESIDE = "dldna"


def marked(config: Mapping[str, Any], run: str | None = None) -> dict:
    """A config with the package's mark and the name of a run.

    Args:
        config: what the network was made with.
        run: the run that it belongs to; a new one if None.
    """
    plain = json.loads(json.dumps(dict(config), default=str))
    run = uuid.uuid4().hex[:12] if run is None else run
    return plain | {MARK: f"dldna {__version__}", RUN: run}


def save_state(model: nn.Module, path: Path, config: Mapping) -> None:
    """Write a model's weights and its config, whole or not at all."""
    state = {k: v.cpu() for k, v in model.state_dict().items()}
    config = dict(config) | {WEIGHTS: digest(state)}
    whole = {"model_state_dict": state, "config": config}
    write_atomic(path, lambda f: torch.save(whole, f))


def save_config(path: Path, config: Mapping[str, Any]) -> None:
    """Write a config, whole or not at all."""
    text = json.dumps(config, indent=2).encode()
    write_atomic(path, lambda f: f.write(text))


def read_config(path: Path) -> dict[str, Any]:
    """A config file; empty if there is none that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def config_in(path: Path) -> dict[str, Any]:
    """The config in a ``.config`` or beside the weights in a ``.pth``.

    Nothing in the file is executed; empty if there is none to be read.
    """
    return read_config(path) if path.suffix == ".config" else _inside(path)[0]


def _inside(path: Path) -> tuple[dict[str, Any], Any]:
    """The config and the weights in a checkpoint; empty if it is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about files that are not ours
            found = torch.load(
                path, map_location="cpu", weights_only=True, mmap=True
            )
        return dict(found["config"]), found["model_state_dict"]
    except Exception:  # of a file of others anything may come
        return {}, None


def run_of(path: Path) -> str | None:
    """The run that a file belongs to; None if this package did not make it.

    The state of a run, ``NAME.run``, is one of ours or not, and no more.
    """
    if path.suffix == ".run":
        try:
            load_checkpoint(path)
        except (OSError, ValueError):
            return None
        return "unnamed"
    inside = path.suffix != ".config"
    config, state = _inside(path) if inside else (read_config(path), None)
    ours = str(config.get(MARK, "")).startswith("dldna ")
    if ours and inside:
        ours = config.get(WEIGHTS) == digest(state)
    return str(config.get(RUN)) if ours else None


def files_of(folder: Path, name: str) -> list[Path]:
    """All that a network of this name has in a folder, or would have."""
    home = (folder / name).parent
    pattern = re.escape((folder / name).name)
    pattern += r"(\.config|\.run|(-epoch\d+)?\.pth)"
    if not home.is_dir():
        return []
    return sorted(f for f in home.iterdir() if re.fullmatch(pattern, f.name))


def others(folder: Path, name: str) -> list[Path]:
    """The files of a network of this name that are not ours."""
    return [f for f in files_of(folder, name) if run_of(f) is None]


def beside(folder: Path, name: str) -> Path:
    """Where a network of this name can be kept, and nothing is lost.

    The folder itself, or one inside it where the folder holds files of
    this name that are not ours; a warning says so.
    """
    found = others(folder, name)
    if not found:
        return folder
    home, number = folder / BESIDE, 1
    while others(home, name) or (home.exists() and not home.is_dir()):
        number += 1
        home = folder / f"{BESIDE}-{number}"
    names = ", ".join(f.name for f in found[:3])
    names += ", ..." if len(found) > 3 else ""
    checks.warn(
        f"{folder} holds files of {name} that this package did not make "
        f"({names}): they stay as they are, and this run is kept in {home}"
    )
    return home
