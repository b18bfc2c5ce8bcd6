"""Networks by name, built from a seed."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from dldna.checks import choice
from dldna.models.convolutional import ArenaCNN, LeNet, SmallCNN
from dldna.models.decoder import DecoderTransformer
from dldna.models.large import resnet50, vgg11
from dldna.models.residual import SmallResNet
from dldna.models.simple import SimpleNetwork
from dldna.models.transformer import PatchTransformer, arena_transformer

Shape = tuple[int, ...]


def _mlp(
    in_shape: Shape,
    num_classes: int,
    act: nn.Module | None = None,
    hidden: Sequence[int] = (256, 192, 128, 64),
) -> nn.Module:
    act = nn.ReLU() if act is None else act
    return SimpleNetwork(act, math.prod(in_shape), num_classes, hidden)


def _resnet(
    in_shape: Shape, num_classes: int, *, depth: int, skip: bool
) -> nn.Module:
    return SmallResNet(depth, in_shape, num_classes, skip)


def _decoder(in_shape: Shape, num_classes: int, **options: Any) -> nn.Module:
    if len(in_shape) != 1:
        raise ValueError(
            "the decoder reads windows of tokens: in_shape is (T,), and "
            f"not {in_shape}"
        )
    return DecoderTransformer(num_classes, *in_shape, **options)


MODELS: dict[str, Callable[..., nn.Module]] = {
    "mlp": _mlp,
    "cnn": SmallCNN,
    "lenet": LeNet,
    "resnet20": partial(_resnet, depth=20, skip=True),
    "resnet20-noskip": partial(_resnet, depth=20, skip=False),
    "resnet56": partial(_resnet, depth=56, skip=True),
    "resnet56-noskip": partial(_resnet, depth=56, skip=False),
    "resnet50": resnet50,
    "vgg11": vgg11,
    "transformer": PatchTransformer,
    "decoder": _decoder,
    "arena-cnn": ArenaCNN,
    "arena-transformer": arena_transformer,
}


def make(
    name: str,
    *,
    seed: int = 0,
    in_shape: Shape = (1, 28, 28),
    num_classes: int = 10,
    **options: Any,
) -> nn.Module:
    """Build a network by its name.

    The weights follow from ``seed``; the global random state is left
    alone.

    ========================  =========================================
    ``mlp``                   :class:`SimpleNetwork`; options ``act``
                              and ``hidden``
    ``cnn``                   :class:`SmallCNN`
    ``lenet``                 :class:`LeNet`
    ``resnet20``,             :class:`SmallResNet`; with ``-noskip``
    ``resnet56``              at the end, without skips
    ``resnet50``              :func:`resnet50`, from torchvision
    ``vgg11``                 :func:`vgg11`, from torchvision
    ``transformer``           :class:`PatchTransformer`
    ``decoder``               :class:`DecoderTransformer`; ``in_shape``
                              is (T,), ``num_classes`` the vocabulary
    ``arena-cnn``             :class:`ArenaCNN`
    ``arena-transformer``     :func:`arena_transformer`
    ========================  =========================================

    Args:
        name: a key of :data:`MODELS`.
        seed: of the initial weights.
        in_shape: shape of one sample.
        num_classes: number of outputs.
        **options: what else the network takes.

    Returns:
        The network, in training mode.

    Raises:
        ValueError: unknown name (the message suggests the nearest), or
            images that do not fit.

    Example:
        >>> net = make("mlp", seed=1, hidden=[32])
        >>> net(torch.zeros(5, 1, 28, 28)).shape
        torch.Size([5, 10])
    """
    build = MODELS[choice("model", name, MODELS)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(tuple(in_shape), num_classes, **options)
