"""How far from convex a loss is, at each point of a plane."""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dldna import checks
from dldna.guard import untouched
from dldna.landscape.curvature.call import watch
from dldna.landscape.curvature.moving import MovingHessian
from dldna.landscape.curvature.serpentine import Serpentine
from dldna.landscape.paths.trajectory import opened
from dldna.landscape.planned import planned
from dldna.landscape.scan.fingerprint import digest, scan_identity
from dldna.landscape.scan.store import Store
from dldna.objective import accepts_objective, check_model
from dldna.records import ConvexityMap

WAYS = ("reverse", "difference")


@accepts_objective
def convexity_map(
    model: nn.Module,
    loss_fn: Callable,
    data: Any,
    directions: Any = "random",
    extent: Any = 1.0,
    resolution: int | tuple[int, int] = 25,
    tol: float = 0.1,
    out: str | Path | None = None,
    seed: int = 0,
    *,
    statistics: str | None = None,
    way: str = "reverse",
    dtype: str | torch.dtype | None = None,
    limit: int | None = None,
    orthogonal: bool = False,
    vectors: str = "zero",
    trajectory: Any = None,
    others: Sequence[Any] = (),
    pairs: int = 2,
    params: Any = None,
    max_products: int = 200,
    warm: bool = True,
    data_name: str = "",
) -> ConvexityMap:
    r"""Find both ends of the Hessian's spectrum at each point of a plane.

    .. math:: r(\alpha,\beta)=\left|\frac{\lambda_\min(H)}
        {\lambda_\max(H)}\right|,\qquad
        H=\nabla^2 L(w+\alpha d_1+\beta d_2)

    The Hessian is that over all parameters: where :math:`r` is large, the
    loss curves down along a direction that the plane need not show. The
    rows are walked to and fro, and each search begins at the eigenvectors
    that are expected from the points around it (see
    :func:`~dldna.landscape.curvature.extremes.predicted`). Eigenvalues are
    those of Rayleigh quotients, so the true ends lie at them or beyond.
    Every 25th point is searched a second time from a random vector;
    the end that lies further out is kept, and
    ``provenance.notes["looked again"]`` says how often that was the other.

    The model is not moved. With ``out``, finished rows are kept in that
    folder, and the same call goes on there after a kill; the result is
    the same as without it.

    Args:
        model: any module whose forward takes the batch's inputs.
        loss_fn: a torch loss, or ``f(output, batch)``, as in
            :func:`surface`.
        data: a loader, a batch, or tensors; one pass is kept in memory.
        directions: of the plane, as in :func:`surface`.
        extent: half width of both axes, a pair, or two pairs.
        resolution: points along each axis, or a pair.
        tol: bound of the residual :math:`\|Hv-\lambda v\|` of each end,
            relative to its eigenvalue, or to ``tol`` times the other,
            where that is more. An eigenvalue lies within that length of
            what is given; the error is mostly that of its square, over the
            distance to the next eigenvalue.
        out: folder for finished rows, to resume from.
        seed: of random directions and of cold starts.
        statistics: what batch normalisation uses, as in :func:`surface`:
            "eval" ("frozen"), "train", "recalibrate" (recomputed at each
            point, and held while the loss is differentiated there) or,
            towards checkpoints, "interpolate".
        way: of the products: "reverse" (two backward passes) or
            "difference" (of gradients; see :class:`Operator`).
        dtype: "float32" or "float64"; by default as the model.
        limit: use only the first so many samples.
        orthogonal: make the second direction perpendicular to the first.
        vectors: biases and other 1-D tensors in random directions.
        trajectory: a :class:`Trajectory`, or its folder, to project onto
            the plane.
        others: models, state dicts or files, for
            ``directions="checkpoints"``.
        pairs: eigenpairs to find for ``directions="hessian"``.
        params: the parameters that may move, on the plane and in the
            Hessian; by default those of :func:`surface` on the plane, and
            the trainable ones in the Hessian.
        max_products: give up on a point after this many.
        warm: begin at what the neighbours found; otherwise each point
            begins at a random vector.
        data_name: what to call the data in the record.

    Returns:
        The record; NaN where the loss or a product is not finite.

    Raises:
        ValueError: what was given does not fit; the message says how.
        TypeError: likewise, for a thing of the wrong kind.
        RuntimeError: another process works in ``out``.

    Example:
        >>> x = torch.ones(2, 1)
        >>> class Product(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.w = nn.Parameter(torch.ones(2))
        ...     def forward(self, x):
        ...         return self.w[0] * self.w[1] ** 2 * x
        >>> found = convexity_map(
        ...     Product(), lambda y, batch: y.mean(), (x, x), resolution=3,
        ...     directions=[torch.tensor([1.0, 0]), torch.tensor([0, 1.0])])
        >>> round(float(found.ratio[1, 1]), 4)  # of [[0, 2], [2, 2]]
        0.382

    References:
        Li, Xu, Taylor, Studer, Goldstein, "Visualizing the Loss Landscape
        of Neural Nets", NeurIPS 2018, arXiv 1712.09913, section 6.
    """
    start = time.perf_counter()
    check_model(model)
    checks.positive("tol", tol)
    seed = checks.whole("seed", seed)
    checks.choice("way", way, WAYS)
    checks.count("max_products", max_products, 2)
    if out is not None:
        out = checks.folder("out", out)
    trajectory = opened(trajectory)
    with untouched(model) as [kept]:
        chosen, plane, shadow, run = planned(
            model, loss_fn, data, directions, extent, resolution, None, out,
            seed, (), statistics, "slow", dtype, limit, None, orthogonal,
            vectors, trajectory, others, pairs, params, start, kept,
        )  # fmt: skip
        walk = Serpentine(run.axes, tol, seed, max_products, warm)
        walk.hessian = _hessian(run.job, way, dtype, params)
        _fill(walk, run, None if out is None else Store(out, "a map"))
    path = {}
    if shadow is not None:
        path["path_coords"] = shadow.coords
        path["path_distance"] = shadow.distances
    record = ConvexityMap(
        *run.axes,
        **walk.values,
        **path,
        directions=[d.name for d in chosen],
        provenance=run.provenance(
            "convexity map",
            seed,
            data_name,
            directions=[d.done for d in chosen],
            statistics=run.job.options["statistics"],
            hessian=list(walk.hessian.names),
            **(plane.notes | walk.notes() | {"way": way}),
        ),
    )
    if out is not None:
        record.save(Path(out) / "convexity.npz")
    return record


def _hessian(job: Any, way: str, dtype: Any, params: Any) -> MovingHessian:
    if job.options["dtype"] == "bfloat16":
        raise ValueError(
            "dtype='bfloat16' has too few digits for a Hessian: take "
            "'float32' or 'float64'"
        )
    return MovingHessian(job.subspace(), way=way, dtype=dtype, params=params)


def _fill(walk: Serpentine, run: Any, store: Store | None) -> None:
    """All rows, those first that lie in a folder already."""
    plan = {"samples": run.samples, "way": walk.hessian.way, "order": "rows"}
    plan["tile"] = len(run.axes[1])
    rows = range(len(run.axes[0]))
    with nullcontext() if store is None else store.lock():
        if store is not None:
            settings = walk.tol, walk.seed, walk.limit, walk.warm
            names = walk.hessian.names
            identity = scan_identity(run)
            identity["tolerance or start"] = digest(*settings, names)
            if store.agree(identity, plan)["way"] != plan["way"]:
                raise ValueError(
                    f"{store.folder} was begun with other products: ask for "
                    "the same way, or choose another folder"
                )
            rows = rows[walk.resume(store) :]
        with watch("convexity map", len(rows) * plan["tile"]) as tick:
            for i in rows:
                found = walk.row(i, tick)
                if store is not None:
                    store.put(i, found)
                    if i:  # eigenvectors are needed of the last row alone
                        store.put(i - 1, walk.kept(i - 1))
