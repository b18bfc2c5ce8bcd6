"""Curves and planes through networks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dldna import checks, params
from dldna.landscape.space.plane import Direction, Plane, orthogonalise
from dldna.landscape.space.points import point_of, state_of
from dldna.params import Params
from dldna.records import Provenance

KINDS = ("bezier", "chain")
"""The kinds of curve between two networks, smooth or with corners (Garipov
et al. 2018, arXiv 1802.10026)."""


def coefficients(kind: str, t: Tensor, count: int) -> Tensor:
    r"""How much of each control point a curve takes at t.

    .. math:: \binom{n}{i} t^i (1-t)^{n-i} \text{ (Bezier)}, \qquad
        \max(0, 1 - |n t - i|) \text{ (chain)}

    with :math:`i = 0, \dots, n` and :math:`n` one less than ``count``. The
    first are the Bernstein polynomials, the second hat functions. With
    three points these are the two curves of Garipov et al.

    Args:
        kind: "bezier" or "chain".
        t: (T,) positions, 0 to 1.
        count: number of control points, both ends among them.

    Returns:
        (T, count) in float64; each row adds up to 1.

    Raises:
        ValueError: unknown kind, or fewer than two control points.

    Example:
        >>> coefficients("bezier", torch.tensor([0.5]), 3).tolist()
        [[0.25, 0.5, 0.25]]
        >>> coefficients("chain", torch.tensor([0.25]), 3).tolist()
        [[0.5, 0.5, 0.0]]

    References:
        Garipov, Izmailov, Podoprikhin, Vetrov, Wilson, Loss surfaces,
        mode connectivity, and fast ensembling of DNNs, NeurIPS 2018,
        arXiv 1802.10026.
    """
    checks.choice("kind of curve", kind, KINDS)
    checks.count("number of points", count, least=2)
    t = torch.as_tensor(t, dtype=torch.float64, device="cpu").reshape(-1, 1)
    i = torch.arange(count, dtype=torch.float64, device="cpu")
    n = count - 1
    if kind == "chain":
        return (1 - (n * t - i).abs()).clamp(min=0)
    binomial = torch.tensor(
        [math.comb(n, k) for k in range(count)],
        dtype=torch.float64,
        device="cpu",
    )
    return binomial * t**i * (1 - t) ** (n - i)


@dataclass(frozen=True, eq=False)
class Curve:
    r"""A curve through parameter space from one network to another.

    .. math:: \phi(t) = \sum_i b_i(t) \, p_i, \qquad 0 \le t \le 1

    where :math:`p_i` are the control points and :math:`b_i` the shares of
    :func:`coefficients`.

    Args:
        points: control points, one tensor for each parameter; the first
            and the last are the ends.
        kind: "bezier" or "chain". With two points both are the segment.
        losses: (S,) loss of each step of its fit, if it was fitted.
        provenance: where it came from.

    Raises:
        ValueError: unknown kind, fewer than two points, or points of
            different networks.

    Example:
        >>> a, b = {"w": torch.zeros(1)}, {"w": torch.ones(1)}
        >>> bend = {"w": torch.tensor([5.0])}
        >>> Curve([a, bend, b], "chain").at(0.75)["w"]
        tensor([3.])

    References:
        Garipov, Izmailov, Podoprikhin, Vetrov, Wilson, Loss surfaces,
        mode connectivity, and fast ensembling of DNNs, NeurIPS 2018,
        arXiv 1802.10026.
    """

    points: Sequence[Params]
    kind: str = "bezier"
    losses: np.ndarray = field(default_factory=lambda: np.zeros(0))
    provenance: Provenance = field(default_factory=Provenance)

    def __post_init__(self):
        checks.choice("kind of curve", self.kind, KINDS)
        checks.count("number of points", len(self.points), least=2)
        for point in self.points[1:]:
            params.check_same(self.points[0], point)

    def at(self, t: float) -> Params:
        """The parameters at t; 0 and 1 give the ends bit by bit.

        Args:
            t: position on the curve, 0 to 1.

        Returns:
            One new tensor for each parameter.

        Example:
            >>> p = [{"w": torch.tensor([v])} for v in (0.0, 4.0, 2.0)]
            >>> Curve(p).at(0.5)["w"]
            tensor([2.5000])
        """
        row = coefficients(
            self.kind, torch.tensor([t], device="cpu"), len(self.points)
        )
        return mix(self.points, row[0].tolist())

    @property
    def bends(self) -> Sequence[Params]:
        """The control points between the ends.

        Example:
            >>> p = [{"w": torch.tensor([v])} for v in (0.0, 4.0, 2.0)]
            >>> Curve(p).bends
            [{'w': tensor([4.])}]
        """
        return self.points[1:-1]


def mix(points: Sequence[Params], shares: Sequence[float]) -> Params:
    """A sum of points with shares; a share of 0 changes no bit."""
    used = [(p, c) for p, c in zip(points, shares, strict=True) if c != 0]
    return {
        k: sum((p[k] * c for p, c in used[1:]), used[0][0][k] * used[0][1])
        for k in points[0]
    }


def segment(a: Any, b: Any) -> Curve:
    r"""The straight line between two networks.

    .. math:: \phi(t) = (1 - t) \, w_a + t \, w_b

    Args:
        a: a model, a state dict or parameters by name. From a dict, all
            floating tensors are taken, buffers too if it holds them.
        b: the other end; it must hold the same tensors.

    Returns:
        A curve with two control points.

    Raises:
        ValueError: the two belong to different networks.
        TypeError: ``b`` is neither a model nor a dict.

    Example:
        >>> a, b = ({"w": torch.tensor([v])} for v in (1.0, 3.0))
        >>> segment(a, b).at(0.25)["w"]
        tensor([1.5000])

    References:
        Goodfellow, Vinyals, Saxe, Qualitatively characterizing neural
        network optimization problems, ICLR 2015, arXiv 1412.6544.
        Frankle, Dziugaite, Roy, Carbin, Linear mode connectivity and the
        lottery ticket hypothesis, ICML 2020, arXiv 1912.05671.
    """
    start = _start(a)
    return Curve([start, point_of(b, start)])


def plane_through(a: Any, b: Any, c: Any) -> Plane:
    r"""The plane through three networks, with unit axes at right angles.

    .. math:: d_1 = \frac{b - a}{\|b - a\|}, \qquad
        d_2 = \frac{u}{\|u\|}, \quad
        u = c - a - \big(d_1 \cdot (c - a)\big) \, d_1

    Args:
        a: the origin: a model, a state dict or parameters by name.
        b: lies on the first axis.
        c: lies above it, such as the bend of a curve.

    Returns:
        The plane; ``notes["corners"]`` are the coordinates of the three.
        Give it to :func:`dldna.landscape.surface` as ``directions``.

    Raises:
        ValueError: the three lie on one line, or do not fit.

    Example:
        >>> p = [{"w": torch.tensor(v)} for v in
        ...      ([1.0, 1.0, 1.0], [4.0, 1.0, 1.0], [2.0, 1.0, 6.0])]
        >>> plane_through(*p).notes["corners"]
        [[0.0, 0.0], [3.0, 0.0], [1.0, 5.0]]

    References:
        Garipov, Izmailov, Podoprikhin, Vetrov, Wilson, Loss surfaces,
        mode connectivity, and fast ensembling of DNNs, NeurIPS 2018,
        arXiv 1802.10026.
    """
    origin = _start(a)
    points = [point_of(other, origin) for other in (b, c)]
    names = ("to the second", "towards the third")
    steps = [
        Direction(params.sub(p, origin), name, "unit length")
        for p, name in zip(points, names, strict=True)
    ]
    units = [
        Direction(
            params.scale(d.vector, 1 / params.norm(d.vector)), d.name, d.done
        )
        for d in orthogonalise(steps)
    ]
    plane = Plane(origin, units)
    corners = [plane.project(p)[0].tolist() for p in (origin, *points)]
    return Plane(origin, units, {"corners": corners})


def _start(a: Any) -> Params:
    """A copy of one network's parameters, whatever it comes as."""
    if isinstance(a, nn.Module):
        return params.copy(params.of(a))
    held = state_of(a)
    return point_of(
        held, {k: v for k, v in held.items() if v.is_floating_point()}
    )
