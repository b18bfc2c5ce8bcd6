"""One way to read a surface: coordinates along both axes and losses."""

from typing import NamedTuple

import numpy as np

from dldna.records import Surface


class Samples(NamedTuple):
    """A surface as plain arrays.

    Attributes:
        x: (A,) coordinates along axis 0 (``alphas``).
        y: (B,) coordinates along axis 1 (``betas``).
        z: (A, B) losses in float64, as they came.
    """

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray


def samples(surface, least: int = 1) -> Samples:
    """Read a :class:`~dldna.records.Surface` or an array of losses.

    Args:
        surface: a surface, or an (A, B) array; an array's coordinates are
            its indices.
        least: the smallest number of points along each axis that will do.

    Returns:
        The samples; their ``z`` may hold NaN and inf.

    Raises:
        ValueError: not two axes, too few points, coordinates that do not
            fit, or not a single finite loss.

    Example:
        >>> samples([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]).x
        array([0., 1., 2.])
    """
    if isinstance(surface, Surface):
        x, y = np.asarray(surface.alphas), np.asarray(surface.betas)
        z = np.asarray(surface.losses, dtype=np.float64)
    else:
        z = np.asarray(surface, dtype=np.float64)
        x = y = None
    if z.ndim != 2 or min(z.shape) < least:
        raise ValueError(
            f"expected a surface of at least {least} x {least} losses, "
            f"got an array of shape {z.shape}"
        )
    if x is None:
        x, y = np.arange(z.shape[0]), np.arange(z.shape[1])
    if (len(x), len(y)) != z.shape:
        raise ValueError(
            f"{len(x)} x {len(y)} coordinates do not fit losses of shape "
            f"{z.shape}"
        )
    if not np.isfinite(z).any():
        raise ValueError("the surface holds not a single finite loss")
    return Samples(x.astype(np.float64), y.astype(np.float64), z)


def place(axes: Samples, index: np.ndarray) -> np.ndarray:
    """Plane coordinates of grid indices; NaN where an index is negative.

    Args:
        axes: the grid.
        index: (n, 2) whole numbers; (-1, -1) stands for "nowhere".

    Returns:
        (n, 2) coordinates (alpha, beta).
    """
    index = np.asarray(index, dtype=int).reshape(-1, 2)
    at = np.stack([axes.x[index[:, 0]], axes.y[index[:, 1]]], axis=1)
    at[(index < 0).any(axis=1)] = np.nan
    return at
