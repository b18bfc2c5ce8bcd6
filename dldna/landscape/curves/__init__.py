"""Between two minima: lines, curves, and the order of hidden units."""

from dldna.landscape.curves.along import barrier, walk
from dldna.landscape.curves.bezier import (
    KINDS,
    Curve,
    coefficients,
    plane_through,
    segment,
)
from dldna.landscape.curves.fitting import fit_curve
from dldna.landscape.curves.matching import (
    Matching,
    Spec,
    check_spec,
    match_weights,
    mlp_spec,
    permute,
)

__all__ = [
    "KINDS",
    "Curve",
    "Matching",
    "Spec",
    "barrier",
    "check_spec",
    "coefficients",
    "fit_curve",
    "match_weights",
    "mlp_spec",
    "permute",
    "plane_through",
    "segment",
    "walk",
]
