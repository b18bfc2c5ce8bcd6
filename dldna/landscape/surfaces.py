"""The loss on a plane through parameter space."""

import time
from collections.abc import Callable, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dldna.checks import folder, processes, renamed, whole
from dldna.guard import untouched
from dldna.landscape.paths.trajectory import opened
from dldna.landscape.planned import planned
from dldna.landscape.scan.estimate import Cost, memory
from dldna.landscape.scan.pool import workers
from dldna.objective import accepts_objective, check_model
from dldna.records import Surface


@renamed(path="way", precision="dtype")
@accepts_objective
def surface(
    model: nn.Module,
    loss_fn: Callable,
    data: Any,
    directions: Any = "random",
    extent: Any = 1.0,
    resolution: int | tuple[int, int] = 41,
    budget_s: float | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    *,
    metrics: Any = (),
    statistics: str | None = None,
    way: str = "auto",
    dtype: str | torch.dtype | None = None,
    limit: int | None = None,
    budget_points: int | None = None,
    orthogonal: bool = False,
    vectors: str = "zero",
    trajectory: Any = None,
    others: Sequence[Any] = (),
    pairs: int = 2,
    n_jobs: int | None = None,
    params: Any = None,
    data_name: str = "",
) -> Surface:
    r"""Evaluate the loss on a grid of a plane through the model's weights.

    .. math:: f(\alpha, \beta) = L(w + \alpha d_1 + \beta d_2)

    The model is not moved: it is bit-identical afterwards, also after an
    exception or Ctrl-C. (0, 0) is on every grid, and its value is checked
    against the model's directly evaluated loss. NaN and inf are kept.

    A long job says first how long it will take. With ``out``, finished
    tiles are kept in that folder, and the same call goes on there after a
    kill; the result is the same as without the kill.

    Args:
        model: any module whose forward takes the batch's inputs.
        loss_fn: a torch loss, or ``f(output, batch)`` (see
            :mod:`dldna.batches`), or "model" for the loss that the model
            gives when it gets the whole batch, labels too (a Lightning
            module by its ``training_step``, a detector in training mode).
        data: a loader, tensors or NumPy arrays, or dict batches. One pass
            is kept in memory and used for every point. Axis 0 is the
            batch; where the target tells that it is not (a recurrent
            network without ``batch_first``), nothing that cuts the data
            is possible, and the slow way is taken. Where the number of
            samples cannot be known (graphs, bags of words), say it by
            ``size=lambda batch: ...``.
        directions: a name of :data:`DIRECTIONS`, which says what each is
            ("random" is filter-normalised after Li et al.); a
            :class:`Plane`; or two of: names, dicts of tensors, flat
            vectors, lists of tensors. What a dict lacks stands still.
        extent: half width of both axes, a pair (low, high) for both, or
            two pairs; 0 must be inside. With a trajectory, "path" takes
            what holds the whole path.
        resolution: points along each axis, or a pair. An even number has
            one point more on the positive side (see :func:`axis`).
        budget_s: seconds this call may take. If the whole job is longer,
            fewer samples are used (evenly spaced, at least 512), and then
            the grid is filled from coarse to fine until time is up;
            ``evaluated`` marks what is there.
        out: folder for finished tiles, to resume from.
        seed: of random directions.
        metrics: more to measure in the same pass: names ("accuracy") or
            a dict of ``f(output, batch) -> mean``.
        statistics: what batch normalisation uses: "eval", also called
            "frozen" (the running statistics as they are), "train" (each
            batch's own), "recalibrate" (recomputed over all data at each
            point) or, towards checkpoints, "interpolate" (they move with
            the weights). By default "interpolate" towards checkpoints,
            "recalibrate" if these directions are made orthogonal, else
            "eval".
        way: how points are evaluated; "auto" takes the fastest that agrees
            with the slow one (see :func:`dldna.landscape.evaluate.choose`).
        dtype: of the arithmetic: "float32", "float64" (copies are cast),
            "bfloat16" (products are computed in it), or torch's own name
            for the type; None for the types that the model has.
        limit: use only the first so many samples.
        budget_points: evaluate at most so many points in this call,
            coarse to fine.
        orthogonal: make the second direction perpendicular to the first.
        vectors: biases and other 1-D tensors in random directions: "zero"
            (as in the paper), "copy", "normalise".
        trajectory: a :class:`Trajectory`, or its folder, to project onto
            the plane.
        others: models, state dicts or files of them, for
            ``directions="checkpoints"``; refused where no direction
            looks at them.
        pairs: eigenpairs to find for ``directions="hessian"``; the plane
            is that of the first two, and ``provenance.notes["hessian"]``
            keeps eigenvalues, residuals and error bars of all.
        n_jobs: processes for joblib; None uses them only inside an active
            ``joblib.parallel_config``.
        params: the parameters that may move: "trainable", "all", names,
            parts ("head"), patterns ("*.lora_*") or the parameters
            themselves, one or a list. By default random directions move
            all, frozen ones (``requires_grad=False``) too, and those of
            gradient and Hessian the trainable ones.
        data_name: what to call the data in the record.

    Returns:
        The record; its ``losses`` have shape (A, B): row i belongs to
        ``alphas[i]``, column j to ``betas[j]``. ``surface.report()`` says
        how far to trust it.

    Raises:
        ValueError: what was given does not fit; the message says how.
        TypeError: likewise, for a thing of the wrong kind.
        RuntimeError: the centre does not equal the model's loss, or
            another process works in ``out``.

    Example:
        >>> import torch
        >>> model = nn.Linear(2, 1, bias=False)
        >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> y = model(x).detach()
        >>> s = surface(model, nn.MSELoss(), (x, y), resolution=3,
        ...             directions=[torch.tensor([1.0, 0.0]),
        ...                         torch.tensor([0.0, 1.0])])
        >>> s.losses.round(6).tolist()
        [[1.0, 0.5, 1.0], [0.5, 0.0, 0.5], [1.0, 0.5, 1.0]]

    References:
        Li, Xu, Taylor, Studer, Goldstein, "Visualizing the Loss Landscape
        of Neural Nets", NeurIPS 2018, arXiv 1712.09913.
    """
    start = time.perf_counter()
    check_model(model)
    processes("n_jobs", n_jobs)
    seed = whole("seed", seed)
    if out is not None:
        out = folder("out", out)
    trajectory = opened(trajectory)
    with untouched(model) as [kept]:
        chosen, plane, shadow, run = planned(
            model, loss_fn, data, directions, extent, resolution, budget_s,
            out, seed, metrics, statistics, way, dtype, limit,
            budget_points, orthogonal, vectors, trajectory, others, pairs,
            params, start, kept,
        )  # fmt: skip
        values = run.all(out, n_jobs)
        path_fields = {}
        if shadow is not None:
            path_fields = trajectory.losses_on(run.job, plane, shadow)
    alphas, betas = run.axes
    shape = (len(alphas), len(betas))
    losses = values.pop("loss")
    record = Surface(
        alphas=alphas,
        betas=betas,
        losses=losses.reshape(shape),
        evaluated=run.done.reshape(shape),
        centre_loss=run.centre,
        metrics={k: v.reshape(shape) for k, v in values.items()},
        directions=[d.name for d in chosen],
        way=run.way,
        **path_fields,
        provenance=run.provenance(
            "surface",
            seed,
            data_name,
            directions=[d.done for d in chosen],
            statistics=run.job.options["statistics"],
            **plane.notes,
        ),
    )
    if out is not None:
        record.save(Path(out) / "surface.npz")
    return record


@renamed(path="way", precision="dtype")
@accepts_objective
def cost(*args, **kwargs) -> Cost:
    """What a call of :func:`surface` with these arguments would cost.

    Directions are made and a few points timed; nothing is written. The
    estimate is :attr:`Cost.seconds`.

    Args:
        *args: of :func:`surface`.
        **kwargs: of :func:`surface`.

    Returns:
        The estimate; as text, a line for people.

    Raises:
        TypeError: an argument that :func:`surface` does not have, or a
            model that is no module.
        ValueError: as :func:`surface`.

    Example:
        >>> import torch
        >>> data = torch.randn(4, 2), torch.randn(4, 1)
        >>> cost(nn.Linear(2, 1), nn.MSELoss(), data, resolution=7).points
        49
    """
    bound = signature(surface).bind(*args, **kwargs)
    bound.apply_defaults()
    given = dict(bound.arguments)
    out, n_jobs = given.pop("out"), given.pop("n_jobs")
    given.pop("data_name")
    model = given["model"]
    check_model(model)
    processes("n_jobs", n_jobs)
    if out is not None:
        out = folder("out", out)
    given["trajectory"] = opened(given["trajectory"])
    with untouched(model) as [kept]:
        start = time.perf_counter()
        run = planned(**given, out=None, start=start, kept=kept)[-1]
        whole = run.samples
        seconds, done = run.cost(out, n_jobs)
    return Cost(
        points=len(run.coords),
        done=done,
        samples=run.samples,
        seconds_per_point=seconds,
        workers=workers(n_jobs),
        way=run.way,
        samples_in_all=whole,
        memory=memory(run.job.origin, len(run.job.directions)),
    )
