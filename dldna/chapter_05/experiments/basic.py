"""An import path; the work stands in :mod:`dldna.published.experiments`."""

from dldna.published.experiments import run_basic_experiment

__all__ = ["run_basic_experiment"]
