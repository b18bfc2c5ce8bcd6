"""Networks by name, built from a seed."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from dldna.checks import choice
from dldna.models.simple import SimpleNetwork

Shape = tuple[int, ...]


def _mlp(
    in_shape: Shape,
    num_classes: int,
    act: nn.Module | None = None,
    hidden: Sequence[int] = (256, 192, 128, 64),
) -> nn.Module:
    act = nn.ReLU() if act is None else act
    return SimpleNetwork(act, math.prod(in_shape), num_classes, hidden)


MODELS: dict[str, Callable[..., nn.Module]] = {"mlp": _mlp}


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

    Args:
        name: a key of :data:`MODELS`.
        seed: of the initial weights.
        in_shape: shape of one sample.
        num_classes: number of outputs.
        **options: what else the network's function takes.

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
