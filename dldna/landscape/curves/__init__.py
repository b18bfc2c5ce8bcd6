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
from dldna.landscape.curves.matching import Matching, match_weights
from dldna.landscape.curves.permuting import Spec, permute
from dldna.landscape.curves.specs import check_spec, mlp_spec, spec_of

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
    "spec_of",
    "walk",
]
