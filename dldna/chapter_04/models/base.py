"""An import path; the dense network stands in :mod:`dldna.models`."""

from dldna.models import SimpleNetwork

__all__ = ["SimpleNetwork"]
