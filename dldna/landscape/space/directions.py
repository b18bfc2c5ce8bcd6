"""What a caller says of directions, turned into directions."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dldna import params
from dldna.checks import choice
from dldna.landscape.space.checkpoints import weight
from dldna.landscape.space.named import (
    DIRECTIONS,
    Given,
    full_gradient,
    of_plane,
)
from dldna.landscape.space.plane import Direction, Plane, orthogonalise
from dldna.landscape.space.points import from_flat
from dldna.params import Params

__all__ = [
    "DIRECTIONS",
    "Given",
    "as_direction",
    "choose_directions",
    "full_gradient",
]


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
            tensors (what it lacks stands still), a flat vector (n,), or
            a list of one tensor for each parameter.
        given: what they may look at: the model, and for some the
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
        >>> from torch import nn
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
        found = DIRECTIONS[choice("direction", chosen, DIRECTIONS)](given, k)
    elif isinstance(chosen, Plane):
        found = of_plane(chosen, given)
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
        _check_within(direction, given)
    return orthogonalise(found) if orthogonal else found


def _filled(vector: Mapping[str, Tensor], given: Given) -> Params:
    """A vector with zeros for what it lacks.

    The whole-number parameters of the model stand still and are left out.
    """
    origin = given.origin
    still = dict(given.model.named_parameters()).keys() - origin.keys()
    for name in vector.keys() - still:
        choice("parameter", name, list(origin))
    found = {
        k: weight(k, vector[k], v) if k in vector else torch.zeros_like(v)
        for k, v in origin.items()
    }
    params.check_same(origin, found)
    return found


def as_direction(item: Any, given: Given) -> Direction:
    """One direction from a name, a record, a dict, a vector or a list."""
    if isinstance(item, Direction):
        return replace(item, vector=_filled(item.vector, given))
    if isinstance(item, str):
        return choose_directions(item, given, k=1)[0]
    origin = given.origin
    if isinstance(item, Mapping):
        return Direction(_filled(item, given))
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
        k: weight(k, t, v)
        for (k, v), t in zip(origin.items(), item, strict=True)
    }
    params.check_same(origin, vector)
    return Direction(vector)


def _said(item: Any) -> str:
    """A value for a message, or its type where it is long."""
    text = repr(item)
    return text if len(text) < 40 else f"a {type(item).__name__}"


def _is_one(item: Any) -> bool:
    if isinstance(item, (Direction, Mapping)):
        return True
    return isinstance(item, (Tensor, np.ndarray)) and item.ndim == 1


def _check_within(direction: Direction, given: Given) -> None:
    """Refuse to move, or to leave out in silence, what ``params`` excludes."""
    if given.names is None:
        return
    for name in direction.vector.keys() - given.names:
        if bool((direction.vector[name] != 0).any()):
            raise ValueError(
                f"the direction ({direction.done}) moves {name!r}, which is "
                "not among params: leave params out, or give a direction "
                "that has those alone (a run: Recorder(..., params=...))"
            )


def _check_finite(direction: Direction) -> None:
    for name, tensor in direction.vector.items():
        if not params.finite(tensor):
            raise ValueError(
                f"the direction holds NaN or infinity in {name!r} "
                f"({direction.done})"
            )
    if not any(bool((t != 0).any()) for t in direction.vector.values()):
        raise ValueError(
            f"a direction is zero everywhere ({direction.done}): a "
            "checkpoint has the model's own weights, or what may move has no "
            "weights with two or more axes (vectors='copy' and 'normalise' "
            "move biases, too)"
        )
