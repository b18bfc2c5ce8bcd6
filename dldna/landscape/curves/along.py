"""The loss along a curve, and the barrier on the way."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dldna import batches as batching
from dldna import checks, params
from dldna.guard import untouched
from dldna.landscape.curves.bezier import Curve, coefficients
from dldna.landscape.scan.options import (
    check_budget,
    job_options,
)
from dldna.landscape.scan.pool import Job
from dldna.landscape.scan.scan import Scan
from dldna.landscape.space.points import point_of
from dldna.objective import (
    accepts_objective,
    check_call,
    check_limit,
    check_loss,
    check_model,
    norms,
)
from dldna.params import Params
from dldna.records import Line

STATISTICS = ("recalibrate", "eval", "frozen", "train")


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
    check_budget(budget_s)
    checks.choice("statistics along a curve", statistics, STATISTICS)
    check_model(model)
    check_loss(loss_fn, data)
    controls = [point_of(p, params.of(model)) for p in curve.points]
    ts = np.linspace(0, 1, points)
    rows = coefficients(
        curve.kind, torch.tensor(ts, device="cpu"), len(controls)
    )
    origin = {k: torch.zeros_like(v) for k, v in controls[0].items()}
    with untouched(model):
        held = batching.held(data, limit)
        check_limit(model, loss_fn, held)
        check_call(model, loss_fn, held, data)
        job = Job(
            model,
            loss_fn,
            held,
            origin,
            controls,
            job_options(held, metrics, statistics if norms(model) else "eval"),
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
        provenance=scan.provenance(
            f"loss along a {curve.kind} of {len(controls)} points",
            statistics=statistics if norms(model) else "none",
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
        TypeError: no line.
        ValueError: the line does not hold 0 and 1.

    Example:
        >>> ts = np.linspace(0, 1, 3)
        >>> barrier(Line(ts, np.array([1.0, 5.0, 3.0])))
        3.0

    References:
        Frankle, Dziugaite, Roy, Carbin, Linear mode connectivity and the
        lottery ticket hypothesis, ICML 2020, arXiv 1912.05671.
    """
    if not isinstance(line, Line):
        raise TypeError(
            "a barrier is that of a Line, as walk(...) and line(...) return, "
            f"not of a {type(line).__name__}: losses alone become one by "
            "Line(alphas, losses)"
        )
    t = np.asarray(line.alphas)
    at = [np.flatnonzero(t == end) for end in (0, 1)]
    if not (len(at[0]) and len(at[1])):
        raise ValueError("the line must hold both ends, 0 and 1")
    low, high = (line.losses[i[0]] for i in at)
    inner = (t >= 0) & (t <= 1)
    return float(np.max((line.losses - (1 - t) * low - t * high)[inner]))
