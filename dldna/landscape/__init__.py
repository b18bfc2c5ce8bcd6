"""The loss landscape of any network: lines, planes, paths, curvature."""

from dldna.landscape import moved
from dldna.landscape.curvature import (
    NoSecondDerivative,
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
from dldna.landscape.lines import band, line
from dldna.landscape.paths.recorder import Recorder
from dldna.landscape.paths.trajectory import Shadow, Trajectory
from dldna.landscape.scan.truth import NotAFunction
from dldna.landscape.slice import Slice, toy_network, toy_regression
from dldna.landscape.space.checkpoints import read_checkpoint
from dldna.landscape.space.directions import DIRECTIONS, choose_directions
from dldna.landscape.space.normalise import (
    entry_normalise,
    filter_normalise,
    layer_normalise,
)
from dldna.landscape.space.plane import Direction, Plane, orthogonalise
from dldna.landscape.surfaces import Cost, cost, surface

__all__ = [
    "DIRECTIONS",
    "Cost",
    "Direction",
    "NoSecondDerivative",
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
    "read_checkpoint",
    "rescale_relu",
    "sam_sharpness",
    "spectral_density",
    "surface",
    "top_eigenpairs",
    "toy_network",
    "toy_regression",
    "trace",
]

moved.alias(__name__)
