"""The folder in which the queue keeps all it has: what is done and why.

=====================  ==============================================
``results/NAME.json``  what a finished job found
``part/NAME.pt``       the checkpoint of the job that is under way
``weights/NAME.pt``    a trained network's last weights
``path/NAME/``         points of its path, for ``dldna.landscape``
``speeds.json``        images a second, by network
``running``            the process number of a queue at work
``standing``           the same, while it is paused
``pause``              made by hand: the queue stops at its next step
``pause.PID``          the same, while process PID is alive
=====================  ==============================================
"""

import json
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from dldna.files import write_atomic
from dldna.landscape.scan.locking import locked

OLD = 12 * 3600  # seconds after which a mark of a process counts no more
POLL = 0.5  # seconds between two looks for the end of a pause


def default_folder() -> Path:
    """``$DLDNA_STUDIES``, or a folder in the user's cache."""
    chosen = os.environ.get("DLDNA_STUDIES")
    if chosen:
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "dldna" / "studies"


class State:
    """One queue's folder.

    Args:
        folder: made when something is first written to it.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def result(self, name: str) -> dict[str, Any] | None:
        """What a finished job found, or None."""
        path = self.folder / "results" / f"{name}.json"
        return json.loads(path.read_text()) if path.exists() else None

    def finish(self, name: str, found: dict[str, Any]) -> None:
        """Keep what a job found; its checkpoint is needed no more."""
        text = json.dumps(strict(found), indent=1).encode()
        path = self.folder / "results" / f"{name}.json"
        write_atomic(path, lambda file: file.write(text))
        self.part(name).unlink(missing_ok=True)

    def part(self, name: str) -> Path:
        """The checkpoint of a job that is under way."""
        return self.folder / "part" / f"{name}.pt"

    def weights(self, name: str) -> Path:
        """The last weights of a job."""
        return self.folder / "weights" / f"{name}.pt"

    def path(self, name: str) -> Path:
        """The folder of a job's path."""
        return self.folder / "path" / name

    def speeds(self) -> dict[str, float]:
        """Images a second of what has run here, by network and device."""
        path = self.folder / "speeds.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def note_speed(self, key: str, each: float) -> None:
        """Remember how fast a network trained."""
        text = json.dumps({**self.speeds(), key: round(each, 1)}, indent=1)
        path = self.folder / "speeds.json"
        write_atomic(path, lambda file: file.write(text.encode()))

    def paused(self) -> bool:
        """Whether someone asks the queue to stand still."""
        if (self.folder / "pause").exists():
            return True
        return any(self._holds(m) for m in self.folder.glob("pause.*"))

    def _holds(self, mark: Path) -> bool:
        """Whether who made a mark is alive; numbers are used again."""
        try:
            age = time.time() - mark.stat().st_mtime
        except FileNotFoundError:
            return False
        return age < OLD and alive(mark.suffix[1:])

    def wait(self, leaving: Callable[[], bool]) -> None:
        """Stand still while someone asks for it, or until we leave."""
        said = self.folder / "standing"
        said.write_text(str(os.getpid()))
        try:
            while self.paused() and not leaving():
                time.sleep(POLL)
        finally:
            said.unlink(missing_ok=True)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Say that a queue is at work here, and keep a second one out.

        Raises:
            RuntimeError: there is one.
        """
        with locked(self.folder, "training the studies"):
            said = self.folder / "running"
            said.write_text(str(os.getpid()))
            try:
                yield
            finally:
                said.unlink(missing_ok=True)


def strict(value: Any) -> Any:
    """The same in JSON's own types: arrays as lists, and None for NaN.

    Example:
        >>> strict({"a": np.array([1.0, np.inf]), 2: (float("nan"), "b")})
        {'a': [1.0, None], '2': [None, 'b']}
    """
    if isinstance(value, dict):
        return {str(k): strict(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [strict(v) for v in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return strict(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def alive(number: str) -> bool:
    """Whether a process of this number runs here."""
    try:
        os.kill(int(number), 0)
    except (ValueError, ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
