"""Curvature: eigenpairs, densities, traces and sharpness of a loss."""

from dldna.landscape.curvature.blocks import gradient_share, layer_spectra
from dldna.landscape.curvature.culprits import NoSecondDerivative
from dldna.landscape.curvature.density import spectral_density
from dldna.landscape.curvature.eigenpairs import (
    NotConvergedWarning,
    top_eigenpairs,
)
from dldna.landscape.curvature.operator import Operator
from dldna.landscape.curvature.sharpness import (
    keskar_sharpness,
    rescale_relu,
    sam_sharpness,
)
from dldna.landscape.curvature.trace import diagonal, trace

__all__ = [
    "NoSecondDerivative",
    "NotConvergedWarning",
    "Operator",
    "diagonal",
    "gradient_share",
    "keskar_sharpness",
    "layer_spectra",
    "rescale_relu",
    "sam_sharpness",
    "spectral_density",
    "top_eigenpairs",
    "trace",
]
