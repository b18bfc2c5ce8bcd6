"""Two parameters of a small network free, all others frozen: exact."""

from dldna.landscape.slice.slice import Slice
from dldna.landscape.slice.toy import toy_network, toy_regression

__all__ = ["Slice", "toy_network", "toy_regression"]
