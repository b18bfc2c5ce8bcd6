"""An import path; the work stands in :mod:`dldna.published.model_training`."""

from dldna.published.model_training import train_model

__all__ = ["train_model"]
