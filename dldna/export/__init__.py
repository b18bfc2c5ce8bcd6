"""Surfaces for other programs, for a browser, and in words.

This room knows arrays, not records, so that records can use it.
"""

from dldna.export.html import page
from dldna.export.ply import path_ply, surface_ply
from dldna.export.report import report
from dldna.export.scales import Heights, heights, lift
from dldna.export.vtk import path_vtk, surface_vtk

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
