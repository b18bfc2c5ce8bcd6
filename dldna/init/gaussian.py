r"""Gaussian integrals of activations, by quadrature in float64.

Integrals are split at 0, so that a kink or a jump there (ReLU and its
kin) costs no accuracy.
"""

import functools
import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dldna import checks
from dldna.guard import differentiable

Activation = str | Callable[[Tensor], Tensor]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: x,
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "tanh": torch.tanh,
    "gelu": F.gelu,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "elu": F.elu,
    "selu": F.selu,
    "softplus": F.softplus,
    "erf": torch.erf,
}

_NODES, _REACH = 200, 12.0


class Moments(NamedTuple):
    """What an activation makes of a Gaussian N(0, q).

    ``mean`` E[phi], ``second`` E[phi^2], ``slope`` E[phi'^2].
    """

    mean: float
    second: float
    slope: float

    @property
    def variance(self) -> float:
        """E[phi^2] - E[phi]^2."""
        return self.second - self.mean**2


def function(activation: Activation) -> Callable[[Tensor], Tensor]:
    """An activation by name, or any elementwise function or module."""
    if isinstance(activation, str):
        name = checks.choice("activation", activation, ACTIVATIONS)
        return ACTIVATIONS[name]
    if isinstance(activation, nn.PReLU):
        slope = float(activation.weight.detach().mean())
        return lambda x: F.leaky_relu(x, slope)
    if not callable(activation):
        raise TypeError(
            "an activation is a name or an elementwise function, not "
            f"{activation!r}"
        )
    return lambda x: activation(x.clone())  # it may write in place


@functools.cache
def _half_line() -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes and weights on [0, reach]."""
    x, w = np.polynomial.legendre.leggauss(_NODES)
    return _REACH * (x + 1) / 2, _REACH * w / 2


def nodes() -> tuple[Tensor, Tensor]:
    """Points and weights with ``E f(z) = sum(f(points) * weights)``."""
    x, w = _half_line()
    density = w * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    points = torch.from_numpy(np.concatenate([-x, x]))
    return points, torch.from_numpy(np.concatenate([density, density]))


def gaussian_mean(f: Callable[[Tensor], Tensor], q: float = 1.0) -> float:
    r"""E[f(z)] for z of variance q.

    Gauss-Legendre quadrature with 200 nodes on either side of 0, out to
    12 standard deviations: smooth functions and functions with a kink or
    a jump at 0 are integrated to about 1e-13.

    Args:
        f: elementwise function of a float64 tensor.
        q: variance of z.

    Returns:
        The expected value.

    Example:
        >>> round(gaussian_mean(lambda z: z**4, 2.0), 9)
        12.0
    """
    points, weights = nodes()
    z = points * math.sqrt(checks.nonnegative("q", q))
    return float((f(z) * weights).sum())


def moments(activation: Activation, q: float = 1.0) -> Moments:
    r"""Mean, second moment and squared slope after an activation.

    Args:
        activation: a name of ``ACTIVATIONS``, or a function.
        q: second moment of the centred Gaussian that enters.

    Returns:
        ``Moments(mean, second, slope)``.

    Example:
        >>> m = moments("relu", 2.0)
        >>> round(m.second, 12), round(m.slope, 12)
        (1.0, 0.5)
    """
    phi = function(activation)

    def slope(z: Tensor) -> Tensor:
        with differentiable():
            z = z.clone().requires_grad_()
            return torch.autograd.grad(phi(z).sum(), z)[0]

    with torch.no_grad():
        return Moments(
            gaussian_mean(phi, q),
            gaussian_mean(lambda z: phi(z) ** 2, q),
            gaussian_mean(lambda z: slope(z) ** 2, q),
        )


def joint_mean(
    f: Callable[[Tensor], Tensor], q: float, c: float, nodes: int = 60
) -> float:
    r"""E[f(u) f(v)] for Gaussians of variance q and correlation c.

    In polar coordinates :math:`u = \sqrt q\, r\cos\theta`,
    :math:`v = \sqrt q\, r\cos(\theta - \arccos c)`: kinks at 0 lie on
    four rays, and each sector between them is integrated by itself.

    Args:
        f: elementwise function of a float64 tensor.
        q: variance of both.
        c: their correlation, -1 to 1.
        nodes: Gauss-Legendre nodes per sector.

    Example:
        >>> round(joint_mean(lambda u: u, 2.0, 0.3), 12)
        0.6
    """
    if not -1 <= checks.number("c", c) <= 1:
        raise ValueError(f"a correlation lies in [-1, 1], not {c!r}")
    phi = math.acos(c)
    rays = sorted(
        {
            ray % (2 * math.pi)
            for ray in (
                math.pi / 2, -math.pi / 2, phi + math.pi / 2,
                phi - math.pi / 2,
            )
        }
    )  # fmt: skip
    rays.append(rays[0] + 2 * math.pi)
    r, wr = _half_line()
    radial = torch.from_numpy(wr * r * np.exp(-r * r / 2))
    radius = torch.from_numpy(r) * math.sqrt(checks.nonnegative("q", q))
    x, w = np.polynomial.legendre.leggauss(nodes)
    total = 0.0
    for a, b in itertools.pairwise(rays):
        angle = torch.from_numpy(a + (b - a) * (x + 1) / 2)
        weight = torch.from_numpy((b - a) * w / 2)
        u = radius[:, None] * angle.cos()
        v = radius[:, None] * (angle - phi).cos()
        total += float(radial @ (f(u) * f(v)) @ weight)
    return total / (2 * math.pi)
