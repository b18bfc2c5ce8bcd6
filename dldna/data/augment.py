"""Light augmentation of whole batches."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from dldna.checks import nonnegative


def crop_and_flip(
    x: Tensor, generator: torch.Generator, pad: int = 4
) -> Tensor:
    """Shift each image at random by up to ``pad``, and mirror half of them.

    Args:
        x: (B, C, H, W) images.
        generator: source of randomness, on the CPU.
        pad: largest shift in pixels; the border is filled with the
            smallest value, -1 for images in [-1, 1].

    Returns:
        (B, C, H, W) new images.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> crop_and_flip(torch.ones(2, 3, 32, 32), generator).shape
        torch.Size([2, 3, 32, 32])

    References:
        K. He, X. Zhang, S. Ren, J. Sun, Deep residual learning for image
        recognition, CVPR 2016, arXiv:1512.03385 (section 4.2).
    """
    n, _, height, width = x.shape
    top, left = torch.randint(
        2 * pad + 1, (2, n, 1), generator=generator, device="cpu"
    )
    flip = torch.rand(n, 1, generator=generator, device="cpu") < 0.5
    rows = torch.arange(height, device="cpu") + top
    columns = torch.arange(width, device="cpu").expand(n, width)
    columns = torch.where(flip, columns.flip(1), columns) + left
    rows, columns = rows.to(x.device), columns.to(x.device)
    padded = F.pad(x, (pad, pad, pad, pad), value=-1.0)
    sample = torch.arange(n, device=x.device)[:, None, None]
    moved = padded.permute(0, 2, 3, 1)
    moved = moved[sample, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2)


def flip_and_rotate(
    x: Tensor, generator: torch.Generator, degrees: float = 15.0
) -> Tensor:
    """Mirror half of the images, and turn each a little about its centre.

    Args:
        x: (B, C, H, W) images.
        generator: source of randomness, on the CPU.
        degrees: largest angle; corners are filled with the smallest
            value, -1 for images in [-1, 1].

    Returns:
        (B, C, H, W) new images, interpolated linearly.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> flip_and_rotate(torch.ones(2, 3, 32, 32), generator).shape
        torch.Size([2, 3, 32, 32])
    """
    n, _, height, width = x.shape
    flip = torch.rand(n, generator=generator, device="cpu") < 0.5
    flip = torch.where(flip, -1.0, 1.0)
    angle = 2 * torch.rand(n, generator=generator, device="cpu") - 1
    angle = angle * math.radians(nonnegative("degrees", degrees))
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros(n, device="cpu")
    stretch = height / width  # a turn in pixels, not in shares of a side
    rows = [flip * cos, -flip * sin * stretch, zero]
    rows += [sin / stretch, cos, zero]
    theta = torch.stack(rows, dim=1).view(n, 2, 3).to(x)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x + 1, grid, align_corners=False) - 1
