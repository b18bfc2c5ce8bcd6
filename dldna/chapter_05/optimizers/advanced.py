"""An import path; the work stands in :mod:`dldna.published.modern`."""

from dldna.published.modern import AdaFactor, Lion, Sophia

__all__ = ["AdaFactor", "Lion", "Sophia"]
