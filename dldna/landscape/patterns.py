"""Planes that show a picture of one's choice."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dldna import checks, params
from dldna.guard import differentiable, untouched
from dldna.landscape.scan.grid import axes
from dldna.landscape.space.plane import Direction, Plane
from dldna.objective import Objective, accepts_objective, check_model
from dldna.objective.derivative import over_data
from dldna.objective.function import functional, reads_model


@accepts_objective
def fit_plane(
    model: nn.Module,
    loss_fn: Callable,
    data: Any,
    heights: Any,
    extent: Any = 1.0,
    *,
    steps: int = 100,
    lr: float = 2e-3,
    spread: float = 0.02,
    origin: bool = True,
    seed: int = 0,
    statistics: str = "eval",
    params: Any = None,
    limit: int | None = None,
) -> Plane:
    r"""Train a plane until the losses on it look like a picture.

    .. math:: \min_{o,d_1,d_2}\;\frac{1}{AB}\sum_{ij}
        \big(L(o+\alpha_i d_1+\beta_j d_2)-z_{ij}\big)^2

    by Adam, from the model's weights and two directions drawn at random.
    All points of the plane are true networks with their true losses, and
    yet the plane shows what was asked for. It says how many weights there
    are, and nothing of the network.

    Args:
        model: where the plane begins; it is not moved.
        loss_fn: a torch loss, or ``f(output, batch)``.
        data: a loader, a batch, or tensors; all are used in each step, so
            take a few samples.
        heights: (A, B) losses wanted; row i belongs to the i-th coordinate
            along the first direction, column j to the second, as in a
            :class:`~dldna.records.Surface`.
        extent: half width of both axes, a pair, or two pairs.
        steps: of Adam.
        lr: its rate.
        spread: standard deviation of the first directions' entries.
        origin: whether the middle may move, too. If not, the plane goes
            through the model's own weights.
        seed: of the first directions.
        statistics: what batch normalisation uses, "eval" or "train".
        params: the parameters that may move; by default the trainable.
        limit: use only the first so many samples.

    Returns:
        The plane. To draw it, load its ``origin`` into a copy of the
        model, and hand the plane to :func:`surface`. ``notes["fit"]`` has
        ``correlation`` and ``error`` (root mean square) with the picture,
        before the last step, and ``moved``, the distance of the origin
        from the weights.

    Raises:
        ValueError: heights that are no matrix of at least 2 x 2 finite
            numbers, or settings that make no sense.
        FloatingPointError: a loss became NaN or infinite.

    Example:
        >>> net, x = nn.Linear(8, 1), torch.eye(8)
        >>> wanted = [[0.0, 1.0], [1.0, 0.0]]
        >>> plane = fit_plane(net, nn.MSELoss(), (x, x[:, :1]), wanted,
        ...                   steps=50, lr=0.1)
        >>> bool(plane.notes["fit"]["correlation"] > 0.95)
        True

    References:
        Skorokhodov, Burtsev, "Loss landscape sightseeing with multi-point
        optimization", 2019, arXiv 1910.03867. Czarnecki, Osindero,
        Pascanu, Jaderberg, "A deep neural network's loss surface contains
        every low-dimensional pattern", 2019, arXiv 1912.07559.
    """
    check_model(model)
    checks.count("steps", steps)
    checks.positive("lr", lr)
    checks.positive("spread", spread)
    wanted = _heights(heights)
    grid = axes(extent, wanted.shape)
    f = Objective(
        model, loss_fn, data, names=params, statistics=statistics, limit=limit
    )
    mesh = np.meshgrid(np.ones(1), *grid, indexing="ij")
    places = np.stack([m.ravel() for m in mesh], 1)
    places = torch.tensor(places, device="cpu").to(**f.cast)
    wanted = torch.tensor(wanted.ravel(), device="cpu").to(**f.cast)
    start = f.flat(f.point)
    draw = torch.Generator().manual_seed(checks.whole("seed", seed))
    aside = torch.randn(2, f.n, generator=draw, device="cpu").to(**f.cast)
    aside = spread * aside
    three = torch.cat([start[None], aside])
    with untouched(model), differentiable():
        losses = _losses(f, places @ three)
        three.requires_grad_()
        adam = torch.optim.Adam([three], lr=lr)
        for step in range(steps):
            found = losses(places @ three)
            if not bool(torch.isfinite(found).all()):
                raise FloatingPointError(
                    f"a loss is not finite after {step} steps: lower lr or "
                    "spread"
                )
            adam.zero_grad()
            (found - wanted).square().mean().backward()
            if not origin:
                three.grad[0] = 0
            adam.step()
    made = three.detach()
    both = torch.stack([found.detach(), wanted]).cpu().double()
    notes = {
        "correlation": float(torch.corrcoef(both)[0, 1]),
        "error": float((both[0] - both[1]).square().mean().sqrt()),
        "moved": float((made[0] - start).norm()),
        "steps": steps,
        "seed": seed,
    }
    return _plane(f, made, {"fit": notes})


def _heights(heights: Any) -> np.ndarray:
    z = np.asarray(heights, dtype=np.float64)
    if z.ndim != 2 or min(z.shape) < 2 or not np.isfinite(z).all():
        raise ValueError(
            "heights must be a matrix of at least 2 x 2 finite losses, not "
            f"of shape {z.shape}"
        )
    return z


def _losses(f: Objective, points: Tensor) -> Callable[[Tensor], Tensor]:
    """The mean losses at many points, all at once where torch can."""

    def at_once(rows: Tensor) -> Tensor:
        total = 0.0
        with f.placed():
            for weight, batch in zip(f.weights, f.batches, strict=True):
                each = torch.vmap(
                    lambda w, b=batch: functional(f, f.cut(w), b)
                )
                total = total + weight * each(rows)
        return total

    if any(reads_model(f, batch) for batch in f.batches):
        return lambda rows: _OneByOne.apply(rows, f)
    try:
        with torch.no_grad():
            at_once(points[:2])
    except (RuntimeError, NotImplementedError):
        return lambda rows: _OneByOne.apply(rows, f)
    return at_once


class _OneByOne(torch.autograd.Function):
    """The same, a point after the other, by the objective's gradients."""

    @staticmethod
    def forward(ctx, rows: Tensor, f: Objective) -> Tensor:
        losses, slopes = [], []
        for row in rows:
            point = f.cut(row)
            loss, slope = over_data(f, lambda b, at=point: f.slope(b, at))
            losses.append(loss)
            slopes.append(slope)
        ctx.save_for_backward(torch.stack(slopes))
        return rows.new_tensor(losses)

    @staticmethod
    def backward(ctx, *grads: Tensor) -> tuple[Tensor, None]:
        (slopes,) = ctx.saved_tensors
        return grads[0][:, None] * slopes, None


def _plane(f: Objective, three: Tensor, notes: dict) -> Plane:
    """Origin and directions over all of the model's parameters."""
    like = params.of(f.model)
    middle, *pair = (f.cut(row) for row in three)
    origin = {
        k: middle.get(k, v).detach().to(v).clone() for k, v in like.items()
    }
    directions = [
        Direction(
            {
                k: d[k].to(v).clone() if k in d else torch.zeros_like(v)
                for k, v in like.items()
            },
            "fitted",
            "fitted to show a picture that was chosen",
        )
        for d in pair
    ]
    return Plane(origin, directions, notes)
