"""Toy sets in the plane, made from a seed."""

import math

import torch
from torch import Tensor

from dldna.checks import whole
from dldna.data.dataset import Dataset
from dldna.data.digits import split

N = 1200


def _moons(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two half circles that reach into each other."""
    y = torch.arange(N, device="cpu") % 2
    t = math.pi * torch.rand(N, generator=generator, device="cpu")
    x = torch.stack([t.cos(), t.sin()], 1)
    lower = torch.stack([1 - t.cos(), 0.5 - t.sin()], 1)
    x = torch.where(y.bool()[:, None], lower, x)
    x = x + 0.1 * torch.randn(N, 2, generator=generator, device="cpu")
    return (x - torch.tensor([0.5, 0.25], device="cpu")) / 1.5, y


def _blobs(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Three round clouds at the corners of a triangle."""
    y = torch.arange(N, device="cpu") % 3
    angle = 2 * math.pi * y / 3
    centre = 0.7 * torch.stack([angle.cos(), angle.sin()], 1)
    noise = torch.randn(N, 2, generator=generator, device="cpu")
    return centre + 0.2 * noise, y


def _spirals(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Three arms of a spiral."""
    y = torch.arange(N, device="cpu") % 3
    radius = torch.rand(N, generator=generator, device="cpu").sqrt()
    angle = 2 * math.pi * y / 3 + 1.25 * math.pi * radius
    x = radius[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
    return x + 0.03 * torch.randn(N, 2, generator=generator, device="cpu"), y


TOYS = {"moons": _moons, "blobs": _blobs, "spirals": _spirals}


def toy(name: str, seed: int) -> Dataset:
    """One of the toy sets: 960 + 240 points in the plane.

    Args:
        name: ``moons``, ``blobs`` or ``spirals``.
        seed: of the points.

    Returns:
        The data set; coordinates lie roughly in [-1, 1].
    """
    draw = torch.Generator().manual_seed(whole("seed", seed))
    x, y = TOYS[name](draw)
    train, test = split(y, fraction=0.2, seed=seed)
    about = TOYS[name].__doc__.rstrip(".").lower()
    return Dataset(
        name=name,
        train_x=x[train],
        train_y=y[train],
        test_x=x[test],
        test_y=y[test],
        classes=tuple(str(k) for k in range(int(y.max()) + 1)),
        description=f"{about}, seed {seed}",
    )
