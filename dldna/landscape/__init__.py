"""The loss landscape of any network: lines, planes, paths, curvature."""

from dldna.landscape.curvature import (
    NotConvergedWarning,
    Operator,
    top_eigenpairs,
)
from dldna.landscape.directions import DIRECTIONS, choose_directions
from dldna.landscape.line import band, line
from dldna.landscape.normalise import filter_normalise, layer_normalise
from dldna.landscape.plane import Direction, Plane, orthogonalise
from dldna.landscape.probe import NotAFunction
from dldna.landscape.surface import surface

__all__ = [
    "DIRECTIONS",
    "Direction",
    "NotAFunction",
    "NotConvergedWarning",
    "Operator",
    "Plane",
    "band",
    "choose_directions",
    "filter_normalise",
    "layer_normalise",
    "line",
    "orthogonalise",
    "surface",
    "top_eigenpairs",
]
