"""The handwritten digits that come inside scikit-learn: always there."""

import torch
from torch import Tensor
from torch.nn import functional as F

from dldna.checks import need
from dldna.data.dataset import Dataset


def digits() -> Dataset:
    """1,797 real handwritten digits, 8x8, shown as 28x28.

    The images are enlarged bilinearly, so that every network for
    Fashion-MNIST fits. One fifth of each class is the test set; which
    fifth is fixed.

    Returns:
        1,438 + 359 images (1, 28, 28) in [-1, 1], ten classes.

    Raises:
        ImportError: scikit-learn is not installed.

    References:
        E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits,
        UCI Machine Learning Repository, 1998.
    """
    sets = need("sklearn.datasets", "data", "the embedded digits")
    raw = sets.load_digits()
    x = torch.tensor(raw.images, dtype=torch.float32, device="cpu")
    x = x.unsqueeze(1)
    x = F.interpolate(x, size=(28, 28), mode="bilinear") / 8 - 1
    y = torch.tensor(raw.target, dtype=torch.int64, device="cpu")
    train, test = split(y, fraction=0.2, seed=0)
    return Dataset(
        name="digits",
        train_x=x[train],
        train_y=y[train],
        test_x=x[test],
        test_y=y[test],
        classes=tuple(str(k) for k in range(10)),
        description="handwritten digits of scikit-learn, 8x8 shown as 28x28",
    )


def split(y: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Part indices into train and test, with the same share of each class.

    Args:
        y: (N,) labels.
        fraction: share of the test set.
        seed: which split.

    Returns:
        Two increasing index tensors that together are 0 to N - 1.

    Example:
        >>> train, test = split(torch.tensor([0, 0, 0, 0, 1, 1]), 0.5, 0)
        >>> len(train), len(test)
        (3, 3)
    """
    generator = torch.Generator().manual_seed(seed)
    is_test = torch.zeros(len(y), dtype=torch.bool, device="cpu")
    for label in y.unique():
        members = (y == label).nonzero().squeeze(1)
        order = torch.randperm(len(members), generator=generator, device="cpu")
        is_test[members[order[: round(fraction * len(members))]]] = True
    return (~is_test).nonzero().squeeze(1), is_test.nonzero().squeeze(1)
