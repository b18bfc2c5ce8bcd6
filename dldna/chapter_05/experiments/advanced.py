"""An import path; the work stands in :mod:`dldna.published.arena`."""

from dldna.published.arena import run_advanced_experiment

__all__ = ["run_advanced_experiment"]
