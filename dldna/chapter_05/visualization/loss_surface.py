"""An import path; the work stands in :mod:`dldna.published`."""

from dldna.published.lines import (
    linear_interpolation,
    visualize_linear_interpolation,
)
from dldna.published.surfaces import (
    analyze_loss_surface_multiscale,
    hessian_eigenvectors,
    visualize_loss_surface,
    xy_perturb_loss,
)
from dldna.published.weights import (
    analyze_weight_space,
    visualize_weight_space,
)

__all__ = [
    "analyze_loss_surface_multiscale",
    "analyze_weight_space",
    "hessian_eigenvectors",
    "linear_interpolation",
    "visualize_linear_interpolation",
    "visualize_loss_surface",
    "visualize_weight_space",
    "xy_perturb_loss",
]
