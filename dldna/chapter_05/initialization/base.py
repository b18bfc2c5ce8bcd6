"""An import path; the work stands in :mod:`dldna.published.schemes`."""

from dldna.published.schemes import (
    init_methods,
    init_weights_lecun,
    init_weights_lmomentum,
    init_weights_scaled_orthogonal,
)

__all__ = [
    "init_methods",
    "init_weights_lecun",
    "init_weights_lmomentum",
    "init_weights_scaled_orthogonal",
]
