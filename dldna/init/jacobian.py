r"""Singular values of the input-output Jacobian (dynamical isometry).

A network learns fast at depth if all singular values of
:math:`J = \partial y/\partial x` are near 1: then no direction of the
signal, nor of the gradient, is lost.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import jacrev

from dldna import params
from dldna.guard import untouched
from dldna.init.weight_matrices import check_model
from dldna.params import exact


def jacobian(model: nn.Module, x: Tensor) -> Tensor:
    """Jacobian of each sample's output by its own input.

    Args:
        model: evaluated in eval mode, and left as it was.
        x: (B, ...) inputs.

    Returns:
        (B, outputs, inputs), both flattened.

    Example:
        >>> layer = nn.Linear(3, 2)
        >>> j = jacobian(layer, torch.zeros(1, 3))
        >>> torch.equal(j[0], layer.weight)
        True
    """
    if not isinstance(x, Tensor) or x.ndim < 2 or len(x) == 0:
        raise ValueError("x must be a batch (B, ...) of at least one sample")
    with untouched(check_model(model)):
        model.eval()
        state = {
            **{k: p.detach() for k, p in model.named_parameters()},
            **dict(model.named_buffers()),
        }

        def output(sample: Tensor) -> Tensor:
            out = params.call(model, state, (sample[None],))
            return out.flatten()

        rows = [jacrev(output)(s).flatten(1).detach() for s in x.detach()]
    return torch.stack(rows)


def jacobian_singular_values(model: nn.Module, x: Tensor) -> np.ndarray:
    r"""Singular values of the input-output Jacobian, falling.

    For a deep orthogonal linear net all are 1 and
    :math:`\|J\|_F = \sqrt n`; for a Gaussian one they spread over many
    orders of magnitude.

    Args:
        model: evaluated in eval mode, and left as it was.
        x: (B, ...) inputs.

    Returns:
        (B, min(outputs, inputs)) in float64.

    Example:
        >>> net = nn.Linear(2, 2, bias=False)
        >>> with torch.no_grad():
        ...     _ = net.weight.copy_(torch.diag(torch.tensor([3.0, 1.0])))
        >>> jacobian_singular_values(net, torch.ones(1, 2))
        array([[3., 1.]])

    References:
        Saxe, McClelland, Ganguli, ICLR 2014, arXiv 1312.6120.
        Pennington, Schoenholz, Ganguli, NeurIPS 2017, arXiv 1711.04735.
    """
    return torch.linalg.svdvals(exact(jacobian(model, x))).cpu().numpy()
