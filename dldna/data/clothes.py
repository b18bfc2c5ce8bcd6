"""The book's own images: a part of Fashion-MNIST inside the package."""

from pathlib import Path

import numpy as np
import torch

from dldna.data.dataset import Dataset
from dldna.data.fashion import CLASSES, fashion_mnist, scaled
from dldna.files import write_atomic

FILE = Path(__file__).parent / "clothes.npz"
TRAIN, TEST = 10_000, 2_000


def clothes() -> Dataset:
    """The first 10,000 + 2,000 images of Fashion-MNIST, always there.

    They lie inside the package (MIT licence of Zalando SE, beside the
    file), byte for byte as published, so that every reader of the book
    sees the same numbers.

    Returns:
        Images (1, 28, 28) in [-1, 1], ten classes.

    References:
        H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST: a novel image
        dataset for benchmarking machine learning algorithms, 2017,
        arXiv:1708.07747.
    """
    with np.load(FILE) as kept:
        part = {name: torch.from_numpy(kept[name]) for name in kept.files}
    return Dataset(
        name="clothes",
        train_x=scaled(part["train_x"].unsqueeze(1)),
        train_y=part["train_y"].long(),
        test_x=scaled(part["test_x"].unsqueeze(1)),
        test_y=part["test_y"].long(),
        classes=CLASSES,
        description="the first 10,000 and 2,000 images of Fashion-MNIST",
    )


def embed() -> Path:
    """Write the embedded file anew from the four published ones."""
    full = fashion_mnist()
    ends = {"train_x": TRAIN, "train_y": TRAIN, "test_x": TEST, "test_y": TEST}
    part = {}
    for name, n in ends.items():
        values = getattr(full, name)[:n]
        if name.endswith("x"):
            # The scale of `scaled`, undone exactly: all are whole numbers.
            values = ((values + 1) * 127.5).round().squeeze(1)
        part[name] = values.to(torch.uint8).numpy()
    return write_atomic(FILE, lambda f: np.savez_compressed(f, **part))
