"""Curvature: eigenpairs, densities, traces and sharpness of a loss."""

from dldna.landscape.curvature.eigenpairs import (
    NotConvergedWarning,
    top_eigenpairs,
)
from dldna.landscape.curvature.operator import Operator

__all__ = ["NotConvergedWarning", "Operator", "top_eigenpairs"]
