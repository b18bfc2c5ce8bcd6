"""Pictures of records: a function takes a record and an axis, draws, and
returns the axis. Nothing here computes what it draws."""

from dldna import old_paths
from dldna.plotting.accessible import alt_text, show
from dldna.plotting.curvature_maps import convexity
from dldna.plotting.embeddings import weight_space
from dldna.plotting.fits import well_fits
from dldna.plotting.homology import (
    barcode,
    branches,
    persistence,
    valleys,
)
from dldna.plotting.learning_dynamics import (
    dynamics,
    dynamics_bundle,
    sharpness,
)
from dldna.plotting.loss_lines import line
from dldna.plotting.marks import critical_points
from dldna.plotting.multiscale import energies, pyramid, ridges
from dldna.plotting.networks import network
from dldna.plotting.optimizer_walks import walks
from dldna.plotting.paths import path
from dldna.plotting.planes import contour, levels_of, lift, shade
from dldna.plotting.plotly_surface import surface_3d
from dldna.plotting.relief import contours_3d, mesh_3d
from dldna.plotting.spectra import density, eigenvalues
from dldna.plotting.style import COLORS, MARKERS, use
from dldna.plotting.tournaments import pairs, scores
from dldna.plotting.training_curves import (
    bands,
    curves,
    histories,
    rate_range,
)

old_paths.alias(__name__)
__getattr__ = old_paths.former(__name__)

__all__ = [
    "COLORS",
    "MARKERS",
    "alt_text",
    "bands",
    "barcode",
    "branches",
    "contour",
    "contours_3d",
    "convexity",
    "critical_points",
    "curves",
    "density",
    "dynamics",
    "dynamics_bundle",
    "eigenvalues",
    "energies",
    "histories",
    "levels_of",
    "lift",
    "line",
    "mesh_3d",
    "network",
    "pairs",
    "path",
    "persistence",
    "pyramid",
    "rate_range",
    "ridges",
    "scores",
    "shade",
    "sharpness",
    "show",
    "surface_3d",
    "use",
    "valleys",
    "walks",
    "weight_space",
    "well_fits",
]
