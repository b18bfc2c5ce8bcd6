"""Surfaces for other programs, for a browser, and in words.

This room knows arrays, not records, so that records can use it.
"""

from dldna import old_paths
from dldna.export.height_scales import Heights, heights, lift
from dldna.export.html import page
from dldna.export.ply import path_ply, surface_ply
from dldna.export.reliability import report
from dldna.export.vtk import path_vtk, surface_vtk

old_paths.alias(__name__)

__all__ = [
    "Heights",
    "heights",
    "lift",
    "page",
    "path_ply",
    "path_vtk",
    "report",
    "surface_ply",
    "surface_vtk",
]
