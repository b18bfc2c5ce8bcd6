"""Ways to choose the directions of a line or a plane.

A way is a function ``f(given, k) -> [Direction, ...]``. To add one, write
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

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dldna import params
from dldna.checks import choice, whole
from dldna.landscape.space.checkpoints import bare, inner, read_checkpoint
from dldna.landscape.space.normalise import (
    entry_normalise,
    filter_normalise,
    layer_normalise,
)
from dldna.landscape.space.plane import Direction, Plane, orthogonalise
from dldna.objective import Objective
from dldna.params import Params

HALF = 2e-3  # float16 keeps weights to about 5e-4


@dataclass(eq=False)
class Given:
    """All that a way of choosing directions may look at.

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
        notes: numbers that a way wants to see in the record.
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
    notes: dict[str, Any] = field(default_factory=dict)
    generator: torch.Generator = field(init=False)

    def __post_init__(self):
        self.seed = whole("seed", self.seed)
        self.generator = torch.Generator().manual_seed(self.seed)

    @property
    def origin(self) -> Params:
        """The weights at the centre."""
        return params.of(self.model)


def random_filter(given: Given, k: int) -> list[Direction]:
    """Gaussian directions, filter-normalised (Li et al. 2018)."""
    return _random(given, k, filter_normalise, "filter-normalised")


def random_layer(given: Given, k: int) -> list[Direction]:
    """Gaussian directions, each layer scaled to the weight's length."""
    return _random(given, k, layer_normalise, "layer-normalised")


def random_entry(given: Given, k: int) -> list[Direction]:
    """Gaussian directions, each entry times the size of the weight."""
    return _random(given, k, entry_normalise, "entry-normalised")


def random_raw(given: Given, k: int) -> list[Direction]:
    """Gaussian directions, as drawn, biases and all."""
    return [
        Direction(
            params.randn_like(given.origin, given.generator),
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


def _random(given, k, scale, word):
    origin = given.origin
    found = []
    for _ in range(k):
        drawn = params.randn_like(origin, given.generator)
        found.append(
            Direction(
                scale(drawn, origin, given.vectors),
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
    from dldna.landscape.curvature import top_eigenpairs

    found = top_eigenpairs(
        given.model,
        given.loss_fn,
        given.data,
        k=max(k, given.pairs),
        tol=given.tol,
    )
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
            f"{found.residuals[i]:.1e}; unit length, not rescaled",
        )
        for i in range(k)
    ]


def gradient(given: Given, k: int) -> list[Direction]:
    """The gradient at the centre, at unit length."""
    if k != 1:
        raise ValueError(
            "there is one gradient; for a plane name a second way too, as "
            "in directions=('gradient', 'random')"
        )
    g = full_gradient(given.model, given.loss_fn, given.data)
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
    return _of_plane(given.trajectory.plane(k=k), given)


def _of_plane(plane: Plane, given: Given) -> list[Direction]:
    origin = given.origin
    params.check_same(plane.origin, origin)
    length = params.norm(origin)
    laid = {k: v.to(origin[k]) for k, v in plane.origin.items()}
    off = params.norm(params.sub(laid, origin))
    if off > HALF * max(length, 1e-12):
        raise ValueError(
            "the plane was laid through other weights than the model's "
            f"(distance {off:.3g}, length of the weights {length:.3g}); "
            "load those weights into the model first, as in "
            "trajectory.final(model)"
        )
    given.notes.update(plane.notes)
    return [
        Direction(
            {k: v.to(origin[k]) for k, v in d.vector.items()}, d.name, d.done
        )
        for d in plane.directions
    ]


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
r"""Ways to choose directions by name, each a function ``f(given, k)``.

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
    given: what a way may look at: the model, and for some ways the loss,
        the data, a seed, a trajectory or other models.
    k: how many directions.

Returns:
    ``k`` directions, each a :class:`~dldna.landscape.Direction`.

Raises:
    ValueError: the way lacks what it needs, or cannot give ``k``.

An example stands at the top of this module.

References:
    Li, Xu, Taylor, Studer, Goldstein, "Visualizing the Loss Landscape of
    Neural Nets", NeurIPS 2018, arXiv 1712.09913.
    Goodfellow, Vinyals, Saxe, "Qualitatively characterizing neural network
    optimization problems", ICLR 2015, arXiv 1412.6544.
    Yao, Gholami, Keutzer, Mahoney, "PyHessian: Neural networks through the
    lens of the Hessian", 2020, arXiv 1912.07145.
"""


def choose_directions(
    chosen: Any, given: Given, k: int = 2, orthogonal: bool = False
) -> list[Direction]:
    r"""Turn what the caller said into ``k`` directions.

    They are the :math:`d_i` of :math:`w(c) = o + \sum_i c_i d_i`, where
    :math:`o` are the weights of ``given.model``.

    Args:
        chosen: a name of :data:`DIRECTIONS`; a
            :class:`~dldna.landscape.space.plane.Plane`; or ``k`` items, each a
            name (one name ``k`` times is that name alone), a
            :class:`~dldna.landscape.space.plane.Direction`, a dict of
            tensors, a flat vector (n,), or a list of one tensor for each
            parameter.
        given: what the ways may look at: the model, and for some ways the
            loss, the data, a seed, a trajectory or other models.
        k: how many directions.
        orthogonal: make each perpendicular to those before it (see
            :func:`orthogonalise`).

    Returns:
        ``k`` directions.

    Raises:
        TypeError: none of these.
        ValueError: unknown name (the nearest is suggested), wrong number
            or shapes, a direction that is zero or holds NaN or infinity;
            parallel directions if ``orthogonal``.

    Example:
        >>> given = Given(nn.Linear(3, 2), seed=1)
        >>> [d] = choose_directions("random", given, k=1)
        >>> torch.allclose(d.vector["weight"].norm(),
        ...                given.model.weight.norm())
        True

    References:
        Li, Xu, Taylor, Studer, Goldstein, "Visualizing the Loss Landscape
        of Neural Nets", NeurIPS 2018, arXiv 1712.09913.
    """
    if isinstance(chosen, (tuple, list)) and len(chosen) == k:
        words = {w if isinstance(w, str) else None for w in chosen}
        if len(words) == 1 and None not in words:
            chosen = chosen[0]  # twice "hessian" is the first two
    if isinstance(chosen, str):
        way = DIRECTIONS[
            choice("way to choose directions", chosen, DIRECTIONS)
        ]
        found = way(given, k)
    elif isinstance(chosen, Plane):
        found = _of_plane(chosen, given)
    elif _is_one(chosen):
        found = [as_direction(chosen, given)]
    elif not isinstance(chosen, (Iterable, np.ndarray)):
        raise TypeError(
            f"directions must be a name ({', '.join(DIRECTIONS)}), a Plane, "
            f"or {k} of: names, dicts of tensors, flat vectors; not "
            f"{_said(chosen)}"
        )
    else:
        found = [as_direction(item, given) for item in chosen]
    if len(found) != k:
        raise ValueError(
            f"{k} direction(s) are needed here, {len(found)} given"
        )
    for direction in found:
        params.check_same(given.origin, direction.vector)
        _check_finite(direction)
    return orthogonalise(found) if orthogonal else found


def _moving(vector: Mapping[str, Tensor], given: Given) -> Params:
    """Without the whole-number parameters of the model, which stand still."""
    still = dict(given.model.named_parameters()).keys() - given.origin.keys()
    return {k: v for k, v in vector.items() if k not in still}


def as_direction(item: Any, given: Given) -> Direction:
    """One direction from a name, a record, a dict, a vector or a list."""
    if isinstance(item, Direction):
        moving = _moving(item.vector, given)
        return replace(item, vector=moving)
    if isinstance(item, str):
        return choose_directions(item, given, k=1)[0]
    origin = given.origin
    if isinstance(item, Mapping):
        item = _moving(item, given)
        params.check_same(origin, item)
        return Direction(
            {k: item[k].detach().to(v) for k, v in origin.items()}
        )
    if isinstance(item, (Tensor, np.ndarray)):
        return Direction(from_flat(item, origin))
    if not isinstance(item, Iterable):
        raise TypeError(
            "a direction must be a name, a Direction, a dict of tensors, a "
            f"flat vector or a list of tensors, not {_said(item)}"
        )
    item = list(item)
    if len(item) != len(origin):
        raise ValueError(
            f"a direction as a list must hold {len(origin)} tensors, one "
            f"for each parameter, not {len(item)}"
        )
    vector = {
        k: torch.as_tensor(t).detach().to(v)
        for (k, v), t in zip(origin.items(), item, strict=True)
    }
    params.check_same(origin, vector)
    return Direction(vector)


def _said(item: Any) -> str:
    """A value for a message, or its type where it is long."""
    text = repr(item)
    return text if len(text) < 40 else f"a {type(item).__name__}"


def from_flat(vector: Tensor | np.ndarray, like: Params) -> Params:
    """Cut a flat vector (n,) into tensors that own their memory."""
    flat = torch.as_tensor(vector).detach()
    cut = params.unflatten(flat, like)
    return {k: v.to(like[k]).clone() for k, v in cut.items()}


def point_of(other: Any, like: Params) -> Params:
    """The parameters of a model, or those in a state dict or its file."""
    state = match(state_of(other), like)
    missing = [k for k in like if k not in state]
    if missing:
        raise ValueError(
            f"the checkpoint lacks parameter {missing[0]!r}: it belongs "
            "to another network"
        )
    found = {k: torch.as_tensor(state[k]).detach() for k in like}
    params.check_same(like, found)
    return {k: found[k].to(like[k]) for k in like}


def state_of(other: Any) -> dict[str, Tensor]:
    """Parameters and buffers of a model, or those in a state dict.

    Args:
        other: a model, a state dict (or a checkpoint that keeps it under
            "model", "state_dict" or "model_state_dict"), or its file.
    """
    if isinstance(other, nn.Module):
        return dict(other.named_parameters()) | dict(other.named_buffers())
    if isinstance(other, (str, Path)):
        return read_checkpoint(other)
    if isinstance(other, Mapping):
        return inner(other)
    raise TypeError(
        "a checkpoint must be a model, a state dict or a file of one, not "
        f"{type(other).__name__}"
    )


def match(state: dict[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """A state dict by a network's own names, whatever wrapped either.

    Args:
        state: from :func:`state_of`.
        names: the network's. Where the state dict has not all of them,
            the names of wrappers (DataParallel, ``torch.compile``) are
            left out on both sides.
    """
    names = list(names)
    if all(k in state for k in names):
        return state
    own = bare(dict.fromkeys(names))
    theirs = bare(state)
    return {
        name: theirs[k]
        for name, k in zip(names, own, strict=True)
        if k in theirs
    }


def full_gradient(model: nn.Module, loss_fn: Callable, data: Any) -> Params:
    """Mean gradient over all batches, in eval mode, model untouched.

    It is zero for frozen parameters, unless all are frozen.
    """
    f = Objective(model, loss_fn, data, dtype=own_dtype(model))
    found = f.cut(f.gradient())
    own = params.of(model)
    return {k: found.get(k, torch.zeros_like(v)).to(v) for k, v in own.items()}


def own_dtype(model: nn.Module) -> torch.dtype:
    """The type in which a model's gradients are calculated."""
    wide = next(model.parameters()).dtype == torch.float64
    return torch.float64 if wide else torch.float32


def _copies(model: nn.Module) -> Params:
    return params.copy(params.of(model))


def _is_one(item: Any) -> bool:
    if isinstance(item, (Direction, Mapping)):
        return True
    return isinstance(item, (Tensor, np.ndarray)) and item.ndim == 1


def _check_finite(direction: Direction) -> None:
    for name, tensor in direction.vector.items():
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(
                f"the direction holds NaN or infinity in {name!r} "
                f"({direction.done})"
            )
    if not any(bool((t != 0).any()) for t in direction.vector.values()):
        raise ValueError(
            f"a direction is zero everywhere ({direction.done}): a "
            "checkpoint has the model's own weights, or the network has no "
            "weights with two or more axes"
        )
