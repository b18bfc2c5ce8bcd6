"""CIFAR-10 and CIFAR-100 from their archives."""

import io
import pickle
import tarfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from dldna.data.cache import cached
from dldna.data.dataset import Dataset
from dldna.data.download import check, fetch
from dldna.data.fashion import scaled
from dldna.files import cache_folder


class Source(NamedTuple):
    """Where a set comes from, and what is in its archive."""

    file: str
    md5: str
    inside: str
    train: tuple[str, ...]
    test: str
    meta: str
    labels: bytes
    names: bytes


MIRRORS = ("https://www.cs.toronto.edu/~kriz/",)
SOURCES = {
    "CIFAR10": Source(
        "cifar-10-python.tar.gz",
        "c58f30108f718f92721af3b95e74349a",
        "cifar-10-batches-py",
        tuple(f"data_batch_{k}" for k in range(1, 6)),
        "test_batch",
        "batches.meta",
        b"labels",
        b"label_names",
    ),
    "CIFAR100": Source(
        "cifar-100-python.tar.gz",
        "eb9058c3a382ffc7106e4002c42a8d85",
        "cifar-100-python",
        ("train",),
        "test",
        "meta",
        b"fine_labels",
        b"fine_label_names",
    ),
}


def cifar(name: str) -> Dataset:
    """50,000 + 10,000 colour photographs, 32x32, 10 or 100 classes.

    The archive lies in the data folder, where torchvision puts it too; it
    is downloaded once, its checksum is verified, and the decoded images
    are kept beside it. The archive's pickles are read by a reader that
    knows arrays and nothing else.

    Args:
        name: ``CIFAR10`` or ``CIFAR100``.

    Returns:
        Images (3, 32, 32) in [-1, 1].

    Raises:
        ConnectionError: not on disk and not to be downloaded.
        PermissionError: not on disk and the folder cannot be written.
        ValueError: the archive is damaged.

    References:
        A. Krizhevsky, Learning multiple layers of features from tiny
        images, technical report, University of Toronto, 2009.
    """
    source = SOURCES[name]
    path = cache_folder() / source.file
    if not path.is_file():
        fetch(path, [m + source.file for m in MIRRORS], source.md5)
    arrays = cached(name, [path], lambda: _read(path, source))
    return Dataset(
        name=name,
        train_x=scaled(torch.from_numpy(arrays["train_x"])),
        train_y=torch.from_numpy(arrays["train_y"]),
        test_x=scaled(torch.from_numpy(arrays["test_x"])),
        test_y=torch.from_numpy(arrays["test_y"]),
        classes=tuple(str(c) for c in arrays["classes"]),
        description=f"{name}, 32x32 colour photographs",
    )


def _read(path: Path, source: Source) -> dict[str, np.ndarray]:
    check(path, source.md5)
    parts = {}
    wanted = {
        f"{source.inside}/{name}": name
        for name in (*source.train, source.test, source.meta)
    }
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                if member.isfile() and member.name in wanted:
                    data = archive.extractfile(member).read()
                    parts[wanted[member.name]] = plain_pickle(data)
        train = [_images(parts[name], source) for name in source.train]
        test = _images(parts[source.test], source)
        names = [c.decode() for c in parts[source.meta][source.names]]
    except (KeyError, tarfile.TarError, pickle.UnpicklingError) as error:
        raise ValueError(f"{path} is not the archive expected: {error}") from (
            error
        )
    return {
        "train_x": np.concatenate([x for x, _ in train]),
        "train_y": np.concatenate([y for _, y in train]),
        "test_x": test[0],
        "test_y": test[1],
        "classes": np.array(names),
    }


def _images(part: dict[bytes, Any], source: Source) -> tuple[np.ndarray, ...]:
    x = part[b"data"].reshape(-1, 3, 32, 32)
    return x, np.array(part[source.labels], dtype=np.int64)


def plain_pickle(data: bytes) -> Any:
    """Read a pickle of arrays, lists, dicts, numbers and bytes.

    Args:
        data: the pickle.

    Returns:
        What it holds.

    Raises:
        pickle.UnpicklingError: it asks for anything else; nothing that it
            names has been called.

    Example:
        >>> plain_pickle(pickle.dumps({b"data": [1, 2]}))
        {b'data': [1, 2]}
        >>> plain_pickle(pickle.dumps(print))
        Traceback (most recent call last):
        ...
        _pickle.UnpicklingError: a data file must not ask for builtins.print
    """
    return _Plain(io.BytesIO(data), encoding="bytes").load()


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("numpy", "ndarray"):
            return np.ndarray
        if (module, name) == ("numpy", "dtype"):
            return np.dtype
        if module.endswith("core.multiarray") and name == "_reconstruct":
            return _reconstruct
        if (module, name) == ("_codecs", "encode"):
            return _encode
        raise pickle.UnpicklingError(
            f"a data file must not ask for {module}.{name}"
        )


def _reconstruct(kind: type, shape: tuple, code: bytes) -> np.ndarray:
    return np.ndarray((0,), dtype="b")


def _encode(text: str, encoding: str) -> bytes:
    return text.encode("latin1")
