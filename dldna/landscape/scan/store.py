"""Finished tiles on disk: whose they are, and who is writing."""

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dldna import batches as batching
from dldna import checks
from dldna.files import DAMAGED, write_atomic
from dldna.landscape.scan.locking import locked

FORMAT = 1


class Store:
    """A folder with a plan and the tiles finished so far.

    Every file is written whole or not at all, so the folder can be read
    after a kill at any moment.

    Args:
        folder: where; made if it is missing.
        what: what is kept there, a noun phrase.

    Raises:
        NotADirectoryError: there is a file.
        ValueError: an empty path.

    Example:
        >>> import tempfile
        >>> store = Store(tempfile.mkdtemp())
        >>> store.agree({"model": "ab"}, {"tile": 4})
        {'tile': 4}
        >>> store.put(3, {"loss": np.array([1.0, np.nan])})
        >>> list(store.tiles()), store.get(3)["loss"]
        ([3], array([ 1., nan]))
    """

    def __init__(self, folder: str | Path, what: str = "a surface"):
        self.what = what
        self.folder = checks.folder("out", folder)
        self.plan_file = self.folder / "plan.json"

    def plan(self) -> dict[str, Any] | None:
        """What was agreed before, or None in a fresh folder."""
        if not self.plan_file.exists():
            return None
        try:
            found = json.loads(self.plan_file.read_text())
            if found["format"] != FORMAT:
                raise ValueError(f"format {found['format']}")
            return _sound(found)["plan"] | {}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{self.plan_file} is damaged or from another version "
                f"({error}); choose a new folder, or delete this one"
            ) from error

    def agree(
        self, identity: Mapping[str, str], plan: dict[str, Any]
    ) -> dict[str, Any]:
        """Start a folder, or check that it belongs to the same job.

        Args:
            identity: a digest for each thing that decides the numbers.
            plan: how the work is cut, if it is not cut yet.

        Returns:
            The plan that holds: the folder's, where there is one.

        Raises:
            ValueError: the folder belongs to another job; the message
                names what differs.
        """
        before = self.plan()
        if before is None:
            text = {
                "format": FORMAT,
                "identity": dict(identity),
                "plan": plan,
            }
            data = json.dumps(text, indent=1).encode()
            write_atomic(self.plan_file, lambda f: f.write(data))
            return plan
        known = json.loads(self.plan_file.read_text())["identity"]
        other = [k for k in identity if known.get(k) != identity[k]]
        if other:
            raise ValueError(
                f"{self.folder} holds {self.what} with other "
                f"{' and '.join(other)}; the two cannot be mixed. Choose "
                "another folder, or delete this one to start afresh."
                + (
                    " Data that come in another order each time (a "
                    "shuffling loader, augmentation) are other data."
                    if "data" in other
                    else ""
                )
            )
        return before

    def put(self, number: int, values: Mapping[str, np.ndarray]) -> None:
        """Keep a finished tile."""
        write_atomic(self._tile(number), lambda f: np.savez(f, **dict(values)))

    def get(self, number: int) -> dict[str, np.ndarray] | None:
        """A finished tile; None (and a warning) if it is damaged."""
        try:
            with open(self._tile(number), "rb") as file:
                tile = np.load(file, allow_pickle=False)
                found = {k: tile[k] for k in tile.files}
                if all(isinstance(v, np.ndarray) for v in found.values()):
                    return found
                raise ValueError("not an array")
        except DAMAGED:
            warnings.warn(
                f"{self._tile(number)} is damaged; it is computed again",
                stacklevel=2,
            )
            return None

    def has(self, number: int) -> bool:
        """Whether a tile was finished."""
        return self._tile(number).exists()

    def tiles(self) -> Iterator[int]:
        """Numbers of the finished tiles, in order."""
        for path in sorted((self.folder / "tiles").glob("*.npz")):
            if path.stem.isdigit():
                yield int(path.stem)

    def _tile(self, number: int) -> Path:
        return self.folder / "tiles" / f"{number:06d}.npz"

    def lock(self) -> AbstractContextManager[None]:
        """Keep other processes out; a dead process keeps nobody out.

        Raises:
            RuntimeError: on entering, if somebody else is writing here.
        """
        return locked(self.folder, f"computing {self.what}")


def _sound(found: dict[str, Any]) -> dict[str, Any]:
    """A plan as it is written here, and no other.

    Raises:
        ValueError: a field is missing, or is none of what it can be.
    """
    identity, plan = found["identity"], found["plan"]
    sound = (
        isinstance(identity, dict)
        and all(isinstance(v, str) for v in identity.values())
        and isinstance(plan, dict)
        and all(
            isinstance(plan[k], int) and plan[k] >= 1
            for k in ("tile", "samples")
        )
        and plan["order"] in ("rows", "levels")
        and isinstance(plan["way"], str)
    )
    if not sound:
        raise ValueError("a field of the plan makes no sense")
    return found


def thin(held: list[Any], samples: int, whole: bool = False) -> list[Any]:
    """Evenly spaced samples of batches, so that no class is left out.

    Args:
        held: batches in memory.
        samples: how many to keep.
        whole: keep or leave batches as a whole: the most, evenly spaced,
            that have no more samples than that, or one. So it is where
            axis 0 of a batch is not the samples.

    Example:
        >>> [b] = thin([torch.arange(10)], 4)
        >>> b
        tensor([0, 2, 5, 7])
    """
    if whole or not all(map(batching.sliced, held)):
        for many in range(len(held), 0, -1):
            found = [held[k * len(held) // many] for k in range(many)]
            if sum(map(batching.size, found)) <= samples:
                break
        return found
    total = sum(batching.size(b) for b in held)
    wanted = np.arange(samples) * total // samples
    found, start = [], 0
    for batch in held:
        size = batching.size(batch)
        mine = wanted[(wanted >= start) & (wanted < start + size)] - start
        if len(mine):
            found.append(
                batching.select(batch, torch.as_tensor(mine, device="cpu"))
            )
        start += size
    return found
