"""An import path; the work stands in :mod:`dldna.published.curves`."""

from dldna.published.curves import plot_training_results

__all__ = ["plot_training_results"]
