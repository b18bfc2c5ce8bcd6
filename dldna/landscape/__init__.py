"""The loss landscape of any network: lines, planes, paths, curvature."""

from dldna import on_demand

__getattr__ = on_demand.names(
    __name__,
    {
        "convexity": "convexity_map",
        "curvature": "NoSecondDerivative NotConvergedWarning Operator "
        "diagonal gradient_share keskar_sharpness layer_spectra rescale_relu "
        "sam_sharpness spectral_density top_eigenpairs trace",
        "lines": "band line",
        "paths.recorder": "Recorder",
        "paths.trajectory": "Shadow Trajectory",
        "scan.truth": "NotAFunction",
        "slice": "Slice toy_network toy_regression",
        "space.checkpoints": "read_checkpoint",
        "space.directions": "DIRECTIONS choose_directions",
        "space.normalise": "entry_normalise filter_normalise layer_normalise",
        "space.plane": "Direction Plane orthogonalise",
        "surfaces": "Cost cost surface",
    },
)

__all__ = [
    "DIRECTIONS",
    "Cost",
    "Direction",
    "NoSecondDerivative",
    "NotAFunction",
    "NotConvergedWarning",
    "Operator",
    "Plane",
    "Recorder",
    "Shadow",
    "Slice",
    "Trajectory",
    "band",
    "choose_directions",
    "convexity_map",
    "cost",
    "diagonal",
    "entry_normalise",
    "filter_normalise",
    "gradient_share",
    "keskar_sharpness",
    "layer_normalise",
    "layer_spectra",
    "line",
    "orthogonalise",
    "read_checkpoint",
    "rescale_relu",
    "sam_sharpness",
    "spectral_density",
    "surface",
    "top_eigenpairs",
    "toy_network",
    "toy_regression",
    "trace",
]
