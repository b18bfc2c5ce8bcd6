"""A recorded path as it is seen on a plane, and how far off it lies."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from dldna.landscape.evaluate import Slow, Subspace
from dldna.landscape.paths.recorded import Recorded
from dldna.landscape.space.names import bare, match
from dldna.landscape.space.plane import Plane
from dldna.params import Params
from dldna.progress import track


@dataclass(frozen=True, eq=False)
class Shadow:
    r"""A path as seen on a plane.

    For each checkpoint :math:`w_t` and the plane
    :math:`o + \sum_k c_k d_k`,

    .. math:: w_t - o = \sum_k c_{tk} d_k + r_t, \qquad r_t \perp d_k,

    where :math:`\|r_t\|` is its distance from the plane. A path is what
    it seems only where the distances are small.

    Args:
        coords: (T, K) coordinates :math:`c_{tk}` of each checkpoint's
            nearest point, in units of the directions' lengths.
        distances: (T,) :math:`\|r_t\|`, how far each lies off the plane.
        lengths: (T,) :math:`\|w_t - o\|`, how far each lies from the
            plane's origin.

    Example:
        >>> shadow = Shadow(np.array([[3.0], [0.0]]), np.array([4.0, 0.0]),
        ...                 np.array([5.0, 0.0]))
        >>> shadow.off.tolist()
        [0.8, 0.0]

    References:
        Li, Xu, Taylor, Studer, Goldstein, "Visualizing the Loss Landscape
        of Neural Nets", NeurIPS 2018, arXiv 1712.09913, section 7.
    """

    coords: np.ndarray
    distances: np.ndarray
    lengths: np.ndarray

    @property
    def off(self) -> np.ndarray:
        r"""(T,) distance off the plane as a share of that to the origin.

        .. math:: \|r_t\| \, / \, \|w_t - o\|

        It is 0 on the plane and 1 for a checkpoint straight above the
        origin; at the origin itself it is 0.

        Example:
            >>> Shadow(np.zeros((2, 1)), np.array([0.0, 2.0]),
            ...        np.array([0.0, 2.0])).off
            array([0., 1.])
        """
        return self.distances / np.maximum(self.lengths, 1e-300)


def project(run: Recorded, plane: Plane) -> Shadow:
    """Coordinates by least squares: ``Trajectory.project`` tells more."""
    names = [k for k, _ in run._shapes[: run._split]]
    own, vectors = bare(plane.origin), [bare(v) for v in plane.vectors]
    part = [k for k in own if k in names]
    if part != names or any(
        tuple(own[k].shape) != s for k, s in run._shapes[: run._split]
    ):
        raise ValueError(
            f"the plane and {run.path} belong to different networks"
        )
    for name in own.keys() - names:
        if any(bool(v[name].any()) for v in vectors):
            raise ValueError(
                f"the plane moves {name!r}, which {run.path} did not "
                "record: lay it through what was recorded (params=...)"
            )
    k, t = len(plane.directions), len(run)
    origin = _Flat({k: own[k] for k in names})
    rows = [_Flat({k: v[k] for k in names}) for v in vectors]
    gram, b, square = np.zeros((k, k)), np.zeros((t, k)), np.zeros(t)
    for columns, block in run._blocks():
        d = np.stack([r[columns] for r in rows])
        block -= origin[columns]
        gram += d @ d.T
        b += block @ d.T
        square += np.einsum("tb,tb->t", block, block)
    scale = np.sqrt(gram.diagonal())
    cosines = gram / np.outer(scale, scale)
    if not np.linalg.eigvalsh(cosines)[0] > 1e-12:
        raise ValueError(
            "the directions are parallel or zero: they span no plane"
        )
    coords = np.linalg.solve(cosines, (b / scale).T).T / scale
    rest = np.clip(square - np.einsum("tk,tk->t", coords, b), 0, None)
    return Shadow(coords, np.sqrt(rest), np.sqrt(square))


def losses_on(run: Recorded, job: Any, plane: Plane, shadow: Shadow) -> dict:
    """True losses and those below: see ``Trajectory.losses_on``."""
    keys = ("metrics", "dtype", "statistics", "buffer_directions")
    options = {k: v for k, v in job.options.items() if k in keys}
    one = Subspace.of(
        job.model, job.loss_fn, job.held, plane.origin, plane.vectors,
        **options,
    )  # fmt: skip
    evaluator = job.evaluator()
    coords = torch.from_numpy(shadow.coords)
    size = max(1, evaluator.chunk)
    shadows = [
        evaluator(coords[i : i + size])["loss"]
        for i in range(0, len(coords), size)
    ]
    true = np.empty(len(run))
    for i in track(range(len(run)), "true losses"):
        weights, buffers = run.state(i)
        true[i] = _loss_of(one, weights, buffers)
    return {
        "path_coords": shadow.coords,
        "path_losses": true,
        "path_projected": np.concatenate(shadows),
        "path_distance": shadow.distances,
    }


def _loss_of(one: Any, weights: Params, buffers: Params) -> float:
    """The loss at a checkpoint, with its own running statistics."""
    held = match(weights | buffers, [*one.origin, *one.buffers])
    own, kept = (
        {k: held.get(k, v).to(v) for k, v in at.items()}
        for at in (one.origin, one.buffers)
    )
    here = replace(one, origin=own, buffers=kept)
    zero = torch.zeros(1, len(one.directions), device="cpu")
    return float(Slow(here)(zero)["loss"][0])


class _Flat:
    """A point as one long vector, of which pieces are copied at a time."""

    def __init__(self, point: Params):
        self.parts = [v.detach().reshape(-1) for v in point.values()]
        self.ends = np.cumsum([len(p) for p in self.parts])

    def __getitem__(self, columns: slice) -> np.ndarray:
        found = []
        for part, end in zip(self.parts, self.ends, strict=True):
            start = end - len(part)
            low, high = max(columns.start, start), min(columns.stop, end)
            if low < high:
                found.append(part[low - start : high - start].cpu().double())
        return torch.cat(found).numpy()
