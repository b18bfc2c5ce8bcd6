"""A plane (or a line) through parameter space, and shadows on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from dldna import params
from dldna.params import Params, exact


@dataclass(frozen=True, eq=False)
class Direction:
    r"""A direction, and in words how it came about.

    It is the :math:`d` of the line :math:`w(\alpha) = o + \alpha d`. Its
    length is the unit of :math:`\alpha`: nothing is rescaled here.

    Args:
        vector: one tensor for each parameter, with the parameter's name and
            shape.
        name: a few words, for an axis of a picture.
        done: what was done to it, for the record.

    Example:
        >>> d = Direction({"w": torch.tensor([3.0, 4.0])}, "towards B")
        >>> d.name, d.done
        ('towards B', 'given by the user, not rescaled')
        >>> Plane({"w": torch.ones(2)}, [d]).point([2.0])["w"]
        tensor([7., 9.])

    References:
        Goodfellow, Vinyals, Saxe, "Qualitatively characterizing neural
        network optimization problems", ICLR 2015, arXiv 1412.6544.
    """

    vector: Params
    name: str = "given"
    done: str = "given by the user, not rescaled"


@dataclass(frozen=True, eq=False)
class Plane:
    r"""An origin and one, two or more directions.

    The point with coordinates :math:`c` is

    .. math:: w(c) = o + \sum_{k=1}^K c_k d_k.

    Args:
        origin: where all coordinates are 0: one tensor for each parameter.
        directions: K directions; they may be oblique and of any length.
        notes: numbers worth knowing (variance explained, ...).

    Raises:
        ValueError: a direction's names or shapes are not the origin's.

    Example:
        >>> o = {"w": torch.zeros(3)}
        >>> plane = Plane(o, [
        ...     Direction({"w": torch.tensor([1.0, 0.0, 0.0])}),
        ...     Direction({"w": torch.tensor([1.0, 1.0, 0.0])})])
        >>> point = {"w": torch.tensor([3.0, 2.0, 7.0])}
        >>> coords, distance = plane.project(point)
        >>> coords.tolist(), distance
        ([1.0, 2.0], 7.0)

    References:
        Li, Xu, Taylor, Studer, Goldstein, "Visualizing the Loss Landscape
        of Neural Nets", NeurIPS 2018, arXiv 1712.09913.
    """

    origin: Params
    directions: Sequence[Direction]
    notes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        for direction in self.directions:
            params.check_same(self.origin, direction.vector)

    @property
    def vectors(self) -> list[Params]:
        """The directions' tensors, K dicts with one for each parameter.

        Example:
            >>> d = Direction({"w": torch.tensor([1.0, 2.0])})
            >>> Plane({"w": torch.zeros(2)}, [d]).vectors
            [{'w': tensor([1., 2.])}]
        """
        return [d.vector for d in self.directions]

    def point(self, coords: Sequence[float]) -> Params:
        r"""The parameters at some coordinates.

        .. math:: w(c) = o + \sum_k c_k d_k

        Args:
            coords: K numbers, one for each direction, in units of that
                direction's length.

        Returns:
            One new tensor for each parameter. The origin stays as it is.

        Raises:
            ValueError: not as many coordinates as directions.

        Example:
            >>> d = Direction({"w": torch.tensor([1.0, 2.0])})
            >>> Plane({"w": torch.ones(2)}, [d]).point([-0.5])
            {'w': tensor([0.5000, 0.0000])}
        """
        if len(coords) != len(self.directions):
            raise ValueError(
                f"{len(coords)} coordinates were given for "
                f"{len(self.directions)} directions"
            )
        w = params.copy(self.origin)
        for c, vector in zip(coords, self.vectors, strict=True):
            w = params.add(w, vector, scale=float(c))
        return w

    def project(self, point: Mapping[str, Tensor]) -> tuple[Tensor, float]:
        r"""The nearest point of the plane to ``point``.

        This is least squares. The coordinates :math:`c` minimise
        :math:`\|w - o - \sum_k c_k d_k\|^2`, so they solve the normal
        equations

        .. math:: \sum_l (d_k \cdot d_l) \, c_l = d_k \cdot (w - o),
            \qquad k = 1, \dots, K.

        Dot products alone would be right only for directions of length 1
        at right angles.

        Args:
            point: :math:`w`, one tensor for each parameter.

        Returns:
            Its coordinates, (K,) in float64, and how far ``point`` lies
            off the plane (Euclidean).

        Raises:
            ValueError: the directions do not span K dimensions, or
                ``point`` belongs to another network.

        Example:
            >>> o = {"w": torch.zeros(2)}
            >>> plane = Plane(o, [Direction({"w": torch.tensor([2.0, 0.0])})])
            >>> plane.project({"w": torch.tensor([3.0, 4.0])})
            (tensor([1.5000], dtype=torch.float64), 4.0)
        """
        offset = params.sub(_double(point), _double(self.origin))
        coords = least_squares(self.vectors, offset)
        for c, vector in zip(coords, self.vectors, strict=True):
            offset = params.add(offset, _double(vector), scale=-float(c))
        return coords, params.norm(offset)


def least_squares(
    vectors: Sequence[Mapping[str, Tensor]], offset: Mapping[str, Tensor]
) -> Tensor:
    r"""Coordinates of the nearest point, for directions at any angle.

    Solves :math:`G c = b` with :math:`G_{kl} = d_k \cdot d_l` and
    :math:`b_k = d_k \cdot (w - o)`. Dot products alone (:math:`c = b`)
    would be right only for unit directions at right angles.

    Args:
        vectors: K directions.
        offset: :math:`w - o`.

    Returns:
        (K,) coordinates in float64.

    Raises:
        ValueError: the directions are parallel, or one is zero.

    Example:
        >>> d = [{"w": torch.tensor([2.0, 0.0])},
        ...      {"w": torch.tensor([1.0, 1.0])}]
        >>> least_squares(d, {"w": torch.tensor([3.0, 1.0])}).tolist()
        [1.0, 1.0]
    """
    gram = gram_matrix(vectors)
    lengths = gram.diagonal().sqrt()
    if not bool((lengths > 0).all()):
        raise ValueError("a direction is zero everywhere: nothing to see")
    cosines = gram / lengths.outer(lengths)
    if torch.linalg.eigvalsh(cosines)[0] < 1e-12:
        raise ValueError(
            "the directions are parallel, so they span no plane: "
            "choose another seed or other checkpoints"
        )
    b = torch.tensor(
        [params.dot(v, offset) for v in vectors],
        dtype=torch.float64,
        device="cpu",
    )
    return torch.linalg.solve(cosines, b / lengths) / lengths


def gram_matrix(vectors: Sequence[Mapping[str, Tensor]]) -> Tensor:
    """Inner products of directions, (K, K) in float64."""
    k = len(vectors)
    gram = torch.zeros(k, k, dtype=torch.float64, device="cpu")
    for i in range(k):
        for j in range(i + 1):
            gram[i, j] = gram[j, i] = params.dot(vectors[i], vectors[j])
    return gram


def orthogonalise(directions: Sequence[Direction]) -> list[Direction]:
    r"""Make directions perpendicular, each to all before it (Gram-Schmidt).

    .. math:: u_k = d_k - \sum_{l<k}
        \frac{d_k \cdot u_l}{u_l \cdot u_l} \, u_l

    The first stays; of every other only the part that is new is kept, so
    the plane they span is the same. Nothing is scaled to length 1. The
    lengths of the filters change a little with it. The shares are taken
    off one by one, in float64, in two passes: the second takes off what
    rounding left in the first.

    Args:
        directions: two or more directions.

    Returns:
        New directions; from the second on, ``done`` tells the cosine of
        the angle between :math:`d_k` and the span of those before it.

    Raises:
        ValueError: a direction is zero or lies in the span of those before
            it, or the directions belong to different networks.

    Example:
        >>> a = Direction({"w": torch.tensor([1.0, 0.0])})
        >>> b = Direction({"w": torch.tensor([1.0, 2.0])})
        >>> orthogonalise([a, b])[1].vector["w"]
        tensor([0., 2.])
        >>> orthogonalise([a, b])[1].done[-17:]
        '(cosine was 0.45)'

    References:
        Schmidt, "Zur Theorie der linearen und nichtlinearen
        Integralgleichungen", Math. Ann. 63, 1907.
        Parlett, "The symmetric eigenvalue problem", Prentice-Hall 1980,
        on why two passes are enough (after Kahan).
    """
    kept: list[Direction] = []
    for direction in directions:
        vector = _double(direction.vector)
        length = params.norm(vector)
        for _ in range(2):  # twice is enough (Kahan)
            for other in kept:
                share = params.dot(vector, other.vector) / params.dot(
                    other.vector, other.vector
                )
                vector = params.add(
                    vector, _double(other.vector), scale=-share
                )
        rest = params.norm(vector)
        if rest <= 1e-6 * length:
            raise ValueError(
                "a direction is zero or lies in the span of those before "
                "it, so it cannot be made perpendicular to them"
            )
        done = direction.done
        if kept:
            angle = (max(0.0, 1 - (rest / length) ** 2)) ** 0.5
            done += f"; made perpendicular (cosine was {angle:.2g})"
        vector = {k: v.to(direction.vector[k]) for k, v in vector.items()}
        kept.append(Direction(vector, direction.name, done))
    return kept


def _double(point: Mapping[str, Tensor]) -> Params:
    return {k: exact(v.detach()) for k, v in point.items()}


def angle(plane: Plane) -> dict[str, Any]:
    """Lengths and angle of the directions; parallel ones are refused."""
    gram = gram_matrix(plane.vectors)
    lengths = gram.diagonal().sqrt()
    cosine = float(gram[0, 1] / (lengths[0] * lengths[1]))
    if 1 - abs(cosine) < 1e-9:
        raise ValueError(
            "the two directions are parallel, so they span no plane: "
            "choose another seed or other checkpoints"
        )
    return {"cosine": cosine, "lengths": lengths.tolist()}
