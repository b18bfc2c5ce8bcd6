"""What a network does while its loss falls: norms, edges, noise."""

from dldna.training.dynamics.callback import Dynamics
from dldna.training.dynamics.edge import preconditioner, stability_threshold
from dldna.training.dynamics.live import Live
from dldna.training.dynamics.noise import gradient_noise
from dldna.training.dynamics.projected import ProjectedRun, projected_descent

__all__ = [
    "Dynamics",
    "Live",
    "ProjectedRun",
    "gradient_noise",
    "preconditioner",
    "projected_descent",
    "stability_threshold",
]
