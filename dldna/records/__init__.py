"""What travels between rooms: frozen results that know where they came from.

A record holds arrays, plain numbers and text, and a :class:`Provenance`.
It is saved as one ``.npz`` file without pickle, written atomically, and
loaded without running anything.
"""

from dldna.records.base import Provenance, Record, derived_from, versions
from dldna.records.curvature_map import ConvexityMap
from dldna.records.kinds import (
    Density,
    Estimate,
    History,
    LayerStats,
    Line,
    Motion,
    Sharpness,
    Spectrum,
)
from dldna.records.surface import Surface

__all__ = [
    "ConvexityMap",
    "Density",
    "Estimate",
    "History",
    "LayerStats",
    "Line",
    "Motion",
    "Provenance",
    "Record",
    "Sharpness",
    "Spectrum",
    "Surface",
    "derived_from",
    "versions",
]
