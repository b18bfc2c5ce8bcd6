"""An import path; the work stands in :mod:`dldna.published.dynamics`."""

from dldna.published.dynamics import visualize_training_dynamics

__all__ = ["visualize_training_dynamics"]
