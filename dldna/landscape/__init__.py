"""The loss landscape of any network: lines, planes, paths, curvature."""

from dldna.landscape.curvature import (
    NotConvergedWarning,
    Operator,
    diagonal,
    gradient_share,
    keskar_sharpness,
    layer_spectra,
    rescale_relu,
    sam_sharpness,
    spectral_density,
    top_eigenpairs,
    trace,
)
from dldna.landscape.directions import DIRECTIONS, choose_directions
from dldna.landscape.lines import band, line
from dldna.landscape.normalise import (
    entry_normalise,
    filter_normalise,
    layer_normalise,
)
from dldna.landscape.plane import Direction, Plane, orthogonalise
from dldna.landscape.probe import NotAFunction
from dldna.landscape.recorder import Recorder
from dldna.landscape.surfaces import Cost, cost, surface
from dldna.landscape.trajectory import Shadow, Trajectory
from dldna.landscape.two_weights import Slice, toy_network, toy_regression

__all__ = [
    "DIRECTIONS",
    "Cost",
    "Direction",
    "NotAFunction",
    "NotConvergedWarning",
    "Operator",
    "Plane",
    "Recorder",
    "Shadow",
    "Slice",
    "Trajectory",
    "band",
    "choose_directions",
    "cost",
    "diagonal",
    "entry_normalise",
    "filter_normalise",
    "gradient_share",
    "keskar_sharpness",
    "layer_normalise",
    "layer_spectra",
    "line",
    "orthogonalise",
    "rescale_relu",
    "sam_sharpness",
    "spectral_density",
    "surface",
    "top_eigenpairs",
    "toy_network",
    "toy_regression",
    "trace",
]
