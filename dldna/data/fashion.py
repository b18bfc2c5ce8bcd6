"""Fashion-MNIST from its four files, decoded at once."""

import gzip
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dldna.data.dataset import Dataset
from dldna.data.download import check, fetch
from dldna.files import cache_folder

MIRRORS = ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",)
MD5 = {
    "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
}
SHAPES = {
    "train-images-idx3-ubyte": (60000, 28, 28),
    "train-labels-idx1-ubyte": (60000,),
    "t10k-images-idx3-ubyte": (10000, 28, 28),
    "t10k-labels-idx1-ubyte": (10000,),
}
CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def folder() -> Path:
    """Where the files lie: the layout of torchvision."""
    return cache_folder() / "FashionMNIST" / "raw"


def missing() -> list[str]:
    """Which of the four files are not on disk."""
    return [name for name in MD5 if _find(name) is None]


def fashion_mnist() -> Dataset:
    """60,000 + 10,000 grey images of clothes, 28x28, ten classes.

    Taken from ``FashionMNIST/raw`` in the data folder, where torchvision
    puts it too; what is missing is downloaded once. Checksums of the
    compressed files are verified each time.

    Returns:
        Images (1, 28, 28) in [-1, 1].

    Raises:
        ConnectionError: not on disk and not to be downloaded.
        PermissionError: not on disk and the folder cannot be written.
        ValueError: a file is damaged.

    References:
        H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST: a novel image
        dataset for benchmarking machine learning algorithms, 2017,
        arXiv:1708.07747.
    """
    for name in missing():
        file = f"{name}.gz"
        fetch(folder() / file, [m + file for m in MIRRORS], MD5[name])
    part = {name: _read(name) for name in MD5}
    return Dataset(
        name="FashionMNIST",
        train_x=scaled(part["train-images-idx3-ubyte"].unsqueeze(1)),
        train_y=part["train-labels-idx1-ubyte"].long(),
        test_x=scaled(part["t10k-images-idx3-ubyte"].unsqueeze(1)),
        test_y=part["t10k-labels-idx1-ubyte"].long(),
        classes=CLASSES,
        description="Fashion-MNIST, 28x28 grey images of clothes",
    )


def scaled(pixels: Tensor) -> Tensor:
    """Bytes 0..255 to float32 in [-1, 1].

    The same operations in the same order as ``ToTensor`` and
    ``Normalize(0.5, 0.5)``, so that the numbers are the same too.

    Example:
        >>> scaled(torch.tensor([0, 255], dtype=torch.uint8))
        tensor([-1.,  1.])
    """
    return pixels.float().div_(255).sub_(0.5).div_(0.5)


def _find(name: str) -> Path | None:
    for path in (folder() / f"{name}.gz", folder() / name):
        if path.is_file():
            return path
    return None


def _read(name: str) -> Tensor:
    path = _find(name)
    shape = SHAPES[name]
    header = 4 + 4 * len(shape)
    size = header + int(np.prod(shape))
    if path.suffix == ".gz":
        check(path, MD5[name])
        try:
            with gzip.open(path) as file:
                data = file.read(size + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path} is damaged: {error}") from error
    else:
        data = path.read_bytes()
    head = np.frombuffer(data[:header], dtype=">i4")
    if len(data) != size or tuple(head[1:]) != shape:
        raise ValueError(
            f"{path} is damaged: {len(data)} bytes instead of {size}; "
            "delete this file and load the data set again"
        )
    pixels = np.frombuffer(data, dtype=np.uint8, offset=header)
    return torch.from_numpy(pixels.reshape(shape).copy())
