"""Minima, saddles and maxima of a sampled surface."""

from dataclasses import dataclass, field

import numpy as np

from dldna import checks
from dldna.landscape.shape.samples import place, samples
from dldna.landscape.shape.topology.tree import merge_tree
from dldna.records import Provenance, Record, derived_from

# The link of a vertex in a triangulation with one diagonal, in order.
RING = ((-1, 0), (-1, 1), (0, 1), (1, 0), (1, -1), (0, -1))


@dataclass(frozen=True, eq=False)
class CriticalPoints(Record):
    """Critical points of a grid; the border is left out.

    The fields ``..._at`` are in the units of the surface's axes.

    Args:
        minima: (n, 2) grid indices, lowest first.
        saddles: (s, 2) grid indices, lowest first.
        maxima: (m, 2) grid indices, lowest first.
        multiplicity: (s,) 1 for a simple saddle, 2 for a monkey saddle.
        minima_at: (n, 2) coordinates (alpha, beta).
        saddles_at: (s, 2) coordinates.
        maxima_at: (m, 2) coordinates.
        skipped: inner vertices not judged, because they or a neighbour
            are NaN or inf.
        provenance: where it came from.

    Example:
        >>> x = np.linspace(-2, 2, 9)
        >>> found = critical_points((x[:, None] ** 2 - 1) ** 2 + x**2)
        >>> found.minima.tolist(), found.saddles.tolist()
        ([[2, 4], [6, 4]], [[4, 4]])
        >>> found.multiplicity.tolist(), found.maxima.shape
        ([1], (0, 2))

    References:
        Banchoff, Critical points and curvature for embedded polyhedral
        surfaces, Amer. Math. Monthly 77, 1970.
    """

    minima: np.ndarray
    saddles: np.ndarray
    maxima: np.ndarray
    multiplicity: np.ndarray
    minima_at: np.ndarray
    saddles_at: np.ndarray
    maxima_at: np.ndarray
    skipped: int = 0
    provenance: Provenance = field(default_factory=Provenance)


def critical_points(surface) -> CriticalPoints:
    r"""Classify each inner vertex by the signs around it.

    The six neighbours in a triangulation with one diagonal form a ring.
    Count the changes between "higher" and "lower" along it: 0 is a
    minimum or a maximum, 2 a regular point, :math:`2k \ge 4` a saddle of
    multiplicity :math:`k-1`. Ties are broken by index. All eight
    neighbours would not be a triangulation: they report saddles that
    are not there.

    Noise makes critical points: white noise has one minimum in seven
    vertices. Filter by persistence (:func:`persistent_points`) before
    any is believed.

    Args:
        surface: a surface, or an (A, B) array of losses, at least 3 x 3.

    Returns:
        The critical points.

    Raises:
        ValueError: not a surface of at least 3 x 3.

    Example:
        >>> x = np.linspace(-1, 1, 5)
        >>> points = critical_points(x[:, None] ** 2 - x**2)
        >>> points.saddles.tolist(), points.multiplicity.tolist()
        ([[2, 2]], [1])

    References:
        Banchoff, Critical points and curvature for embedded polyhedral
        surfaces, Amer. Math. Monthly 77, 1970.
    """
    axes = samples(surface, least=3)
    z = axes.z
    finite = np.isfinite(z)
    rank = np.empty(z.size, dtype=int)
    rank[np.argsort(z, axis=None, kind="stable")] = np.arange(z.size)
    rank = rank.reshape(z.shape)
    ring = np.stack([_shifted(rank, step) for step in RING])
    higher = ring > rank[1:-1, 1:-1]
    judged = finite[1:-1, 1:-1] & np.all(
        [_shifted(finite, step) for step in RING], axis=0
    )
    changes = (higher != np.roll(higher, 1, axis=0)).sum(axis=0)
    kinds = [
        (changes == 0) & higher[0],
        changes >= 4,
        (changes == 0) & ~higher[0],
    ]
    found = []
    for kind in kinds:
        index = np.argwhere(kind & judged) + 1
        found.append(index[np.argsort(rank[tuple(index.T)])])
    minima, saddles, maxima = found
    inner = tuple((saddles - 1).T)
    return CriticalPoints(
        minima=minima,
        saddles=saddles,
        maxima=maxima,
        multiplicity=changes[inner] // 2 - 1,
        minima_at=place(axes, minima),
        saddles_at=place(axes, saddles),
        maxima_at=place(axes, maxima),
        skipped=int((~judged).sum()),
        provenance=derived_from(surface, "critical points by the 6-ring"),
    )


def persistent_points(surface, threshold: float) -> CriticalPoints:
    r"""Critical points of which each valley or hill is worth a threshold.

    A minimum is paired with the saddle over which its valley spills, a
    maximum with the saddle that cuts it off from a higher one (elder
    rule, on the triangulation of :func:`critical_points`). A pair (p, s)
    stays, with both points, if

    .. math:: |L(s) - L(p)| > \text{threshold}.

    Points on the border are left out, but not their partners inside.

    Args:
        surface: a surface, or an (A, B) array of losses, at least 3 x 3.
        threshold: in units of the loss, >= 0; twice the error of the
            losses, for instance.

    Returns:
        The critical points that stay; a saddle that is half of two pairs
        has multiplicity 2. ``skipped`` counts losses that are not finite.

    Raises:
        ValueError: not a surface of at least 3 x 3, a loss of -inf, a
            negative threshold.

    Example:
        >>> z = np.full((5, 7), 9.0)
        >>> z[2, 1:6] = 0, 4, 1, 5, 4.9
        >>> persistent_points(z, 0.0).minima.tolist()
        [[2, 1], [2, 3], [2, 5]]
        >>> persistent_points(z, 0.5).minima.tolist()
        [[2, 1], [2, 3]]

    References:
        Edelsbrunner, Letscher, Zomorodian, Topological persistence and
        simplification, Discrete Comput. Geom. 28, 2002.
    """
    checks.nonnegative("threshold", threshold)
    axes = samples(surface, least=3)
    z = axes.z
    valleys = merge_tree(z, neighbours=6)
    # From the far corner, so that of equal losses the same one is higher.
    turned = np.where(np.isfinite(z), -z, np.inf)[::-1, ::-1]
    hills = merge_tree(turned, neighbours=6)
    far = np.array(z.shape) - 1
    ends, passes = [], []
    for tree in (valleys, hills):
        keep = tree.persistence > threshold
        for found, index in ((ends, tree.minima), (passes, tree.saddles)):
            at = far - index[keep] if tree is hills else index[keep]
            found.append(_inner(at, z.shape))
    minima, maxima = ends[0], ends[1][::-1]
    saddles, multiplicity = np.unique(
        np.concatenate(passes), axis=0, return_counts=True
    )
    order = np.argsort(z[tuple(saddles.T)], kind="stable")
    minima, maxima = (m[np.argsort(z[tuple(m.T)])] for m in (minima, maxima))
    return CriticalPoints(
        minima=minima,
        saddles=saddles[order],
        maxima=maxima,
        multiplicity=multiplicity[order],
        minima_at=place(axes, minima),
        saddles_at=place(axes, saddles[order]),
        maxima_at=place(axes, maxima),
        skipped=int((~np.isfinite(z)).sum()),
        provenance=derived_from(
            surface, f"critical points of persistence above {threshold:g}"
        ),
    )


def _inner(index: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    inside = (index > 0) & (index < np.array(shape) - 1)
    return index[inside.all(axis=1)]


def _shifted(a: np.ndarray, step: tuple[int, int]) -> np.ndarray:
    rows, columns = a.shape
    i, j = 1 + step[0], 1 + step[1]
    return a[i : i + rows - 2, j : j + columns - 2]


@dataclass(frozen=True)
class Refined:
    r"""A critical point between the samples, from a quadratic fit.

    It is the :math:`u^*` of :func:`refine`, where the slope of the fit
    vanishes.

    Args:
        at: coordinates (alpha, beta).
        value: the fitted loss there.
        eigenvalues: of the fitted 2 x 2 Hessian, ascending.
        kind: "minimum", "saddle", "maximum", or "flat" where an
            eigenvalue vanishes.
        inside: whether it lies within one grid step of the sample; if
            not, the sample was no critical point of anything smooth.

    Example:
        >>> x = np.arange(5.0)
        >>> found = refine((x[:, None] - 1.7) ** 2 - (x - 2.2) ** 2, (2, 2))
        >>> found.kind, found.inside, round(found.value, 9) + 0.0
        ('saddle', True, 0.0)
        >>> [round(v, 9) for v in found.eigenvalues]
        [-2.0, 2.0]
    """

    at: tuple[float, float]
    value: float
    eigenvalues: tuple[float, float]
    kind: str
    inside: bool


def refine(surface, index) -> Refined:
    r"""Fit a quadratic to the 3 x 3 samples around a vertex.

    .. math:: L \approx c + b^T u + \tfrac12 u^T H u, \qquad
              u^* = -H^{-1} b

    with :math:`u` the distance from the vertex and the six numbers by least
    squares over the nine samples. Where :math:`H` has no inverse, the
    shortest :math:`u^*` is taken that fits best.

    Args:
        surface: a surface, or an (A, B) array of losses.
        index: grid indices (i, j) of an inner vertex.

    Returns:
        The stationary point of the fit and its kind.

    Raises:
        ValueError: a border vertex, or NaN or inf among the nine.

    Example:
        >>> x = np.arange(5.0)
        >>> r = refine((x[:, None] - 1.7) ** 2 + (x - 2.2) ** 2, (2, 2))
        >>> [round(float(v), 9) for v in r.at], r.kind
        ([1.7, 2.2], 'minimum')

    References:
        Lowe, Distinctive image features from scale-invariant keypoints,
        Int. J. Comput. Vis. 60, 2004, section 4, where the same step
        refines key points.
    """
    axes = samples(surface, least=3)
    i, j = (int(v) for v in index)
    rows, columns = axes.z.shape
    if not (0 < i < rows - 1 and 0 < j < columns - 1):
        raise ValueError(f"vertex ({i}, {j}) is not inside the grid")
    patch = axes.z[i - 1 : i + 2, j - 1 : j + 2]
    if not np.isfinite(patch).all():
        raise ValueError(f"NaN or inf beside vertex ({i}, {j})")
    h = np.array([axes.x[i + 1] - axes.x[i], axes.y[j + 1] - axes.y[j]])
    u = (axes.x[i - 1 : i + 2] - axes.x[i])[:, None] / h[0] + np.zeros((3, 3))
    v = (axes.y[j - 1 : j + 2] - axes.y[j])[None, :] / h[1] + np.zeros((3, 3))
    columns_ = [np.ones((3, 3)), u, v, u * u / 2, u * v, v * v / 2]
    design = np.stack([c.ravel() for c in columns_], axis=1)
    c, bu, bv, huu, huv, hvv = np.linalg.lstsq(
        design, patch.ravel(), rcond=None
    )[0]
    b, hessian = np.array([bu, bv]), np.array([[huu, huv], [huv, hvv]])
    step = np.linalg.lstsq(hessian, -b, rcond=None)[0]
    low, high = np.linalg.eigvalsh(hessian / np.outer(h, h))
    flat = min(abs(low), abs(high)) <= 1e-12 * max(abs(low), abs(high), 1e-300)
    kind = "minimum" if low > 0 else "maximum" if high < 0 else "saddle"
    return Refined(
        at=(
            float(axes.x[i] + step[0] * h[0]),
            float(axes.y[j] + step[1] * h[1]),
        ),
        value=float(c + b @ step / 2),
        eigenvalues=(float(low), float(high)),
        kind="flat" if flat else kind,
        inside=bool(np.abs(step).max() <= 1),
    )
