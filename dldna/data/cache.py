"""Decoded arrays, kept so that the next process need not decode again."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from dldna.data.download import writable
from dldna.files import DAMAGED, cache_folder, write_atomic

VERSION = 2
Arrays = dict[str, np.ndarray]


def cached(
    what: str, sources: Iterable[Path], make: Callable[[], Arrays]
) -> Arrays:
    """The arrays that ``make`` makes from files, from disk if they lie there.

    They are kept under a name that follows from the files' paths, sizes
    and times, so that changed files are decoded anew. Where the data
    folder cannot be written the user's own cache folder is taken; where
    that cannot either, nothing is kept.

    Args:
        what: a short name, part of the file's name.
        sources: the files that the arrays are made from.
        make: makes them.

    Returns:
        Arrays by name.
    """
    name = f"{what}-{_key(sources)}.npz"
    folders = [folder / "decoded" for folder in (cache_folder(), _own())]
    for folder in folders:
        arrays = _read(folder / name)
        if arrays is not None:
            return arrays
    arrays = make()
    for folder in folders:
        if not writable(folder):
            continue
        try:
            write_atomic(folder / name, lambda f: np.savez(f, **arrays))
        except OSError:  # a full disk: the arrays themselves are here
            continue
        break
    return arrays


def _own() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "dldna"


def _key(sources: Iterable[Path]) -> str:
    facts = []
    for path in sources:
        stat = path.stat()
        facts.append((str(path.absolute()), stat.st_size, stat.st_mtime_ns))
    text = json.dumps([VERSION, facts]).encode()
    return hashlib.sha256(text).hexdigest()[:16]


def _read(path: Path) -> Arrays | None:
    """The arrays, or None where the file is missing or damaged."""
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as f:
            found = {name: f[name] for name in f.files}
            plain = all(isinstance(v, np.ndarray) for v in found.values())
            return found if plain else None
    except DAMAGED:
        return None
