"""An import path; the work stands in :mod:`dldna.published.checkpoints`."""

from dldna.published.checkpoints import load_model, load_models_by_pattern

__all__ = ["load_model", "load_models_by_pattern"]
