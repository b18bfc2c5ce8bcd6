"""Two parameters of a small network free, all others frozen: exact."""

from dldna.landscape.two_weights.part import Slice
from dldna.landscape.two_weights.toy import toy_network, toy_regression

__all__ = ["Slice", "toy_network", "toy_regression"]
