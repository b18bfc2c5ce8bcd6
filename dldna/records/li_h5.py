"""Surfaces that the code of Li et al. wrote (its HDF5 files)."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from dldna import checks
from dldna.records.base import Provenance

NORMS = {"filter": "filter-normalized", "layer": "layer-normalized",
         "weight": "entry-normalized"}  # fmt: skip


def read_surface(path: str | Path, loss: str) -> dict[str, Any]:
    """The fields of a surface from such a file.

    Its arrays are declared (x, y), and filled in the order of a mesh whose
    rows are those of y: flat entry :math:`k` of an :math:`X\\times Y` file
    belongs to :math:`x_{k \\bmod X}` and :math:`y_{\\lfloor k/X\\rfloor}`.
    What is -1 was never calculated.

    Args:
        path: the file.
        loss: the data set with the losses.

    Returns:
        Arguments of :class:`~dldna.records.Surface`.

    Raises:
        ImportError: h5py is not installed (extra ``formats``).
        ValueError: no such file, or without what a surface needs.
    """
    h5py = checks.need("h5py", "formats", "an HDF5 surface")
    if not Path(path).is_file():
        raise FileNotFoundError(f"no file {path}")
    try:
        with h5py.File(path, "r") as file:
            found = {k: v[()] for k, v in file.items() if hasattr(v, "shape")}
    except OSError as error:
        raise ValueError(f"{path} is no HDF5 file: {error}") from error
    if "xcoordinates" not in found:
        raise ValueError(
            f"{path} has no xcoordinates, so it is no surface of the code of "
            f"Li et al.; it holds {', '.join(found) or 'nothing'}"
        )
    if "ycoordinates" not in found:
        raise ValueError(
            f"{path} was made along one direction (it has no ycoordinates): "
            "it is a line, not a surface"
        )
    x, y = (np.asarray(found[f"{a}coordinates"], float) for a in "xy")
    shape = len(x), len(y)
    grids = {
        k: np.asarray(v, float).reshape(shape[::-1]).T
        for k, v in found.items()
        if getattr(v, "shape", None) == shape
    }
    checks.choice("data set", loss, list(grids))
    values = {k: np.where(v == -1, np.nan, v) for k, v in grids.items()}
    losses = values.pop(loss)
    own = loss.removesuffix("_loss") + "_acc"
    metrics = {}
    for name, value in values.items():
        if name.endswith("_acc"):  # in percent there
            named = "accuracy" if name == own else f"{name}uracy"
            metrics[named] = value / 100
        else:
            metrics[name] = value
    source = found.get("dir_file", b"")
    source = source.decode() if isinstance(source, bytes) else str(source)
    zero = np.ix_(x == 0, y == 0)
    centre = losses[zero].ravel()
    return {
        "alphas": x,
        "betas": y,
        "losses": losses,
        "evaluated": grids[loss] != -1,
        "centre_loss": float(centre[0]) if len(centre) else float("nan"),
        "metrics": metrics,
        "directions": [_words(axis, source) for axis in "xy"],
        "provenance": Provenance(
            made="surface, by the code of Li et al.",
            loss=loss,
            threads=None,
            versions={},
            notes={"file": Path(path).name, "directions file": source},
        ),
    }


def _words(axis: str, source: str) -> str:
    """What the directions' file says of an axis in its name."""
    name = Path(source).name
    norm = re.search(rf"{axis}norm=([a-z]+)", name)
    said = [NORMS.get(norm[1], norm[1])] if norm else []
    if f"{axis}ignore=biasbn" in name:
        said.append("biases and batch norm still")
    return ", ".join([f"{axis}direction", *said])
