"""Data sets by name."""

from dldna.checks import choice
from dldna.data import fashion
from dldna.data.cifar import cifar
from dldna.data.dataset import Dataset
from dldna.data.digits import digits
from dldna.data.download import why_offline, writable
from dldna.data.folder import folder
from dldna.data.toys import TOYS, toy

NAMES = ("FashionMNIST", "CIFAR10", "CIFAR100", "digits", *TOYS)
FOLDER = "folder:"


def load(name: str, seed: int = 0) -> Dataset:
    """Load a data set by its name.

    ==================  ==============================================
    ``FashionMNIST``    60,000 + 10,000 images 1x28x28
    ``CIFAR10``         50,000 + 10,000 images 3x32x32, 10 classes
    ``CIFAR100``        50,000 + 10,000 images 3x32x32, 100 classes
    ``digits``          1,438 + 359 images 1x28x28; needs no network
    ``folder:PATH``     a reader's own images, see
                        :func:`dldna.data.folder.folder`
    ``moons``, ...      toy sets in the plane: also ``blobs``,
                        ``spirals``
    ==================  ==============================================

    Images are float32 in [-1, 1]. Downloads go to ``$DLDNA_DATA``, or to
    a folder in the user's cache.

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
        FileNotFoundError: there is no such folder of images.

    Example:
        >>> load("blobs", seed=1)
        blobs: 960 + 240 samples of shape (2,), 3 classes
        >>> load("digit")
        Traceback (most recent call last):
        ...
        ValueError: unknown data set 'digit': did you mean 'digits'? \
Known: CIFAR10, CIFAR100, FashionMNIST, blobs, digits, folder:PATH, \
moons, spirals
    """
    if isinstance(name, str) and name.startswith(FOLDER):
        return folder(name.removeprefix(FOLDER))
    if name not in NAMES:
        choice("data set", name, [*NAMES, "folder:PATH"])
    if name in TOYS:
        return toy(name, seed)
    if name == "digits":
        return digits()
    if name == "FashionMNIST":
        return fashion.fashion_mnist()
    return cifar(name)


def book_dataset() -> Dataset:
    """The data of the book's chapters, and a printed line that says which.

    Fashion-MNIST where it is on disk or can be downloaded, else the
    embedded digits. Whether the server answers is asked once per
    process, for a few seconds at most.

    Returns:
        Images (1, 28, 28), ten classes, in either case.

    Raises:
        ValueError: Fashion-MNIST is on disk but damaged.
    """
    reason = ""
    if fashion.missing():
        reason = why_offline(fashion.MIRRORS[0])
        if not writable(fashion.folder()):
            reason = f"{fashion.folder()} cannot be written"
    if not reason:
        try:
            data = fashion.fashion_mnist()
            print(f"data: {data.name} ({data.description})")
            return data
        except (ConnectionError, ImportError) as error:
            reason = str(error)
    data = digits()
    print(
        f"data: {data.name} ({data.description}), because Fashion-MNIST is "
        "not on disk and could not be downloaded"
    )
    return data
