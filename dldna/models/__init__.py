"""Networks to look at, each with its number of parameters stated."""

from dldna.models.simple import SimpleNetwork
from dldna.models.zoo import MODELS, make

__all__ = ["MODELS", "SimpleNetwork", "make"]
