"""Loaders of the published chapter; data sets stand in :mod:`dldna.data`."""

import copy

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from dldna import checks, params
from dldna.data import Loader, flip_and_rotate, load

TRANSFORMS = {"CIFAR100": flip_and_rotate}
"""What is done to training images, and to no others."""


def get_device() -> str:
    """ "cuda" where there is one, else "cpu".

    Example:
        >>> get_device() in ("cuda", "cpu")
        True
    """
    return "cuda" if torch.cuda.is_available() else "cpu"


def usable(device: str | torch.device) -> torch.device:
    """The device asked for, or the CPU where there is no CUDA.

    Args:
        device: a string or a ``torch.device``.

    Returns:
        A device that can be used.

    Warns:
        UserWarning: CUDA was asked for and is not there.

    Example:
        >>> usable("cpu")
        device(type='cpu')
    """
    if str(device).startswith("cuda") and not torch.cuda.is_available():
        checks.warn("there is no CUDA device here: using the CPU")
        return torch.device("cpu")
    return params.usable_device(device)


def placed(model: nn.Module, device: str | torch.device) -> nn.Module:
    """The model itself if it is on the device, else a copy that is."""
    device = usable(device)
    home = next(model.parameters()).device
    same = home.type == device.type and device.index in (None, home.index)
    return model if same else copy.deepcopy(model).to(device)


class Images(Dataset):
    """Images one by one, as pairs of a tensor and a whole number.

    Args:
        x: (N, C, H, W) images.
        y: (N,) labels.
        classes: the classes' names.
        transform: ``f(x, generator) -> x`` on each image that is asked
            for; its numbers follow from torch's global random state.
    """

    def __init__(self, x: Tensor, y: Tensor, classes, transform=None):
        self.data, self.targets = x, y
        self.classes, self.transform = list(classes), transform

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image, label = self.data[index], int(self.targets[index])
        if self.transform is not None:
            seed = int(torch.randint(2**62, (), device="cpu"))
            generator = torch.Generator().manual_seed(seed)
            image = self.transform(image[None], generator)[0]
        return image, label


def get_dataset(dataset: str = "FashionMNIST") -> tuple[Images, Images]:
    """Training and test set, image by image.

    Args:
        dataset: a name that :func:`dldna.data.load` knows.

    Returns:
        A pair; images are float32 in [-1, 1]. Those of CIFAR-100's
        training set are mirrored and turned at random.

    Raises:
        ConnectionError: not on disk and not to be downloaded; the remedy
            is named.

    Example:
        >>> train, test = get_dataset("digits")
        >>> image, label = train[0]
        >>> image.shape, type(label)
        (torch.Size([1, 28, 28]), <class 'int'>)
    """
    found = load(dataset)
    change = TRANSFORMS.get(dataset)
    return (
        Images(found.train_x, found.train_y, found.classes, change),
        Images(found.test_x, found.test_y, found.classes),
    )


def get_data_loaders(
    dataset: str = "FashionMNIST", batch_size: int = 128, seed: int = 0
) -> tuple[Loader, Loader]:
    """Loaders of the training set, shuffled, and of the test set, in order.

    They are :class:`dldna.data.Loader`, which hold the images in memory.
    CIFAR-100's training images are mirrored and turned at random.

    Args:
        dataset: a name that :func:`dldna.data.load` knows.
        batch_size: samples in a batch.
        seed: of the order and of the augmentation.

    Returns:
        A pair.

    Raises:
        ConnectionError: not on disk and not to be downloaded; the remedy
            is named.

    Example:
        >>> train, test = get_data_loaders("digits", batch_size=64)
        >>> next(iter(train))[0].shape
        torch.Size([64, 1, 28, 28])
    """
    found = load(dataset)
    train = Loader(
        found.train_x,
        found.train_y,
        batch_size,
        shuffle=True,
        seed=seed,
        transform=TRANSFORMS.get(dataset),
    )
    return train, Loader(found.test_x, found.test_y, batch_size)
