"""What a network does while its loss falls: norms, edges, noise."""

from dldna.training.dynamics.callback import Dynamics
from dldna.training.dynamics.edge import preconditioner, stability_threshold
from dldna.training.dynamics.live import Live
from dldna.training.dynamics.noise import gradient_noise

__all__ = [
    "Dynamics",
    "Live",
    "gradient_noise",
    "preconditioner",
    "stability_threshold",
]
