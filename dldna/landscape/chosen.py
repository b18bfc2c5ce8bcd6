"""What tells a plane that was chosen from one that was not."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from dldna import params
from dldna.guard import untouched
from dldna.landscape.scan.grid import axes
from dldna.landscape.scan.pool import Job
from dldna.landscape.space.plane import Plane, gram_matrix
from dldna.objective import Objective, accepts_objective, check_model

DRAWS = 4  # random planes of the same lengths, to compare with
FEW = 3  # points along each axis where gradients are taken


@dataclass(frozen=True)
class PlaneMeasures:
    """What tells a plane that was chosen from one that was not.

    Args:
        contrast: standard deviation of the losses over that on random
            planes through the same origin, with directions of the same
            lengths; about 1 for such a plane (filter-normalised directions
            are none: they are long where the filters are).
        aim: how much more of the squared gradient lies in the plane than
            in a random one, mean over points; about 1 for such a plane.
        roughness: squared difference of each loss to the mean of its four
            neighbours, over the squared difference to the mean of all.
        elsewhere: correlation of the losses with those on other samples;
            NaN if none are given.
    """

    contrast: float
    aim: float
    roughness: float
    elsewhere: float


@accepts_objective
def plane_measures(
    model: nn.Module,
    loss_fn: Callable,
    data: Any,
    plane: Plane,
    extent: Any = 1.0,
    resolution: int | tuple[int, int] = 9,
    *,
    other: Any = None,
    seed: int = 0,
    limit: int | None = None,
) -> PlaneMeasures:
    r"""Measure what a plane shows against what any plane would.

    A random plane's losses vary as much as those of other random planes,
    it holds :math:`2/n` of the squared gradient, its losses are smooth from
    point to point, and other samples show the same. A plane that was
    chosen, for its origin, its ends or its picture, does not.

    Args:
        model: the network that the plane is of; it is not moved.
        loss_fn: a torch loss, or ``f(output, batch)``.
        data: what the picture was drawn with.
        plane: with its own origin.
        extent: half width of both axes, a pair, or two pairs.
        resolution: points along each axis, or a pair; at least 3.
        other: other samples of the same kind, for ``elsewhere``.
        seed: of the random planes.
        limit: use only the first so many samples of ``data``.

    Returns:
        Four measures. Which of them tells depends on the kinds that are
        told apart.

    Raises:
        ValueError: fewer than 3 points along an axis, or not two
            directions.

    Example:
        >>> from dldna.landscape import Direction
        >>> net, x = nn.Linear(40, 1), torch.eye(40)
        >>> origin = params.of(net)
        >>> g = torch.Generator().manual_seed(0)
        >>> pair = [Direction(params.randn_like(origin, g)) for _ in "ab"]
        >>> found = plane_measures(
        ...     net, nn.MSELoss(), (x, x[:, :1]), Plane(origin, pair))
        >>> 0.5 < found.contrast < 2, found.roughness < 0.1
        (True, True)
    """
    check_model(model)
    grid = axes(extent, resolution)
    if len(plane.directions) != 2 or min(map(len, grid)) < 3:
        raise ValueError(
            "a plane of two directions and at least 3 points along each "
            "axis are needed"
        )
    # Frozen tensors move on a plane as others do.
    f = Objective(model, loss_fn, data, names="all", limit=limit)
    shape = tuple(map(len, grid))
    coords = np.stack(
        [m.ravel() for m in np.meshgrid(*grid, indexing="ij")], 1
    )

    def heights(vectors, held) -> np.ndarray:
        job = Job(model, f.loss_fn, held, plane.origin, vectors)
        return job.evaluator()(torch.from_numpy(coords))["loss"].reshape(shape)

    with untouched(model):
        own = heights(plane.vectors, f.held)
        chance = [
            heights(_alike(plane, 2 * seed + k), f.held).std()
            for k in range(DRAWS)
        ]
        elsewhere = np.nan
        if other is not None:
            there = heights(
                plane.vectors, Objective(model, loss_fn, other).held
            )
            elsewhere = np.corrcoef(own.ravel(), there.ravel())[0, 1]
        aim = np.mean([_aim(f, plane, at) for at in _some(grid)])
    return PlaneMeasures(
        float(own.std() / np.exp(np.mean(np.log(chance)))),
        float(aim),
        _roughness(own),
        float(elsewhere),
    )


def _alike(plane: Plane, seed: int) -> list[params.Params]:
    """Random directions of the lengths of a plane's own."""
    draw = torch.Generator().manual_seed(seed)
    made = []
    for vector in plane.vectors:
        moving = {k: v for k, v in vector.items() if bool((v != 0).any())}
        new = params.randn_like(moving, draw)
        scale = params.norm(vector) / params.norm(new)
        made.append(
            {
                k: new[k] * scale if k in new else torch.zeros_like(v)
                for k, v in vector.items()
            }
        )
    return made


def _some(grid: tuple[np.ndarray, np.ndarray]) -> list[tuple[float, float]]:
    """A few points of a grid, evenly spaced, its corners among them."""
    few = [
        g[np.linspace(0, len(g) - 1, FEW).round().astype(int)] for g in grid
    ]
    return [(float(a), float(b)) for a in few[0] for b in few[1]]


def _aim(f: Objective, plane: Plane, at: tuple[float, float]) -> float:
    r"""The gradient's share in the plane, in units of :math:`2/n`."""
    point = {k: v for k, v in plane.point(at).items() if k in f.point}
    g = params.exact(f.gradient(point)).cpu()
    rows = torch.stack([params.exact(f.flat(v)).cpu() for v in plane.vectors])
    along = rows @ g
    inside = along @ torch.linalg.solve(gram_matrix(plane.vectors), along)
    return float(inside / (g @ g).clamp_min(1e-300)) * f.n / 2


def _roughness(z: np.ndarray) -> float:
    around = (z[:-2, 1:-1] + z[2:, 1:-1] + z[1:-1, :-2] + z[1:-1, 2:]) / 4
    inner = z[1:-1, 1:-1]
    whole = np.square(inner - z.mean()).mean()
    return float(np.square(inner - around).mean() / max(whole, 1e-300))
