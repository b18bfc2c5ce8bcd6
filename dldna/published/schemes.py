"""The published table of schemes; they stand in :mod:`dldna.init`.

Two of the published names are kept as the negative examples they are:
``scaled_orthogonal`` counts the fan twice (every singular value becomes
``sqrt(2 / n_in)``) and ``l-momentum`` gives every layer the variance 0.81.
The right form is :func:`dldna.init.scaled_orthogonal`. The functions draw
from torch's global generator, so that ``torch.manual_seed`` fixes them.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from dldna.init import SCHEMES


def _scheme(name: str, tensor: Tensor) -> Tensor:
    return SCHEMES[name](tensor, generator=torch.default_generator)


def init_weights_lecun(tensor: Tensor) -> Tensor:
    """LeCun's normal scheme, in place: variance 1 / fan_in."""
    return _scheme("lecun_normal", tensor)


def init_weights_scaled_orthogonal(tensor: Tensor) -> Tensor:
    """The published form, in place: sqrt(2 / n_in) Q, a negative example."""
    return _scheme("double_counted_orthogonal", tensor)


def init_weights_lmomentum(tensor: Tensor) -> Tensor:
    """The published form, in place: variance 0.81, a negative example."""
    return _scheme("constant_variance", tensor)


init_methods: dict[str, Callable[[Tensor], Tensor]] = {
    "lecun": init_weights_lecun,
    "xavier_normal": lambda tensor: _scheme("xavier_normal", tensor),
    "kaiming_normal": lambda tensor: _scheme("kaiming_normal", tensor),
    "orthogonal": lambda tensor: _scheme("orthogonal", tensor),
    "scaled_orthogonal": init_weights_scaled_orthogonal,
    "l-momentum": init_weights_lmomentum,
}
