"""What every picture of a plane begins with: checks, directions, grid."""

from dldna import batches as batching
from dldna.checks import count
from dldna.landscape.scan.grid import axes, extent_of
from dldna.landscape.scan.options import (
    buffer_steps,
    check_budget,
    job_options,
)
from dldna.landscape.scan.pool import Job
from dldna.landscape.scan.scan import Scan
from dldna.landscape.scan.timing import LEAST_SAMPLES
from dldna.landscape.space.directions import Given
from dldna.landscape.space.plane import Plane, angle
from dldna.landscape.space.stored import remembered
from dldna.objective import check_call, check_limit, check_loss
from dldna.objective.own_loss import resolved


def planned(
    model, loss_fn, data, directions, extent, resolution, budget_s, out,
    seed, metrics, statistics, way, dtype, limit, budget_points,
    orthogonal, vectors, trajectory, others, pairs, params, start, kept,
    called=False, own=None,
):  # fmt: skip
    """Check everything; choose directions and grid.

    Args as :func:`dldna.landscape.surface`'s, and ``kept``, the guard of
    the model, and ``called``, whether an objective has called it already
    and seen that its loss is a function of the weights, and ``own``, the
    loss at the centre if one has just evaluated it in the model's own type.

    Returns:
        The directions, the plane, the trajectory's shadow on it (or None),
        and the scan with its job and its axes; nothing is evaluated yet.
    """
    check_budget(budget_s, budget_points)
    count("pairs", pairs)
    named = [directions] if isinstance(directions, str) else directions
    if len(others) and statistics != "interpolate" and _without(named):
        raise ValueError(
            "others=... belongs to directions='checkpoints', and these are "
            f"{directions!r}"
        )
    loss_fn, data = resolved(loss_fn, data, model)
    check_loss(loss_fn, data)
    held = batching.held(data, limit)
    samples = sum(batching.size(b) for b in held)
    if budget_s is not None and samples > LEAST_SAMPLES:
        for batch in held:
            batching.check_sliced(batch, f"budget_s={budget_s}")
    check_limit(model, loss_fn, held)
    if not called:
        check_call(model, loss_fn, held, data)
    towards = isinstance(directions, str) and directions == "checkpoints"
    moving = towards and any(b.is_floating_point() for b in model.buffers())
    if statistics is None:
        between = "recalibrate" if orthogonal else "interpolate"
        statistics = between if moving else "eval"
    options = job_options(held, metrics, statistics, dtype, way)
    given = Given(
        model=model,
        loss_fn=loss_fn,
        data=held,
        seed=seed,
        vectors=vectors,
        trajectory=trajectory,
        others=others,
        pairs=pairs,
        params=params,
    )
    chosen = remembered(out, directions, given, orthogonal)
    plane = Plane(kept.weights(model), chosen, given.notes)
    plane.notes.update(angle(plane) | given.moved)
    shadow = None if trajectory is None else trajectory.project(plane)
    if options["statistics"] == "interpolate":
        options["buffer_directions"] = buffer_steps(model, others)
    job = Job(model, loss_fn, held, plane.origin, plane.vectors, options)
    grid = axes(extent_of(extent, shadow), resolution)
    ends = []
    if towards and not orthogonal:
        ends = [*zip(((1.0, 0.0), (0.0, 1.0)), others, strict=True)]
    run = Scan(
        job,
        data,
        axes=grid,
        ends=ends,
        start=start,
        budget_s=budget_s,
        budget_points=budget_points,
    )
    if called:
        run.steady, run.own = True, own
    return chosen, plane, shadow, run


def _without(directions) -> bool:
    """Whether these are names, none of which looks at other networks."""
    if not isinstance(directions, (tuple, list)):
        return False
    words = [w for w in directions if isinstance(w, str)]
    return len(words) == len(directions) and "checkpoints" not in words
