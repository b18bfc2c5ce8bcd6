"""The published table of schemes; they stand in :mod:`dldna.init`.

Two of the published names are kept as the negative examples they are:
``scaled_orthogonal`` counts the fan twice (every singular value becomes
``sqrt(2 / n_in)``) and ``l-momentum`` gives every layer the variance 0.81.
The right form is :func:`dldna.init.scaled_orthogonal`. The functions draw
from torch's global generator, so that ``torch.manual_seed`` fixes them.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from dldna import checks
from dldna.init import SCHEMES


def _scheme(name: str, tensor: Tensor, **options: Any) -> Tensor:
    generator = torch.default_generator
    return SCHEMES[name](tensor, generator=generator, **options)


def _or_zero(name: str, tensor: Tensor, **options: Any) -> Tensor:
    """A scheme for matrices; what is none (a bias) becomes zero."""
    if tensor.ndim < 2:
        return nn.init.zeros_(tensor)
    return _scheme(name, tensor, **options)


def init_weights_lecun(tensor: Tensor) -> Tensor:
    """LeCun's normal scheme, in place: variance 1 / fan_in.

    Example:
        >>> init_weights_lecun(torch.ones(3))
        tensor([0., 0., 0.])
    """
    return _or_zero("lecun_normal", tensor)


def init_weights_scaled_orthogonal(tensor: Tensor) -> Tensor:
    """The published form, in place: sqrt(2 / n_in) Q, a negative example."""
    return _or_zero("double_counted_orthogonal", tensor)


def init_weights_lmomentum(tensor: Tensor, alpha: float = 0.81) -> Tensor:
    """The published form, in place: a negative example.

    Args:
        tensor: the weights.
        alpha: their variance, whatever the fan.

    Example:
        >>> w = init_weights_lmomentum(torch.empty(300, 200), alpha=0.25)
        >>> round(float(w.var()), 2)
        0.25
    """
    checks.positive("alpha", alpha)
    return _or_zero("constant_variance", tensor, variance=alpha)


init_methods: dict[str, Callable[[Tensor], Tensor]] = {
    "lecun": init_weights_lecun,
    "xavier_normal": lambda tensor: _scheme("xavier_normal", tensor),
    "kaiming_normal": lambda tensor: _scheme("kaiming_normal", tensor),
    "orthogonal": lambda tensor: _scheme("orthogonal", tensor),
    "scaled_orthogonal": init_weights_scaled_orthogonal,
    "l-momentum": init_weights_lmomentum,
}
