"""The loss along a line: between two networks, or away from one."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dldna import batches as batching
from dldna import checks, params
from dldna.checks import folder, processes, renamed, whole
from dldna.guard import untouched
from dldna.landscape.scan.grid import line_grid
from dldna.landscape.scan.options import (
    buffer_steps,
    check_budget,
    job_options,
    statistics_of,
)
from dldna.landscape.scan.pool import Job
from dldna.landscape.scan.scan import Scan
from dldna.landscape.space.checkpoints import read_checkpoint
from dldna.landscape.space.directions import (
    DIRECTIONS,
    Given,
    choose_directions,
)
from dldna.landscape.space.plane import Direction
from dldna.landscape.space.points import point_of
from dldna.objective import (
    accepts_objective,
    check_call,
    check_limit,
    check_loss,
    check_model,
    name_of,
)
from dldna.params import norm
from dldna.records import Line
from dldna.said_once import SaidOnce


@renamed(path="way", precision="dtype")
@accepts_objective
def line(
    model_a: nn.Module,
    model_b: Any,
    loss_fn: Callable,
    data: Any,
    *,
    alphas: Sequence[float] | None = None,
    extent: Any = None,
    resolution: int = 51,
    statistics: str | None = None,
    metrics: Any = (),
    dtype: str | torch.dtype | None = None,
    way: str = "auto",
    limit: int | None = None,
    budget_s: float | None = None,
    budget_points: int | None = None,
    out: str | Path | None = None,
    n_jobs: int | None = None,
    seed: int = 0,
    vectors: str = "zero",
    params: Any = None,
    data_name: str = "",
) -> Line:
    r"""Evaluate the loss on a line through parameter space.

    .. math:: w(\alpha) = (1 - \alpha) w_a + \alpha w_b

    towards another network, or :math:`w_a + \alpha d` along a direction.
    0 is on the grid, and towards another network so is 1; there the value
    is checked against the networks' own losses. Neither network is moved.

    A low barrier on a straight line says little about the way between two
    networks, and width along a line is not flatness: it changes with the
    scale of the weights.

    Args:
        model_a: the network at 0.
        model_b: the network at 1 (a module, a state dict or the file of
            one); or a direction: a name of ``DIRECTIONS``, a
            :class:`Direction`, or a flat vector.
        loss_fn: a torch loss, or ``f(output, batch)``.
        data: a loader, tensors, or dict batches; one pass is kept.
        alphas: the coordinates; 0 (and 1) are put in if they are missing.
        extent: half width or (low, high), without ``alphas``. Default
            (-0.5, 1.5) between two networks, 1 along a direction. With 0
            and 1 on it, the grid may stop short of an end by part of a step.
        resolution: number of points, where ``alphas`` is not given.
        statistics: what batch normalisation uses: "interpolate" (running
            statistics move with the weights, integer buffers stay; the
            default between two networks), "eval", also called "frozen"
            (those of ``model_a``), "recalibrate" (recomputed at each
            point), "train".
        metrics: names ("accuracy") or a dict of functions.
        dtype: of the arithmetic, as in :func:`surface`.
        way: how points are evaluated, as in :func:`surface`.
        limit: use only the first so many samples.
        budget_s: seconds this call may take, as in :func:`surface`; what
            does not fit is NaN.
        budget_points: evaluate at most so many points, coarse to fine.
        out: folder for finished points, to resume from.
        n_jobs: processes, as in :func:`surface`.
        seed: of a random direction.
        vectors: biases in random directions, as in :func:`surface`.
        params: the parameters that may move, as in :func:`surface`.
        data_name: what to call the data in the record.

    Returns:
        The record.

    Raises:
        ValueError: the networks differ in their parameters, or a value
            does not fit.
        RuntimeError: an end does not equal its network's loss.

    Example:
        >>> a, b = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.constant_(a.weight, 0), nn.init.constant_(b.weight, 2)
        >>> one = torch.ones(1, 1)
        >>> line(a, b, nn.MSELoss(), (one, one), resolution=5).losses
        array([4., 1., 0., 1., 4.])

    References:
        Goodfellow, Vinyals, Saxe, "Qualitatively characterizing neural
        network optimization problems", ICLR 2015, arXiv 1412.6544.
        Lucas et al., 2021, arXiv 2104.11044, on how little a monotone
        line tells.
    """
    start = time.perf_counter()
    check_model(model_a)
    check_loss(loss_fn, data)
    seed = whole("seed", seed)
    processes("n_jobs", n_jobs)
    check_budget(budget_s, budget_points)
    if out is not None:
        out = folder("out", out)
    model_b = _end(model_b)
    between = _is_network(model_b, model_a)
    if statistics is None:
        moving = between and any(
            b.is_floating_point() for b in model_a.buffers()
        )
        statistics = "interpolate" if moving else "eval"
    statistics = statistics_of(statistics)
    grid = line_grid(alphas, extent, resolution, between)
    if between:
        _check_apart(model_b, model_a)
    watched = [m for m in (model_a, model_b) if isinstance(m, nn.Module)]
    with untouched(*watched) as kept:
        held = batching.held(data, limit)
        options = job_options(held, metrics, statistics, dtype, way)
        check_limit(model_a, loss_fn, held)
        check_call(model_a, loss_fn, held, data)
        given = Given(
            model=model_a, loss_fn=loss_fn, data=held, seed=seed,
            vectors=vectors, others=[model_b] if between else (),
            params=params,
        )  # fmt: skip
        chosen = "checkpoints" if between else model_b
        [direction] = choose_directions(chosen, given, 1)
        steps = None
        if statistics == "interpolate":
            steps = buffer_steps(model_a, [model_b] if between else ())
        job = Job(
            model_a,
            loss_fn,
            held,
            kept[0].weights(model_a),
            [direction.vector],
            options | {"buffer_directions": steps},
        )
        scan = Scan(
            job,
            data,
            axes=(grid,),
            what="line",
            ends=[((1.0,), model_b)] if between else (),
            start=start,
            budget_s=budget_s,
            budget_points=budget_points,
        )
        values = scan.all(out, n_jobs)
    losses = values.pop("loss")
    return Line(
        alphas=grid,
        losses=losses,
        metrics=values,
        provenance=scan.provenance(
            "line",
            seed,
            data_name,
            direction=direction.done,
            length=norm(direction.vector),
            statistics=statistics,
            **given.moved,
            **{"direct loss at 0": scan.centre},
        ),
    )


@renamed(path="way", precision="dtype")
@accepts_objective
def band(
    model: nn.Module,
    loss_fn: Callable,
    data: Any,
    directions: str = "random",
    seeds: Sequence[int] = range(5),
    **options,
) -> Line:
    r"""Lines along several random directions: how much one picture tells.

    .. math:: m(\alpha) = \operatorname{median}_s L(w + \alpha d_s)

    where :math:`d_s` is the direction of seed s. The band reaches from the
    smallest to the largest of these losses at each :math:`\alpha`; it is
    no confidence interval.

    Args:
        model: the network at 0.
        loss_fn: the loss.
        data: one pass is kept and used for all lines.
        directions: a random way of ``DIRECTIONS``.
        seeds: one line for each; at least 2.
        **options: of :func:`line`, without ``seed``.

    Returns:
        A line whose losses are the median over the seeds; ``metrics`` has
        "low" and "high", and "seed N" for each seed, all in units of the
        loss. Metrics that were asked for are medians, too.

    Raises:
        ValueError: fewer than two seeds, or a way that is not random.

    Example:
        >>> model = nn.Linear(2, 1)
        >>> data = torch.randn(8, 2), torch.randn(8, 1)
        >>> b = band(model, nn.MSELoss(), data, seeds=[0, 1, 2])
        >>> bool((b.metrics["low"] <= b.losses).all())
        True

    References:
        Goodfellow, Vinyals, Saxe, "Qualitatively characterizing neural
        network optimization problems", ICLR 2015, arXiv 1412.6544.
        Li, Xu, Taylor, Studer, Goldstein, "Visualizing the Loss Landscape
        of Neural Nets", NeurIPS 2018, arXiv 1712.09913.
    """
    seeds = checks.seeds(seeds)
    if len(set(seeds)) < 2:
        raise ValueError("a band needs at least two different seeds")
    if not str(directions).startswith("random"):
        raise ValueError(
            f"directions={directions!r} do not depend on the seed; a band "
            "needs one of: "
            + ", ".join(d for d in DIRECTIONS if d.startswith("random"))
        )
    check_model(model)
    check_loss(loss_fn, data)
    options.setdefault("data_name", name_of(data))
    start, lines, once = time.perf_counter(), [], SaidOnce()

    def spent() -> float:
        return time.perf_counter() - start

    with untouched(model):
        held = batching.held(data, options.pop("limit", None))
        out, seconds = options.pop("out", None), options.pop("budget_s", None)
        for s in seeds:
            if out is not None:
                options["out"] = Path(out) / f"seed {s}"
            if seconds is not None:  # what is left, for the lines to come
                check_budget(seconds)
                left = max(seconds - spent(), 1e-3)
                options["budget_s"] = left / (len(seeds) - len(lines))
            with once:
                lines.append(
                    line(model, directions, loss_fn, held, seed=s, **options)
                )
    losses = np.stack([one.losses for one in lines])
    first = lines[0]
    metrics = {"low": losses.min(0), "high": losses.max(0)}
    metrics |= {f"seed {s}": row for s, row in zip(seeds, losses, strict=True)}
    for name in first.metrics:
        metrics[name] = np.median([ln.metrics[name] for ln in lines], 0)
    notes = first.provenance.notes | {"seeds": seeds, "losses": "median"}
    provenance = first.provenance.__class__(
        **{
            **vars(first.provenance),
            "made": "band",
            "notes": notes,
            "seconds": spent(),
        }
    )
    return Line(first.alphas, np.median(losses, 0), metrics, provenance)


def _end(end: Any) -> Any:
    """The other end of a line, read from a file if it is one."""
    parallel = nn.DataParallel, nn.parallel.DistributedDataParallel
    if isinstance(end, parallel):
        end = end.module
    if isinstance(end, nn.Module):
        check_model(end, "model_b")
    file = isinstance(end, str) and (
        Path(end).suffix != "" or Path(end).exists()
    )
    if isinstance(end, Path) or (file and end not in DIRECTIONS):
        return read_checkpoint(end)
    return end


def _check_apart(end: Any, model: nn.Module) -> None:
    """Refuse a line from a network to itself."""
    own = params.of(model)
    there = point_of(end, own)
    if all(torch.equal(v, there[k]) for k, v in own.items()):
        raise ValueError(
            "model_b has the very weights of model_a, so there is no line "
            "between them: give another network or checkpoint"
        )


def _is_network(end: Any, model: nn.Module) -> bool:
    if isinstance(end, nn.Module):
        return True
    if isinstance(end, Direction) or not isinstance(end, Mapping):
        return False
    point_of(end, params.of(model))  # a state dict: complain if it is not
    return True
