"""What a data set is: four tensors, the names of the classes, a word."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from torch import Tensor

from dldna.checks import count
from dldna.data.loader import Loader


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A data set for classification, in memory.

    Args:
        name: as it was asked for.
        train_x: (N, ...) float32 inputs; images are (N, C, H, W) in
            [-1, 1].
        train_y: (N,) int64 labels, 0 to ``len(classes) - 1``.
        test_x: (M, ...) float32 inputs.
        test_y: (M,) int64 labels.
        classes: the classes' names.
        description: what it is and where it came from, one line.

    Raises:
        ValueError: a part is empty, lengths differ, or a label is
            outside the classes.

    Example:
        >>> from dldna.data import load
        >>> load("moons")
        moons: 960 + 240 samples of shape (2,), 2 classes
    """

    name: str
    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
    classes: tuple[str, ...]
    description: str = ""

    PARTS: ClassVar = ("train", "test")

    def __post_init__(self):
        for part in self.PARTS:
            x, y = getattr(self, f"{part}_x"), getattr(self, f"{part}_y")
            if len(x) == 0:
                raise ValueError(f"{self.name}: the {part} set is empty")
            if len(x) != len(y):
                raise ValueError(
                    f"{self.name}: {len(x)} {part} samples, {len(y)} labels"
                )
            low, high = int(y.min()), int(y.max())
            if low < 0 or high >= len(self.classes):
                bad = low if low < 0 else high
                raise ValueError(
                    f"{self.name}: {part} label {bad} is outside the "
                    f"{len(self.classes)} classes (0 to "
                    f"{len(self.classes) - 1})"
                )

    def __repr__(self) -> str:
        return (
            f"{self.name}: {len(self.train_x)} + {len(self.test_x)} samples "
            f"of shape {self.shape}, {len(self.classes)} classes"
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return tuple(self.train_x.shape[1:])

    def take(self, n: int, seed: int = 0, n_test: int | None = None) -> Self:
        """A random subset.

        Args:
            n: number of training samples.
            seed: which subset.
            n_test: number of test samples; all if not given.

        Returns:
            A new data set; this one stays as it is.

        Raises:
            ValueError: there are not that many.

        Example:
            >>> from dldna.data import load
            >>> load("moons").take(32)
            moons: 32 + 240 samples of shape (2,), 2 classes
        """
        train = pick("n", n, len(self.train_x), seed)
        test = slice(None)
        if n_test is not None:
            test = pick("n_test", n_test, len(self.test_x), seed + 1)
        return replace(
            self,
            train_x=self.train_x[train],
            train_y=self.train_y[train],
            test_x=self.test_x[test],
            test_y=self.test_y[test],
        )

    def hold_out(self, n: int, seed: int = 0) -> Self:
        """Training samples in the place of the test set, to choose by.

        A learning rate is chosen by these, and what is reported comes
        from the true test set, which the result does not hold. The same
        call gives the same samples, of all classes alike: each class
        gives its share of n.

        Args:
            n: number of samples held out of the training set.
            seed: which ones.

        Returns:
            A new data set: the other training samples, and as its test
            set those held out.

        Raises:
            ValueError: the training set has no more than n samples.

        Example:
            >>> from dldna.data import load
            >>> load("moons").hold_out(160)
            moons: 800 + 160 samples of shape (2,), 2 classes
        """
        if count("n", n) >= len(self.train_x):
            raise ValueError(
                f"n={n} of {len(self.train_x)} training samples leaves "
                "nothing to train on"
            )
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(
            len(self.train_y), generator=generator, device="cpu"
        )
        # Places within each class, so that every class gives its share.
        place = torch.empty(len(order), device="cpu")
        for label in self.train_y.unique():
            mine = order[self.train_y[order] == label]
            place[mine] = torch.arange(len(mine), device="cpu") / len(mine)
        out = torch.zeros(len(order), dtype=torch.bool, device="cpu")
        out[order[place[order].argsort(stable=True)[:n]]] = True
        return replace(
            self,
            train_x=self.train_x[~out],
            train_y=self.train_y[~out],
            test_x=self.train_x[out],
            test_y=self.train_y[out],
        )

    def loaders(
        self, batch_size: int = 128, seed: int = 0
    ) -> tuple[Loader, Loader]:
        """Loaders of the training set, shuffled, and of the test set.

        Example:
            >>> from dldna.data import load
            >>> train, test = load("moons").loaders(batch_size=100)
            >>> len(train), len(test)
            (10, 1)
        """
        train = Loader(self.train_x, self.train_y, batch_size, True, seed)
        test = Loader(self.test_x, self.test_y, max(batch_size, 512))
        return train, test


def pick(name: str, n: int, available: int, seed: int) -> Tensor:
    """(n,) indices, drawn without repeats."""
    if count(name, n) > available:
        raise ValueError(f"{name}={n}, but there are {available} samples")
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(available, generator=generator, device="cpu")[:n]
