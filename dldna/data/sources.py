"""Data sets by name."""

import os
from pathlib import Path

from dldna.checks import choice
from dldna.data.cifar import cifar
from dldna.data.clothes import clothes
from dldna.data.dataset import Dataset
from dldna.data.digits import digits
from dldna.data.fashion import fashion_mnist
from dldna.data.folder import folder
from dldna.data.plays import plays
from dldna.data.text import text_file
from dldna.data.toys import TOYS, toy

NAMES = (
    "clothes", "plays", "FashionMNIST", "CIFAR10", "CIFAR100", "digits", *TOYS
)  # fmt: skip
FOLDER = "folder:"


def load(name: str, seed: int = 0) -> Dataset:
    """Load a data set by its name.

    ==================  ==============================================
    ``clothes``         10,000 + 2,000 images 1x28x28, the first of
                        Fashion-MNIST; inside the package
    ``plays``           Hamlet, King Lear, Macbeth and Othello as
                        characters; inside the package
    ``FashionMNIST``    60,000 + 10,000 images 1x28x28
    ``CIFAR10``         50,000 + 10,000 images 3x32x32, 10 classes
    ``CIFAR100``        50,000 + 10,000 images 3x32x32, 100 classes
    ``digits``          1,438 + 359 images 1x28x28; needs scikit-learn
    ``folder:PATH``     a reader's own images, see
                        :func:`dldna.data.folder.folder`; or a text
                        file in UTF-8
    ``moons``, ...      toy sets in the plane: also ``blobs``,
                        ``spirals``
    ==================  ==============================================

    Images are float32 in [-1, 1]; a text is a :class:`dldna.data.Text`,
    windows of characters, parted by place. Downloads go to
    ``$DLDNA_DATA``, or to a folder in the user's cache.

    Args:
        name: one of the above.
        seed: of the toy sets; other sets are what they are.

    Returns:
        The data set, in memory.

    Raises:
        ValueError: unknown name (the message suggests the nearest), or a
            damaged file.
        ConnectionError: it cannot be downloaded; the remedy is named.
        PermissionError: the folder for downloads cannot be written.
        FileNotFoundError: there is no such folder or file.

    Example:
        >>> load("blobs", seed=1)
        blobs: 960 + 240 samples of shape (2,), 3 classes
        >>> load("digit")
        Traceback (most recent call last):
        ...
        ValueError: unknown data set 'digit': did you mean 'digits'? \
Known: CIFAR10, CIFAR100, FashionMNIST, blobs, clothes, digits, \
folder:PATH, moons, plays, spirals
    """
    if isinstance(name, str) and name.startswith(FOLDER):
        path = name.removeprefix(FOLDER)
        is_file = Path(path).expanduser().is_file()
        return text_file(path) if is_file else folder(path)
    if name not in NAMES:
        choice("data set", name, [*NAMES, "folder:PATH"])
    if name in TOYS:
        return toy(name, seed)
    if name == "clothes":
        return clothes()
    if name == "plays":
        return plays()
    if name == "digits":
        return digits()
    if name == "FashionMNIST":
        return fashion_mnist()
    return cifar(name)


def book_dataset() -> Dataset:
    """The data of the book's chapters, and a printed line that says which.

    The embedded clothes, for every reader: what a page says does not
    depend on what is on disk. ``DLDNA_SCALE=full`` takes all of
    Fashion-MNIST instead.

    Returns:
        Images (1, 28, 28), ten classes.

    Raises:
        ConnectionError, ValueError: as :func:`load`, at full scale.

    Example:
        >>> book_dataset()  # doctest: +SKIP
        data: clothes (the first 10,000 and 2,000 images of Fashion-MNIST)
        clothes: 10000 + 2000 samples of shape (1, 28, 28), 10 classes
    """
    full = os.environ.get("DLDNA_SCALE") == "full"
    data = load("FashionMNIST" if full else "clothes")
    print(f"data: {data.name} ({data.description})")
    return data
