"""What the files of a series of checkpoints give away."""

import zlib
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dldna import params
from dldna.guard import copy_of
from dldna.landscape.paths.weight_space import Embedding, pca
from dldna.landscape.space.checkpoints import load_into, read_checkpoint
from dldna.landscape.space.names import natural_key
from dldna.model_page.findings import Series
from dldna.objective import Objective
from dldna.progress import track
from dldna.training import evaluate

MOST_BYTES = 2**31  # of weights in memory at once


def read_series(
    files: Sequence[Path],
    f: Objective,
    most: int = 1000,
    key: str | None = None,
) -> dict[str, Any]:
    """Losses, duplicates, order and clusters of checkpoints.

    Args:
        files: at least three.
        f: the objective whose data they are evaluated on, in eval mode.
        most: read at most so many, evenly spaced.
        key: what the files keep the weights under.

    Returns:
        The findings' fields ``series`` and ``embedding``.

    Raises:
        ValueError: fewer than three files, or one that does not fit.
    """
    if len(files) < 3:
        raise ValueError(
            f"{len(files)} checkpoints are no series: give at least 3"
        )
    ordered = sorted(files, key=natural_key)
    own = params.of(f.model)
    size = sum(p.numel() * p.element_size() for p in own.values())
    most = max(3, min(most, MOST_BYTES // max(size, 1)))
    kept = ordered
    if len(ordered) > most:
        at = np.linspace(0, len(ordered) - 1, most).round().astype(int)
        kept = [ordered[i] for i in at]
    twin, states, measured = copy_of(f.model), [], []
    for file in track(kept, "checkpoints"):
        load_into(twin, read_checkpoint(file, key), file)
        states.append(params.copy(params.of(twin)))
        measured.append(evaluate(twin, f.given, f.loss_fn))
    labels = [file.name for file in kept]
    sums = [checksum(state.values()) for state in states]
    mine = checksum(own.values())
    embedding = pca(states, labels)
    losses, accuracies = np.array(measured, dtype=np.float64).T
    found = Series(
        labels=labels,
        losses=losses,
        accuracies=accuracies,
        duplicates=[
            [i, j]
            for i, j in combinations(range(len(kept)), 2)
            if sums[i] == sums[j] and _equal(states[i], states[j])
        ],
        lengths=_lengths(kept, embedding),
        model_at=[i for i, c in enumerate(sums) if c == mine],
        skipped=len(ordered) - len(kept),
        provenance=f.provenance("series of checkpoints", None),
    )
    return {"series": found, "embedding": embedding}


def checksum(tensors: Iterable[Tensor]) -> int:
    """CRC-32 of the bytes of tensors, one after the other.

    Example:
        >>> a = torch.ones(2)
        >>> checksum([a]) == checksum([a.clone()]), checksum([2 * a]) == \
checksum([a])
        (True, False)
    """
    total = 0
    for t in tensors:
        raw = t.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        total = zlib.crc32(raw.numpy().tobytes(), total)
    return total


def _equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(v, b[k]) for k, v in a.items())


def _lengths(files: list[Path], embedding: Embedding) -> dict[str, float]:
    """Length of the way through the files, in each order that is known."""
    n = len(files)
    rows = {int(i): r for r, i in enumerate(embedding.order)}
    orders = {
        "number": list(range(n)),
        "alphabet": sorted(range(n), key=lambda i: files[i].name),
    }
    times = [file.stat().st_mtime_ns for file in files]
    if len(set(times)) == n:
        orders["time"] = sorted(range(n), key=lambda i: times[i])
    d = embedding.distances

    def length(order: list[int]) -> float:
        at = [rows[i] for i in order]
        return float(d[at[:-1], at[1:]].sum())

    return {name: length(order) for name, order in orders.items()}
