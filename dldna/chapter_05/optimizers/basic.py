"""An import path; the work stands in :mod:`dldna.published.optimizers`."""

from dldna.published.optimizers import SGD, AdaGrad, Adam, AdamW, BaseOptimizer

__all__ = ["SGD", "AdaGrad", "Adam", "AdamW", "BaseOptimizer"]
