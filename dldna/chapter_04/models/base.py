"""The dense network; it stands in :mod:`dldna.models`."""

from dldna.models import SimpleNetwork

__all__ = ["SimpleNetwork"]
