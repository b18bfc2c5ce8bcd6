"""Curves between two networks, and the loss along them."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dldna import batches as batching
from dldna import checks, params
from dldna.guard import untouched
from dldna.landscape.evaluate.subspace import norms
from dldna.landscape.scan.options import named_metrics, statistics_of, way_for
from dldna.landscape.scan.pool import Job
from dldna.landscape.scan.scan import Scan
from dldna.landscape.scan.truth import arithmetic
from dldna.landscape.space.directions import point_of
from dldna.landscape.space.plane import Direction, Plane, orthogonalise
from dldna.objective import (
    accepts_objective,
    check_call,
    check_loss,
    check_model,
    loss_name,
    name_of,
)
from dldna.params import Params
from dldna.records import Line, Provenance

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
    t = torch.as_tensor(t, dtype=torch.float64).reshape(-1, 1)
    i = torch.arange(count, dtype=torch.float64)
    n = count - 1
    if kind == "chain":
        return (1 - (n * t - i).abs()).clamp(min=0)
    binomial = torch.tensor(
        [math.comb(n, k) for k in range(count)], dtype=torch.float64
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
        row = coefficients(self.kind, torch.tensor([t]), len(self.points))
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


@accepts_objective
def walk(
    model: nn.Module,
    curve: Curve,
    loss_fn: Any,
    data: Any,
    points: int = 25,
    *,
    metrics: Any = (),
    statistics: str = "recalibrate",
    limit: int | None = None,
    budget_s: float | None = None,
    out: str | Path | None = None,
    n_jobs: int | None = None,
) -> Line:
    r"""The loss along a curve, both ends included.

    .. math:: L(\phi(t_i)), \qquad t_i = \frac{i}{m - 1}, \quad
        i = 0, \dots, m - 1

    Running statistics of batch normalisation belong to one set of
    weights. They are therefore computed anew at each point; without that
    the loss between two networks is mostly their mismatch.

    Args:
        model: the architecture; its own weights play no part.
        curve: where to walk.
        loss_fn: see :mod:`dldna.batches`.
        data: a loader, tensors or batches; one pass is kept in memory.
        points: number of positions, evenly spaced in t, at least 2.
        metrics: names ("accuracy") or ``f(output, batch) -> mean``.
        statistics: "recalibrate", or "eval", also called "frozen", for the
            model's own buffers, or "train" for each batch's own statistics.
        limit: use only the first so many samples.
        budget_s: seconds this call may take; what does not fit is NaN.
        out: folder for finished points, to resume from.
        n_jobs: processes, as in :func:`dldna.landscape.surface`.

    Returns:
        A line over t with m = ``points`` losses; ``metrics["length"]`` is
        the distance walked in parameter space so far, as the sum of
        straight steps.

    Raises:
        ValueError: the curve belongs to another network, or fewer than two
            points.
        TypeError: ``model`` is no module.

    Example:
        >>> model = nn.Linear(1, 1, bias=False)
        >>> w = [{"weight": torch.tensor([[v]])} for v in (-1.0, 1.0)]
        >>> data = torch.ones(1, 1), torch.zeros(1, 1)
        >>> walk(model, Curve(w), nn.MSELoss(), data, 3).losses
        array([1., 0., 1.])

    References:
        Garipov, Izmailov, Podoprikhin, Vetrov, Wilson, Loss surfaces,
        mode connectivity, and fast ensembling of DNNs, NeurIPS 2018,
        arXiv 1802.10026.
        Jordan, Sedghi, Saukh, Entezari, Neyshabur, REPAIR: renormalizing
        permuted activations for interpolation repair, ICLR 2023,
        arXiv 2211.08403.
    """
    started = time.perf_counter()
    checks.count("points", points, least=2)
    check_model(model)
    check_loss(loss_fn, data)
    controls = [point_of(p, params.of(model)) for p in curve.points]
    ts = np.linspace(0, 1, points)
    rows = coefficients(curve.kind, torch.tensor(ts), len(controls))
    origin = {k: torch.zeros_like(v) for k, v in controls[0].items()}
    with untouched(model):
        held = batching.held(data, limit)
        check_call(model, loss_fn, held, data)
        job = Job(
            model,
            loss_fn,
            held,
            origin,
            controls,
            {
                "metrics": named_metrics(metrics),
                "statistics": statistics_of(statistics)
                if norms(model)
                else "eval",
                "dtype": None,
                "way": way_for("auto", held),
            },
        )
        scan = Scan(
            job,
            data,
            coords=rows.numpy(),
            what="walk",
            ends=[(rows[i].tolist(), controls[i]) for i in (0, -1)],
            start=started,
            budget_s=budget_s,
        )
        values = scan.all(out, n_jobs)
    gram = _gram(controls)
    steps = np.diff(rows.numpy(), axis=0)
    lengths = np.sqrt(np.maximum(((steps @ gram) * steps).sum(axis=1), 0))
    losses = values.pop("loss")
    values["length"] = np.append(0.0, np.cumsum(lengths))
    return Line(
        alphas=ts,
        losses=losses,
        metrics=values,
        provenance=Provenance(
            made=f"loss along a {curve.kind} of {len(controls)} points",
            model=type(model).__name__,
            n_params=params.count(controls[0]),
            data=name_of(data),
            n_samples=scan.samples,
            loss=loss_name(loss_fn),
            device=str(next(model.parameters()).device),
            dtype=arithmetic(model, None),
            seconds=time.perf_counter() - started,
            notes={
                "statistics": statistics if norms(model) else "none",
                "way": scan.way,
                **scan.notes,
            },
        ),
    )


def _gram(points: Sequence[Params]) -> np.ndarray:
    """Inner products of the control points about the first one."""
    offsets = [params.sub(p, points[0]) for p in points]
    return np.array([[params.dot(a, b) for b in offsets] for a in offsets])


def barrier(line: Line) -> float:
    r"""How high the loss rises above the straight line of its ends.

    .. math:: \max_t \; L(t) - \big[(1-t) L(0) + t L(1)\big]

    It is 0 where the path is nowhere above that line; NaN on the way
    gives NaN. Two networks with a barrier near 0 on the straight segment
    are linearly connected.

    Args:
        line: losses over t from 0 to 1, as from :func:`walk`.

    Returns:
        The barrier, in units of the loss.

    Raises:
        ValueError: the line does not hold 0 and 1.

    Example:
        >>> ts = np.linspace(0, 1, 3)
        >>> barrier(Line(ts, np.array([1.0, 5.0, 3.0])))
        3.0

    References:
        Frankle, Dziugaite, Roy, Carbin, Linear mode connectivity and the
        lottery ticket hypothesis, ICML 2020, arXiv 1912.05671.
    """
    t = np.asarray(line.alphas)
    at = [np.flatnonzero(t == end) for end in (0, 1)]
    if not (len(at[0]) and len(at[1])):
        raise ValueError("the line must hold both ends, 0 and 1")
    low, high = (line.losses[i[0]] for i in at)
    inner = (t >= 0) & (t <= 1)
    return float(np.max((line.losses - (1 - t) * low - t * high)[inner]))


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
    return point_of(a, {k: v for k, v in a.items() if v.is_floating_point()})
