"""Topology of a surface: valleys, passes, rings, and which are real."""

from dldna.landscape.shape.topology.critical import (
    CriticalPoints,
    Refined,
    critical_points,
    persistent_points,
    refine,
)
from dldna.landscape.shape.topology.diagrams import (
    Diagram,
    diagram,
    significant,
)
from dldna.landscape.shape.topology.distances import (
    Stability,
    bottleneck,
    stability,
    wasserstein,
)
from dldna.landscape.shape.topology.simplification import simplify
from dldna.landscape.shape.topology.tree import MergeTree, merge_tree, way_out

__all__ = [
    "CriticalPoints",
    "Diagram",
    "MergeTree",
    "Refined",
    "Stability",
    "bottleneck",
    "critical_points",
    "diagram",
    "merge_tree",
    "persistent_points",
    "refine",
    "significant",
    "simplify",
    "stability",
    "wasserstein",
    "way_out",
]
