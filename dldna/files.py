"""Files: written whole or not at all, and read without running anything."""

import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

DAMAGED = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    TypeError,
    MemoryError,
    RuntimeError,  # a kind of compression that there is not, a password
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What ``np.load`` raises over a ``.npz`` file with wrong bytes."""


def write_atomic(path: str | Path, write: Callable[[BinaryIO], None]) -> Path:
    """Write a file so that a reader sees the old or the new, never half.

    The bytes go to a temporary file beside ``path``, are flushed to disk,
    and take its name in one step. If ``write`` fails or the process is
    killed, what stood at ``path`` before still stands.

    Args:
        path: the file to make; its folder is made if it is missing.
        write: called with the open binary file.

    Returns:
        ``path``.

    Raises:
        OSError: the folder cannot be written, or the disk is full; the
            message names the folder.

    Example:
        >>> import tempfile, pathlib
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> p = write_atomic(folder / "a", lambda f: f.write(b"one"))
        >>> p.read_bytes()
        b'one'
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(
            prefix=f".{path.name[:40]}.", suffix=".part", dir=path.parent
        )
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException as error:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        # Writers of others tell a full disk in words of their own.
        first = error if isinstance(error, OSError) else error.__context__
        if isinstance(first, OSError):
            raise OSError(
                first.errno,
                f"cannot write {path.name} in {path.parent} "
                f"({first.strerror or first}); nothing there was changed",
            ) from error
        raise
    return path


def cache_folder() -> Path:
    """The folder for downloaded data: ``$DLDNA_DATA``, or one per user.

    Without ``DLDNA_DATA`` it is ``$XDG_CACHE_HOME/dldna`` where that is
    set, else ``~/.cache/dldna``. The folder is not made here.

    Example:
        >>> cache_folder().is_absolute()
        True
    """
    chosen = os.environ.get("DLDNA_DATA")
    if chosen:
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "dldna"
