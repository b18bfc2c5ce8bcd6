"""Surfaces for other programs, for a browser, and in words.

This room knows arrays, not records, so that records can use it.
"""

from dldna import old_paths
from dldna.export.csv_table import columns_csv
from dldna.export.height_scales import Heights, heights, lift
from dldna.export.html import page
from dldna.export.ply import path_ply, surface_ply
from dldna.export.reliability import report
from dldna.export.vtk_xml import (
    path_vtk,
    path_vtp,
    surface_vti,
    surface_vtk,
    surface_vtp,
)

old_paths.alias(__name__)

__all__ = [
    "Heights",
    "columns_csv",
    "heights",
    "lift",
    "page",
    "path_ply",
    "path_vtk",
    "path_vtp",
    "report",
    "surface_ply",
    "surface_vti",
    "surface_vtk",
    "surface_vtp",
]
