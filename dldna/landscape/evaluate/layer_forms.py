"""The form in which a layer is applied to inputs of a shape."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

DENSE = 4  # places of an output up to which a dense matrix is tried
PIXELS = 16  # the same for 1x1 convolutions over pixels
SMALL = 8  # rows or columns of a map up to which products are saved
CHANNELS = 128  # from which saved products are worth the sums


class Form(NamedTuple):
    """How a layer is applied: see :func:`form`."""

    kind: str
    out: tuple[int, int] = (1, 1)
    used: tuple[int, int] = (1, 1)


PLAIN = Form("plain")


class _Side(NamedTuple):
    """One axis of a convolution: outputs, inputs that count, all in all."""

    places: int
    used: int
    dense: bool


def _side(size: int, k: int, pad: int, stride: int) -> _Side:
    places = (size + 2 * pad - k) // stride + 1
    used = min(size, (places - 1) * stride + k - pad)
    return _Side(
        places, used, used + pad <= k and pad >= (places - 1) * stride
    )


def form(module: nn.Module, x: Tensor, pixels: int, fewer: bool) -> Form:
    """How a layer is applied to an input of this shape.

    "plain" is the module's own way. A linear layer whose inputs would
    be copies of fewer numbers adds up their weights ("summed"); one
    on flattened images keeps the channels last ("turned"). A 1x1
    convolution on a few pixels is a linear layer over pixels
    ("pixels"). A convolution on so few pixels that each one reaches
    each output is a matrix product over all ("dense"). A 3x3 convolution
    of many channels on a small map saves products ("fewer").

    Args:
        module: the layer.
        x: its input.
        pixels: of its flattened input, if channels come last, else 0.
        fewer: whether products may be saved, at some more rounding.

    Returns:
        The form.
    """
    if type(module) is nn.Linear:
        last = x.shape[-1]
        if last != module.in_features:
            return Form("summed", used=(last, 1))
        return Form("turned", used=(pixels, 1)) if pixels else PLAIN
    if (
        type(module) is not nn.Conv2d
        or module.groups != 1
        or module.padding_mode != "zeros"
        or isinstance(module.padding, str)
        or module.dilation != (1, 1)
    ):
        return PLAIN
    size = tuple(x.shape[2:])
    if fewer and _saves(module, x) and size != (1, 1):
        return Form("fewer", out=size)
    geometry = module.kernel_size, module.padding, module.stride
    sides = [_side(*side) for side in zip(size, *geometry, strict=True)]
    places = sides[0].places * sides[1].places
    if places <= DENSE and all(side.dense for side in sides):
        out = (sides[0].places, sides[1].places)
        return Form("dense", out, (sides[0].used, sides[1].used))
    simple = module.kernel_size == (1, 1) and module.padding == (0, 0)
    return Form("pixels") if simple and places <= PIXELS else PLAIN


def _saves(module: nn.Conv2d, x: Tensor) -> bool:
    """Whether fewer products of channels take less time."""
    return (
        x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.float64)
        and module.kernel_size == (3, 3)
        and module.padding == (1, 1)
        and module.stride == (1, 1)
        and min(module.in_channels, module.out_channels) >= CHANNELS
        and max(x.shape[2:]) <= SMALL
    )
