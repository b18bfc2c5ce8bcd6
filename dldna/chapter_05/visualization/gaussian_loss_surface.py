"""An import path; the work stands in :mod:`dldna.published.wells`."""

from dldna.published.wells import (
    get_opt_params,
    train_loss_surface,
    visualize_gaussian_fit,
    visualize_optimization_path,
)

__all__ = [
    "get_opt_params",
    "train_loss_surface",
    "visualize_gaussian_fit",
    "visualize_optimization_path",
]
