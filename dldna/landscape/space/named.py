"""Directions of lines and planes that have a name.

Each is a function ``f(given, k) -> [Direction, ...]``. To add one, write
it here and add its row to :data:`DIRECTIONS`.

Example:
    >>> from dldna.landscape import DIRECTIONS
    >>> sorted(DIRECTIONS)[:4]
    ['checkpoints', 'gradient', 'hessian', 'pca']
    >>> model = nn.Linear(1, 1, bias=False)
    >>> _ = nn.init.constant_(model.weight, 1.0)
    >>> other = {"weight": torch.tensor([[4.0]])}
    >>> [d] = DIRECTIONS["checkpoints"](Given(model, others=[other]), 1)
    >>> d.vector["weight"]
    tensor([[3.]])
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from dldna import params
from dldna.checks import whole
from dldna.landscape.space.names import match
from dldna.landscape.space.normalise import (
    by_entry,
    by_filter,
    by_tensor,
    scale_drawn,
)
from dldna.landscape.space.plane import Direction, Plane
from dldna.landscape.space.points import from_flat, point_of
from dldna.objective import Objective, chosen_names
from dldna.params import Params

HALF = 2e-3  # float16 keeps weights to about 5e-4


@dataclass(eq=False)
class Given:
    """All that a choice of directions may look at.

    Args:
        model: the network at the centre.
        loss_fn: the loss.
        data: batches, in memory.
        seed: of the CPU generator for random directions.
        vectors: what becomes of biases and other 1-D tensors in random
            directions (see :func:`filter_normalise`).
        trajectory: checkpoints on disk, for ``"pca"``.
        others: models, state dicts or files of them, for
            ``"checkpoints"``.
        tol: residual for ``"hessian"``.
        pairs: how many eigenpairs ``"hessian"`` finds at least.
        params: the parameters that may move, as
            :func:`~dldna.objective.chosen_names` says; None leaves it to
            each way.
        notes: numbers that a choice wants to see in the record.
    """

    model: nn.Module
    loss_fn: Callable | None = None
    data: Any = None
    seed: int = 0
    vectors: str = "zero"
    trajectory: Any = None
    others: Sequence[Any] = ()
    tol: float = 1e-3
    pairs: int = 1
    params: Any = None
    notes: dict[str, Any] = field(default_factory=dict)
    names: list[str] | None = field(init=False)
    generator: torch.Generator = field(init=False)

    def __post_init__(self):
        self.seed = whole("seed", self.seed)
        self.generator = torch.Generator().manual_seed(self.seed)
        self.names = None
        if self.params is not None:
            self.names = chosen_names(self.model, self.params)

    @property
    def origin(self) -> Params:
        """The weights at the centre."""
        return params.of(self.model)

    @property
    def moved(self) -> dict[str, Any]:
        """What moves, for the record, where the caller said it."""
        if self.names is None:
            return {}
        origin = self.origin
        numbers = sum(origin[k].numel() for k in self.names)
        return {"params": self.names, "moved": numbers}

    def within(self, vector: Params) -> Params:
        """A vector whose other parameters stand still."""
        if self.names is None:
            return vector
        moves = set(self.names)
        return {
            k: v if k in moves else torch.zeros_like(v)
            for k, v in vector.items()
        }


def random_filter(given: Given, k: int) -> list[Direction]:
    """Gaussian directions, filter-normalised (Li et al. 2018)."""
    return _random(given, k, by_filter, "filter-normalised")


def random_layer(given: Given, k: int) -> list[Direction]:
    """Gaussian directions, each layer scaled to the weight's length."""
    return _random(given, k, by_tensor, "layer-normalised")


def random_entry(given: Given, k: int) -> list[Direction]:
    """Gaussian directions, each entry times the size of the weight."""
    return _random(given, k, by_entry, "entry-normalised")


def random_raw(given: Given, k: int) -> list[Direction]:
    """Gaussian directions, as drawn, biases and all."""
    return [
        Direction(
            given.within(params.randn_like(given.origin, given.generator)),
            "random, not normalised",
            f"random normal (seed {given.seed}), not normalised",
        )
        for _ in range(k)
    ]


_VECTORS_SAID = {
    "zero": "zero",
    "copy": "copied from the weights",
    "normalise": "normalised too",
}


def _random(given, k, rule, word):
    origin = given.origin
    found = []
    for _ in range(k):
        drawn = {}
        for name, weight in origin.items():  # there may be no room for two
            own = {name: weight}
            raw = params.randn_like(own, given.generator)
            drawn |= scale_drawn(raw, own, given.vectors, rule)
        found.append(
            Direction(
                given.within(drawn),
                f"random, {word}",
                f"random normal (seed {given.seed}), {word}; biases and "
                f"normalisation layers {_VECTORS_SAID[given.vectors]}",
            )
        )
    return found


def hessian(given: Given, k: int) -> list[Direction]:
    """The Hessian's top eigenvectors, of unit length, not rescaled.

    ``notes["hessian"]`` keeps what each of the pairs found is worth.
    """
    from dldna.landscape.curvature import NoSecondDerivative, top_eigenpairs

    call = given.model, given.loss_fn, given.data
    options = {"k": max(k, given.pairs), "tol": given.tol}
    options["params"] = given.names
    try:
        found = top_eigenpairs(*call, **options)
    except NoSecondDerivative:
        found = top_eigenpairs(*call, **options, way="difference")
    way = found.provenance.notes["way"]
    by = " (products by differences)" if way == "difference" else ""
    given.notes["hessian"] = {
        "eigenvalues": found.eigenvalues.tolist(),
        "residuals": found.residuals.tolist(),
        "errors": found.errors.tolist(),
        "products": found.products,
    }
    return [
        Direction(
            from_flat(found.eigenvectors[i], given.origin),
            f"Hessian eigenvector {i + 1}",
            f"Hessian eigenvector {i + 1}, eigenvalue "
            f"{found.eigenvalues[i]:.6g}, residual "
            f"{found.residuals[i]:.1e}{by}; unit length, not rescaled",
        )
        for i in range(k)
    ]


def gradient(given: Given, k: int) -> list[Direction]:
    """The gradient at the centre, at unit length."""
    if k != 1:
        raise ValueError(
            "there is one gradient; for a plane name another too, as "
            "in directions=('gradient', 'random')"
        )
    g = full_gradient(given.model, given.loss_fn, given.data, given.names)
    length = params.norm(g)
    if not length > 0 or length == float("inf"):
        raise ValueError(
            f"the gradient at the centre has length {length:.3g}, so it "
            "gives no direction"
        )
    return [
        Direction(
            params.scale(g, 1 / length),
            "gradient",
            f"gradient, scaled to unit length (length was {length:.4g})",
        )
    ]


def checkpoints(given: Given, k: int) -> list[Direction]:
    """Towards other models, not rescaled: coordinate 1 is that model."""
    if len(given.others) != k:
        raise ValueError(
            f"{k} direction(s) towards other checkpoints need others=[...] "
            f"with {k} model(s) or state dict(s), not {len(given.others)}"
        )
    origin = given.origin
    return [
        Direction(
            params.sub(point_of(other, origin), origin),
            f"towards checkpoint {i + 1}",
            "difference of the weights: coordinate 1 is that checkpoint",
        )
        for i, other in enumerate(given.others)
    ]


def pca(given: Given, k: int) -> list[Direction]:
    """Principal directions of a training run about its final weights."""
    if given.trajectory is None:
        raise ValueError(
            "directions='pca' needs trajectory=..., the checkpoints of a "
            "run (see dldna.landscape.Recorder)"
        )
    return of_plane(given.trajectory.plane(k=k), given)


def of_plane(plane: Plane, given: Given) -> list[Direction]:
    origin = given.origin
    through = match(plane.origin, origin)
    if len(through) == len(plane.origin):  # what it lacks stands still
        through = {k: through.get(k, v) for k, v in origin.items()}
    params.check_same(through, origin)
    length = params.norm(origin)
    laid = {k: v.to(origin[k]) for k, v in through.items()}
    off = params.norm(params.sub(laid, origin))
    if off > HALF * max(length, 1e-12):
        raise ValueError(
            "the plane was laid through other weights than the model's "
            f"(distance {off:.3g}, length of the weights {length:.3g}); "
            "load those weights into the model first, as in "
            "trajectory.final(model)"
        )
    given.notes.update(plane.notes)
    vectors = [match(v, origin) for v in plane.vectors]
    return [
        Direction(
            {
                k: v[k].to(w) if k in v else torch.zeros_like(w)
                for k, w in origin.items()
            },
            d.name,
            d.done,
        )
        for d, v in zip(plane.directions, vectors, strict=True)
    ]


def full_gradient(
    model: nn.Module, loss_fn: Callable, data: Any, names: Any = None
) -> Params:
    """Mean gradient over all batches, in eval mode, model untouched.

    It is zero for frozen parameters, unless all are frozen, or for all but
    those of ``names``.
    """
    f = Objective(model, loss_fn, data, names=names)
    found = f.cut(f.gradient())
    own = params.of(model)
    return {k: found.get(k, torch.zeros_like(v)).to(v) for k, v in own.items()}


DIRECTIONS: dict[str, Callable[[Given, int], list[Direction]]] = {
    "random": random_filter,
    "random-layer": random_layer,
    "random-entry": random_entry,
    "random-raw": random_raw,
    "hessian": hessian,
    "gradient": gradient,
    "checkpoints": checkpoints,
    "pca": pca,
}
r"""Directions by name, each a function ``f(given, k)``.

The name is what :func:`~dldna.landscape.surface`,
:func:`~dldna.landscape.line` and
:func:`~dldna.landscape.choose_directions` take. With :math:`w` the weights
at the centre and :math:`z \sim \mathcal{N}(0, I)`:

- "random": :math:`z` with each filter scaled to the length of the
  network's filter (:func:`~dldna.landscape.filter_normalise`).
- "random-layer": :math:`z` with each tensor scaled to the length of the
  weight (:func:`~dldna.landscape.layer_normalise`).
- "random-entry": :math:`z` with each entry times the size of the weight
  there (:func:`~dldna.landscape.entry_normalise`).
- "random-raw": :math:`z` as drawn.
- "hessian": eigenvectors :math:`v`, :math:`\nabla^2 L(w) \, v = \lambda v`,
  of the eigenvalues of largest size, at unit length.
- "gradient": :math:`\nabla L(w) / \|\nabla L(w)\|`; there is one only.
- "checkpoints": :math:`w_i - w` towards other networks.
- "pca": principal directions of a run about its end
  (:meth:`Trajectory.plane <dldna.landscape.Trajectory.plane>`).

Args:
    given: what it may look at: the model, and for some the loss,
        the data, a seed, a trajectory or other models.
    k: how many directions.

Returns:
    ``k`` directions, each a :class:`~dldna.landscape.Direction`.

Raises:
    ValueError: it lacks what it needs, or cannot give ``k``.

An example stands at the top of this module.

References:
    Li, Xu, Taylor, Studer, Goldstein, "Visualizing the Loss Landscape of
    Neural Nets", NeurIPS 2018, arXiv 1712.09913.
    Goodfellow, Vinyals, Saxe, "Qualitatively characterizing neural network
    optimization problems", ICLR 2015, arXiv 1412.6544.
    Yao, Gholami, Keutzer, Mahoney, "PyHessian: Neural networks through the
    lens of the Hessian", 2020, arXiv 1912.07145.
"""
