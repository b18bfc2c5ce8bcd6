"""An import path; the work stands in :mod:`dldna.published.analysis`."""

from dldna.published.analysis import (
    analyze_initialization,
    create_detailed_analysis_table,
)

__all__ = ["analyze_initialization", "create_detailed_analysis_table"]
