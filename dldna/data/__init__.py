"""Data sets, held in memory as tensors, and the loader over them.

The one room that touches the network or a data set's files.
"""

from dldna._torchvision import torchvision
from dldna.data.augment import crop_and_flip, flip_and_rotate
from dldna.data.counting import NGram, bits_per_character, entropy, ngram
from dldna.data.dataset import Dataset
from dldna.data.loader import Loader
from dldna.data.sources import NAMES, book_dataset, load
from dldna.data.text import Text

__all__ = [
    "NAMES",
    "Dataset",
    "Loader",
    "NGram",
    "Text",
    "bits_per_character",
    "book_dataset",
    "crop_and_flip",
    "entropy",
    "flip_and_rotate",
    "load",
    "ngram",
    "torchvision",
]
