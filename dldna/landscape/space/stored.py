"""Directions that took long are kept, so that a resumed job has the same."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from dldna import params
from dldna.files import DAMAGED, write_atomic
from dldna.landscape.scan.fingerprint import (
    digest,
    loss_identity,
    model_identity,
)
from dldna.landscape.space.directions import Given, choose_directions
from dldna.landscape.space.plane import Direction
from dldna.landscape.space.points import from_flat, point_of

SLOW = ("hessian", "pca")


def remembered(
    out: str | Path | None, chosen: Any, given: Given, orthogonal: bool
) -> list[Direction]:
    """Two directions; slow ones from the folder, if they are the same.

    Args:
        out: the folder, or None.
        chosen: as in :func:`choose_directions`.
        given: as there.
        orthogonal: as there.

    Returns:
        Two directions.
    """
    words = [chosen] if isinstance(chosen, str) else chosen
    slow = isinstance(words, (list, tuple)) and any(
        isinstance(w, str) and w in SLOW for w in words
    )
    plain = slow and all(isinstance(w, str) for w in words)
    if out is None or not plain:
        return choose_directions(chosen, given, 2, orthogonal)
    run = given.trajectory
    key = digest(
        list(words),
        orthogonal,
        given.origin,
        dict(given.model.named_buffers()),
        model_identity(given.model),
        given.data,
        loss_identity(given.loss_fn),
        [given.seed, given.vectors, given.tol, given.pairs, given.names],
        None if run is None else run.identity,
        [point_of(other, given.origin) for other in given.others],
    )
    file = Path(out) / "directions.npz"
    found = _read(file, key, given)
    if found is None:
        found = choose_directions(chosen, given, 2, orthogonal)
        _write(file, key, found, given.notes)
    return found


def _write(file: Path, key: str, found: list[Direction], notes: dict) -> None:
    words = {
        "key": key,
        "names": [d.name for d in found],
        "done": [d.done for d in found],
        "notes": notes,
    }
    flat = {
        f"d{i}": params.flatten(d.vector).cpu().numpy()
        for i, d in enumerate(found)
    }
    text = np.frombuffer(json.dumps(words).encode(), dtype=np.uint8)
    write_atomic(file, lambda f: np.savez(f, words=text, **flat))


def _read(file: Path, key: str, given: Given) -> list[Direction] | None:
    if not file.exists():
        return None
    try:
        with open(file, "rb") as handle:
            stored = np.load(handle, allow_pickle=False)
            words = json.loads(stored["words"].tobytes().decode())
            if words["key"] != key:
                return None
            found = [
                Direction(from_flat(stored[f"d{i}"], given.origin), name, done)
                for i, (name, done) in enumerate(
                    zip(words["names"], words["done"], strict=True)
                )
            ]
    except DAMAGED:
        return None
    given.notes.update(words["notes"])
    return found
