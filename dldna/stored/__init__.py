"""Results that took too long for a page, with how they were made.

A chapter computes a reduced version of such a result itself and shows the
stored one beside it, labelled as stored. Each is a JSON file that one
script of ``benchmarks/`` wrote; its ``provenance`` names the command, the
number of threads, the time it took and the versions.
"""

import dataclasses
import json
import platform
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from dldna import checks, files
from dldna.records import Provenance, Surface

__all__ = ["names", "processor", "store", "stored", "surface_of"]

_HERE = resources.files(__name__)


def names() -> list[str]:
    """The stored results.

    Example:
        >>> "init_table" in names()
        True
    """
    ends = (entry.name for entry in _HERE.iterdir())
    return sorted(e.removesuffix(".json") for e in ends if ".json" in e)


def stored(name: str) -> dict[str, Any]:
    """Read a stored result.

    Args:
        name: one of :func:`names`.

    Returns:
        The content, with a dict ``"provenance"``.

    Raises:
        ValueError: no result has this name.

    Example:
        >>> "command" in stored("init_table")["provenance"]["notes"]
        True
    """
    checks.choice("stored result", name, names())
    return json.loads((_HERE / f"{name}.json").read_text(encoding="utf-8"))


def store(
    name: str, content: dict[str, Any], command: str, **about: Any
) -> dict[str, Any]:
    """Write a result into the package's own folder, from a clone.

    Args:
        name: file name without ending.
        content: numbers, texts, arrays, and lists and dicts of these;
            numbers keep five digits.
        command: what makes it again.
        about: fields of :class:`~dldna.records.Provenance`.

    Returns:
        What was written.
    """
    notes = {"command": command, **about.pop("notes", {})}
    record = Provenance(**about, notes=notes)
    whole = {**_short(content), "provenance": vars(record)}
    text = json.dumps(whole, separators=(",", ":")) + "\n"
    with resources.as_file(_HERE / f"{name}.json") as path:
        files.write_atomic(path, lambda f: f.write(text.encode()))
    return whole


def processor() -> str:
    """The processor's name, where the system tells it.

    Example:
        >>> processor() != ""
        True
    """
    file = Path("/proc/cpuinfo")
    if file.exists():
        for line in file.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def surface_of(kept: dict[str, Any], **about: Any) -> Surface:
    """A surface from the numbers of a stored result.

    Args:
        kept: fields of :class:`~dldna.records.Surface`; others are left.
        about: fields of :class:`~dldna.records.Provenance`; the others
            are those of ``kept["provenance"]``, or not known.

    Returns:
        The record, with every point marked as evaluated.

    Example:
        >>> z = [[1.0, 2.0], [3.0, 4.0]]
        >>> surface_of({"alphas": [0, 1], "betas": [0, 1], "losses": z,
        ...             "centre_loss": 1.0}).losses[1].tolist()
        [3.0, 4.0]
    """
    kept = Surface.renamed(kept)
    names = {f.name for f in dataclasses.fields(Surface)}
    names -= {"provenance", "evaluated", "metrics"}
    found = {k: v for k, v in kept.items() if k in names}
    for name in found.keys() - {"centre_loss", "directions", "way"}:
        found[name] = np.asarray(found[name], dtype=float)
    done = np.ones(found["losses"].shape, dtype=bool)
    known = kept.get("provenance", {})
    if not isinstance(known, Provenance):
        known = Provenance.read(known)
    record = dataclasses.replace(known, **{"made": "stored surface"} | about)
    return Surface(**found, evaluated=done, provenance=record)


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _short(v) for k, v in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_short(v) for v in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value
