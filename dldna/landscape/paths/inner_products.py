"""Principal components of checkpoints, by their inner products alone."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dldna import params
from dldna.landscape.paths.null import origin_of
from dldna.params import exact

CHUNK = 2**20  # numbers of one checkpoint that are cast to float64 at once


def random_walk(
    steps: Sequence[float], k: int = 2, about: str = "mean"
) -> tuple[np.ndarray, np.ndarray]:
    r"""PCA of a random walk in infinitely many dimensions, exactly.

    There, steps in random directions stand at right angles, so the walk
    is known up to rotation: position t is the sum of the first t axes,
    each as long as its step. For n equal steps the shares of the variance
    tend to :math:`6/(\pi j)^2` about the mean and to
    :math:`8/(\pi (2j-1))^2` about the end point.

    Args:
        steps: (T - 1,) lengths of the steps.
        k: number of axes, less than T.
        about: "mean" or "end".

    Returns:
        Coordinates (T, k), and shares of the variance (k,).

    Example:
        >>> random_walk([1.0] * 299, 3)[1].round(2).tolist()
        [0.61, 0.15, 0.07]

    References:
        Antognini, Sohl-Dickstein, PCA of high dimensional random walks
        with comparison to neural network training, NeurIPS 2018,
        arXiv 1806.08805.
    """
    about = origin_of(about)
    steps = np.asarray(steps, dtype=np.float64)
    unit = power_of_two(np.abs(steps).max(initial=0.0))
    walked = np.append(0.0, np.cumsum((steps / unit) ** 2))
    # Positions s <= t share the steps up to s.
    gram = np.minimum.outer(walked, walked)
    return principal(gram, k, about, unit)


def weights(checkpoint: Any) -> dict[str, Tensor]:
    if isinstance(checkpoint, nn.Module):
        return params.of(checkpoint)
    if isinstance(checkpoint, Mapping):
        return {
            k: v.detach()
            for k, v in checkpoint.items()
            if torch.is_floating_point(v)
            and not k.endswith(("running_mean", "running_var"))
        }
    raise TypeError(
        "a checkpoint must be a model or a dict of tensors, not "
        f"{type(checkpoint).__name__}"
    )


def power_of_two(size: float) -> float:
    """The power of 2 next to a size: dividing by it rounds nothing."""
    return 2.0 ** min(math.frexp(size)[1], 1023) if size else 1.0


def inner_products(
    points: list[dict], labels: list[str]
) -> tuple[np.ndarray, float, int]:
    """Inner products about the first point, in float64, chunk by chunk.

    They are in units of the second value, squared, so that none leaves
    the range of the numbers.
    """
    for point, label in zip(points, labels, strict=True):
        try:
            params.check_same(points[0], point)
        except ValueError as error:
            raise ValueError(
                f"checkpoint {label!r} is of another network than "
                f"{labels[0]!r}: {error}"
            ) from error
        if not all(bool(v.isfinite().all()) for v in point.values()):
            raise ValueError(f"checkpoint {label!r} holds NaN or inf")
    unit = power_of_two(
        max(
            (
                float((p[k].cpu() - v.cpu()).abs().max())
                for p in points
                for k, v in points[0].items()
                if v.numel()
            ),
            default=0.0,
        )
    )
    gram = np.zeros((len(points), len(points)))
    for name in points[0]:
        flat = [p[name].reshape(-1) for p in points]
        for start in range(0, flat[0].numel(), CHUNK):
            piece = torch.stack(
                [exact(v[start : start + CHUNK]).cpu() for v in flat]
            )
            piece = (piece - piece[0].clone()) / unit
            gram += (piece @ piece.t()).numpy()
    return gram, unit, params.count(points[0])


def principal(
    gram: np.ndarray, k: int, about: str, unit: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (T, k) and shares (k,) from inner products.

    The products are in units of ``unit`` squared, the coordinates in 1.
    """
    t = len(gram)
    shift = np.full(t, 1 / t) if about == "mean" else np.eye(t)[-1]
    centre = np.eye(t) - shift[None, :]  # each row minus the origin
    values, vectors = np.linalg.eigh(centre @ gram @ centre.T)
    values = np.maximum(values[::-1][:k], 0)
    vectors = vectors[:, ::-1][:, :k]
    # The sign of an axis means nothing: let the last point be positive.
    vectors = vectors * np.where(vectors[-1] < 0, -1.0, 1.0)
    if about == "end":
        vectors = vectors * np.where(vectors[0] > 0, -1.0, 1.0)
    total = np.trace(centre @ gram @ centre.T)
    shares = values / total if total > 0 else np.zeros(len(values))
    return vectors * np.sqrt(values) * unit, shares
