r"""Two rules that circulate and fail, kept to show how they fail.

Neither is a published method. Both forget what a fan is for: one counts
it twice, the other not at all.
"""

import math

import torch
from torch import Tensor

from dldna import checks
from dldna.init._draw import check_weight, uniform_
from dldna.init.fans import fans
from dldna.init.orthogonal import orthogonal

Generator = torch.Generator | None


def double_counted_orthogonal(
    tensor: Tensor, *, generator: Generator = None
) -> Tensor:
    r"""WRONG: :math:`W = \sqrt{2/n_{in}}\, Q` counts the fan twice.

    An orthogonal Q already has entries of variance about 1/n, so every
    singular value becomes :math:`\sqrt{2/n_{in}}`. In a 784-256-192-128-
    64-10 network the five multiply to 1e-5, the logits vanish, and the
    loss stays at ln 10. The right form is
    :func:`dldna.init.orthogonal.scaled_orthogonal`.

    Args:
        tensor: weight (c_out, c_in, \*kernel), filled in place.
        generator: source of the numbers.

    Returns:
        The same tensor.
    """
    gain = math.sqrt(2.0 / fans(check_weight(tensor)).fan_in)
    return orthogonal(tensor, gain=gain, generator=generator)


def constant_variance(
    tensor: Tensor, *, variance: float = 0.81, generator: Generator = None
) -> Tensor:
    r"""WRONG: one variance for every layer, whatever its width.

    In circulation as "l-momentum": draw
    :math:`U(\pm\sqrt{6/n_{in}})`, then rescale to the variance
    :math:`\mu^2 = 0.81`. The second line erases the first. Activations
    grow about tenfold per layer, and training ends in NaN.

    Args:
        tensor: weight (c_out, c_in, \*kernel), filled in place.
        variance: what the entries are rescaled to, exactly.
        generator: source of the numbers.

    Returns:
        The same tensor.
    """
    checks.positive("variance", variance)
    bound = math.sqrt(6.0 / fans(check_weight(tensor)).fan_in)
    uniform_(tensor, bound, generator)
    with torch.no_grad():
        spread = tensor.contiguous().var(correction=0)
        if spread == 0:  # one single number has no spread to rescale
            return tensor
        return tensor.mul_((variance / spread).sqrt())
