"""One writer for a folder at a time."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

BEHIND = 1 << 20  # the locked byte, behind the number of the process
_HELD: set[Path] = set()
_GATE = threading.Lock()


@contextmanager
def locked(folder: Path, doing: str) -> Iterator[None]:
    """Keep other processes out; a dead process keeps nobody out.

    The lock is the operating system's own, so it is gone with the process
    that held it, however that ended.

    Args:
        folder: made if it is missing; the lock is a file in it.
        doing: what the holder does there, for the message.

    Raises:
        RuntimeError: somebody else is writing to this folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = (folder / "lock").resolve()
    with _GATE:
        if path in _HELD:
            raise _busy(folder, str(os.getpid()), doing)
        handle = open(path, "a+")  # noqa: SIM115
        if not _seize(handle):
            handle.seek(0)
            who = handle.read().strip()
            handle.close()
            raise _busy(folder, who, doing)
        _HELD.add(path)
    try:
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield
    finally:
        with _GATE:
            handle.close()
            _HELD.discard(path)


def _busy(folder: Path, who: str, doing: str) -> RuntimeError:
    return RuntimeError(
        f"process {who or '(unknown)'} is {doing} in {folder}; "
        "wait for it, stop it, or choose another folder"
    )


def _seize(handle) -> bool:
    try:
        import fcntl

        lock = partial(fcntl.lockf, handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # Windows: of one byte, and nobody may read that
        import msvcrt

        os.lseek(handle.fileno(), BEHIND, os.SEEK_SET)
        lock = partial(msvcrt.locking, handle.fileno(), msvcrt.LK_NBLCK, 1)
    try:
        lock()
    except OSError:
        return False
    return True
