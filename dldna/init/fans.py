r"""Fans: how many numbers meet in one unit, and how many one unit feeds.

A weight is read in the layout ``(c_out, c_in, *kernel)``:

.. math:: n_{in} = c_{in} \prod k, \qquad n_{out} = c_{out} \prod k.

A weight alone does not tell how it is used. A grouped convolution joins
only ``c_in / groups`` with ``c_out / groups`` channels, and a transposed
one stores ``(c_in, c_out / groups, *kernel)``, so reading the fans off the
stored shape gives the wrong numbers. :func:`fans_of` asks the layer.
"""

import math
from typing import NamedTuple

from torch import Tensor, nn

from dldna.torch_internals import Convolution, TransposedConvolution


class Fans(NamedTuple):
    """Fan-in and fan-out of one weight."""

    fan_in: float
    fan_out: float


def fans(weight: Tensor) -> Fans:
    """Fans of a weight laid out as (c_out, c_in, \\*kernel).

    Args:
        weight: shape (c_out, c_in, \\*kernel), at least two axes.

    Returns:
        ``Fans(fan_in, fan_out)``.

    Raises:
        TypeError: no tensor.
        ValueError: fewer than two axes, or an empty tensor.

    Example:
        >>> import torch
        >>> fans(torch.empty(16, 8, 3, 5))
        Fans(fan_in=120, fan_out=240)
    """
    if not hasattr(weight, "shape"):
        raise TypeError(
            f"fans need a weight, a tensor, not {type(weight).__name__}: of a "
            "shape give torch.empty(*shape), of a layer take fans_of(layer)"
        )
    shape = tuple(weight.shape)
    if len(shape) < 2:
        raise ValueError(
            "fans need a weight of at least two axes (c_out, c_in, ...), "
            f"not shape {shape}; biases and scales have no fan"
        )
    if 0 in shape:
        raise ValueError(f"a weight of shape {shape} holds no number")
    kernel = math.prod(shape[2:])
    return Fans(shape[1] * kernel, shape[0] * kernel)


def fans_of(layer: nn.Module, strides: bool = False) -> Fans:
    r"""True fans of a linear, convolutional or transposed layer.

    With ``groups`` both channel numbers are divided by it. With
    ``strides`` the fans are the mean number of links per position inside
    the image: a strided convolution's input reaches
    ``fan_out / prod(stride)`` outputs, a strided transposed
    convolution's output hears ``fan_in / prod(stride)`` inputs.

    Args:
        layer: ``nn.Linear``, ``nn.ConvNd`` or ``nn.ConvTransposeNd``.
        strides: count the links that the stride leaves; the textbook fan
            (the default) does not.

    Returns:
        ``Fans(fan_in, fan_out)``.

    Raises:
        TypeError: another kind of layer.

    Example:
        >>> fans_of(nn.Conv2d(8, 16, 3, groups=4))
        Fans(fan_in=18, fan_out=36)
        >>> fans_of(nn.ConvTranspose2d(8, 16, 4, stride=2))
        Fans(fan_in=128, fan_out=256)
        >>> fans_of(nn.ConvTranspose2d(8, 16, 4, stride=2), strides=True)
        Fans(fan_in=32.0, fan_out=256)
    """
    if isinstance(layer, Convolution):
        kernel = math.prod(layer.kernel_size)
        n_in = layer.in_channels // layer.groups * kernel
        n_out = layer.out_channels // layer.groups * kernel
        skipped = math.prod(layer.stride)
        if strides and skipped > 1:
            if isinstance(layer, TransposedConvolution):
                return Fans(n_in / skipped, n_out)
            return Fans(n_in, n_out / skipped)
        return Fans(n_in, n_out)
    if isinstance(layer, nn.Linear):
        return Fans(layer.in_features, layer.out_features)
    raise TypeError(
        f"no fans are known for {type(layer).__name__}; "
        "pass its weight to fans() if it is laid out (c_out, c_in, ...)"
    )
