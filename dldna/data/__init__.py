"""Data sets, held in memory as tensors, and the loader over them.

The one room that touches the network or a data set's files.
"""

from dldna._torchvision import torchvision
from dldna.data.augment import crop_and_flip, flip_and_rotate
from dldna.data.dataset import Dataset
from dldna.data.loader import Loader
from dldna.data.sources import NAMES, book_dataset, load

__all__ = [
    "NAMES",
    "Dataset",
    "Loader",
    "book_dataset",
    "crop_and_flip",
    "flip_and_rotate",
    "load",
    "torchvision",
]
