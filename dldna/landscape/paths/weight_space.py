"""Many checkpoints on one sheet: PCA, t-SNE, jumps, and the null model."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dldna import checks, params
from dldna.landscape.paths.null import origin_of
from dldna.records import Provenance, Record

_CHUNK = 2**20  # numbers of one checkpoint that are cast to float64 at once


class MixedRuns(UserWarning):
    """Checkpoints with one name seem to come from more than one run."""


def natural_key(label: str) -> list:
    """Sort key that reads digits as numbers.

    Example:
        >>> sorted(["epoch10", "epoch9", "epoch1"], key=natural_key)
        ['epoch1', 'epoch9', 'epoch10']
    """
    parts = re.split(r"(\d+)", str(label))
    return [
        (0, int(p), "") if p.isdigit() else (1, 0, p.lower()) for p in parts
    ]


def series_of(label: str) -> str:
    """The name of a run: the label without its last number.

    Example:
        >>> series_of("ReLU-epoch12"), series_of("net2-step1e.pth")
        ('ReLU-epoch', 'net2-stepe.pth')
    """
    return re.sub(r"\d+(?=\D*$)", "", str(label))


@dataclass(frozen=True, eq=False)
class Embedding(Record):
    """Checkpoints as points of a line, a plane or a space.

    All rows are in the natural order of the labels.

    Args:
        coords: (T, k) coordinates; in units of the weights for PCA,
            without a unit for t-SNE.
        labels: (T,) names, naturally sorted.
        order: (T,) where each row stood in what was given.
        series: (T,) name of each row's run, read off its label.
        distances: (T, T) distances between the checkpoints themselves.
        steps: (T - 1,) distance of each row from the next.
        clusters: (T,) number of the cluster within its series.
        jumps: rows after which a series leaps to another cluster.
        explained: (k,) share of the variance on each axis; (0,) for t-SNE.
        null_coords: (T, k) the same picture of a random walk that takes
            steps of the same lengths.
        null_explained: (k,) its shares of the variance.
        method: "pca" or "tsne".
        perplexity: of t-SNE, else 0.
        provenance: where it came from.
    """

    coords: np.ndarray
    labels: list[str]
    order: np.ndarray
    series: list[str]
    distances: np.ndarray
    steps: np.ndarray
    clusters: np.ndarray
    jumps: np.ndarray
    explained: np.ndarray
    null_coords: np.ndarray
    null_explained: np.ndarray
    method: str = "pca"
    perplexity: float = 0.0
    provenance: Provenance = field(default_factory=Provenance)


def pca(
    checkpoints: Sequence[Any],
    labels: Sequence[str] | None = None,
    k: int = 2,
    about: str = "mean",
) -> Embedding:
    r"""Principal components of checkpoints, by their inner products.

    With the rows of :math:`M` the checkpoints minus the mean (or minus
    the last one), :math:`M M^T = U S^2 U^T` gives coordinates
    :math:`U S`. Only T x T numbers are ever formed.

    A smooth curve and a large share of the variance prove little: a
    random walk in many dimensions has both. Its picture, with the same
    step lengths, comes in ``null_coords`` and ``null_explained``.

    Args:
        checkpoints: T >= 3 models, state dicts, or dicts of parameters.
            Running statistics of batch normalisation are left out.
        labels: names, each with a number in it ("ReLU-epoch10"); by
            default "1", "2", ... in the order given.
        k: number of axes, less than T.
        about: "mean", or "end" for the way to the end point.

    Returns:
        The embedding, in the natural order of the labels.

    Raises:
        ValueError: too few checkpoints, labels or networks that do not
            fit, or weights that are not finite.

    Warns:
        MixedRuns: a series falls into clusters far apart.

    Example:
        >>> w = [{"w": torch.tensor([t, 0.0])} for t in (0.0, 3.0, 1.0)]
        >>> e = pca(w, ["e1", "e10", "e2"], k=1)
        >>> e.labels, abs(e.coords[:, 0]).round(3).tolist()
        (['e1', 'e2', 'e10'], [1.333, 0.333, 1.667])

    References:
        Antognini, Sohl-Dickstein, PCA of high dimensional random walks
        with comparison to neural network training, NeurIPS 2018,
        arXiv 1806.08805.
    """
    about = origin_of(about)
    found = _gather(checkpoints, labels)
    t = len(found["labels"])
    if checks.count("k", k) >= t:
        raise ValueError(f"{t} checkpoints have at most {t - 1} axes, not {k}")
    gram, unit = found.pop("gram")
    coords, explained = _components(gram, k, about, unit)
    null_coords, null_explained = random_walk(found["steps"], k, about)
    return Embedding(
        coords=coords,
        explained=explained,
        null_coords=null_coords,
        null_explained=null_explained,
        method="pca",
        provenance=Provenance(
            made=f"PCA of {t} checkpoints about the {about}",
            model=found.pop("model"),
            n_params=found.pop("size"),
        ),
        **found,
    )


def tsne(
    checkpoints: Sequence[Any],
    labels: Sequence[str] | None = None,
    k: int = 2,
    perplexity: float | None = None,
    seed: int = 0,
) -> Embedding:
    """t-SNE of checkpoints: who is near whom, and nothing else.

    Axes, sizes of clusters and distances between clusters carry no
    scale, and a path drawn through the points is not a path. Perplexity
    is the number of neighbours that count; with very few checkpoints
    there is no neighbourhood to keep, and the distances themselves
    (``distances``) say more.

    Args:
        checkpoints: T >= 3 models, state dicts, or dicts of parameters.
        labels: names, each with a number in it.
        k: number of axes, 1 to 3.
        perplexity: less than T; by default a third of the other
            checkpoints, 30 at most.
        seed: of the embedding.

    Returns:
        The embedding, in the natural order of the labels.

    Raises:
        ValueError: ``perplexity`` is not below the number of
            checkpoints, or as for :func:`pca`.
        ImportError: scikit-learn is not installed (extra ``science``).

    Warns:
        MixedRuns: a series falls into clusters far apart.

    References:
        van der Maaten, Hinton, Visualizing data using t-SNE, JMLR 9,
        2008.
    """
    if checks.count("k", k) > 3:
        raise ValueError(f"t-SNE makes at most 3 axes, not {k}")
    found = _gather(checkpoints, labels)
    t = len(found["labels"])
    if perplexity is None:
        perplexity = max(1.0, min(30.0, (t - 1) / 3))
    if checks.positive("perplexity", perplexity) >= t:
        raise ValueError(
            f"perplexity must be below the number of checkpoints, {t}, but "
            f"is {perplexity}: it counts neighbours; try {max(1, t // 3)}"
        )
    manifold = checks.need("sklearn.manifold", "science", "t-SNE")

    def embed(points: np.ndarray) -> np.ndarray:
        return manifold.TSNE(
            n_components=k,
            perplexity=perplexity,
            init="random",
            random_state=seed,
        ).fit_transform(points)

    # All components at once keep every distance, in T columns.
    gram, unit = found.pop("gram")
    points, _ = _components(gram, t - 1, "mean", unit)
    walk, _ = random_walk(found["steps"], t - 1)
    return Embedding(
        coords=embed(points),
        explained=np.zeros(0),
        null_coords=embed(walk),
        null_explained=np.zeros(0),
        method="tsne",
        perplexity=float(perplexity),
        provenance=Provenance(
            made=f"t-SNE of {t} checkpoints",
            model=found.pop("model"),
            seed=seed,
            n_params=found.pop("size"),
        ),
        **found,
    )


def random_walk(
    steps: Sequence[float], k: int = 2, about: str = "mean"
) -> tuple[np.ndarray, np.ndarray]:
    r"""PCA of a random walk in infinitely many dimensions, exactly.

    There, steps in random directions stand at right angles, so the walk
    is known up to rotation: position t is the sum of the first t axes,
    each as long as its step. For n equal steps the shares of the variance
    tend to :math:`6/(\pi j)^2` about the mean and to
    :math:`8/(\pi (2j-1))^2` about the end point.

    Args:
        steps: (T - 1,) lengths of the steps.
        k: number of axes, less than T.
        about: "mean" or "end".

    Returns:
        Coordinates (T, k), and shares of the variance (k,).

    Example:
        >>> random_walk([1.0] * 299, 3)[1].round(2).tolist()
        [0.61, 0.15, 0.07]

    References:
        Antognini, Sohl-Dickstein, PCA of high dimensional random walks
        with comparison to neural network training, NeurIPS 2018,
        arXiv 1806.08805.
    """
    about = origin_of(about)
    steps = np.asarray(steps, dtype=np.float64)
    unit = _unit(np.abs(steps).max(initial=0.0))
    walked = np.append(0.0, np.cumsum((steps / unit) ** 2))
    # Positions s <= t share the steps up to s.
    gram = np.minimum.outer(walked, walked)
    return _components(gram, k, about, unit)


def clusters(distances: np.ndarray, factor: float = 3.0) -> np.ndarray:
    r"""Part points into clusters that lie far apart, if there are any.

    Take the edges of the minimum spanning tree by length. Where two that
    follow each other differ by more than ``factor``, the longer ones are
    bridges and are cut, at the widest such gap that leaves no point
    alone: a single far point is a fast first step, not another run.

    Args:
        distances: (T, T) distances.
        factor: how much longer a bridge must be.

    Returns:
        (T,) numbers of clusters, 0 for the first point's; all 0 if there
        is but one.

    Example:
        >>> x = np.array([0.0, 1.0, 9.0, 10.0])
        >>> clusters(abs(x[:, None] - x)).tolist()
        [0, 0, 1, 1]
    """
    if checks.positive("factor", factor) <= 1:
        raise ValueError(f"factor must be greater than 1, not {factor!r}")
    d = np.asarray(distances, dtype=np.float64)
    t = len(d)
    edges = _spanning_tree(d)
    edges = edges[np.argsort(edges[:, 2])]
    lengths = np.maximum(edges[:, 2], 1e-12 * max(d.max(), 1e-300))
    ratios = lengths[1:] / lengths[:-1]
    for gap in np.argsort(-ratios, kind="stable"):
        if ratios[gap] <= factor:
            break
        names = _components_of(t, edges[: gap + 1, :2].astype(int))
        if np.bincount(names).min() >= 2:
            return names
    return np.zeros(t, dtype=int)


def _spanning_tree(d: np.ndarray) -> np.ndarray:
    """(T - 1, 3) rows (i, j, length), after Prim."""
    t = len(d)
    nearest, away = np.zeros(t, dtype=int), d[0].copy()
    away[0] = np.inf
    outside, rows = np.ones(t, dtype=bool), []
    outside[0] = False
    for _ in range(t - 1):
        j = int(np.argmin(np.where(outside, away, np.inf)))
        rows.append((nearest[j], j, away[j]))
        outside[j] = False
        closer = outside & (d[j] < away)
        nearest[closer], away[closer] = j, d[j][closer]
    return np.array(rows, dtype=np.float64).reshape(-1, 3)


def _components_of(t: int, edges: np.ndarray) -> np.ndarray:
    names = np.arange(t)
    for i, j in edges:
        names[names == names[j]] = names[i]
    _, first = np.unique(names, return_index=True)
    numbers = {names[i]: n for n, i in enumerate(sorted(first))}
    return np.array([numbers[n] for n in names])


def _gather(checkpoints: Sequence[Any], labels: Sequence[str] | None) -> dict:
    """Order, inner products, distances and jumps of checkpoints."""
    given = list(checkpoints)
    if len(given) < 3:
        raise ValueError(
            f"{len(given)} checkpoints make no picture: give at least 3"
        )
    if labels is None:
        labels = [str(i + 1) for i in range(len(given))]
    labels = [str(label) for label in labels]
    if len(labels) != len(given):
        raise ValueError(f"{len(labels)} labels for {len(given)} checkpoints")
    order = sorted(range(len(given)), key=lambda i: natural_key(labels[i]))
    labels = [labels[i] for i in order]
    gram, unit, size = _gram([_weights(given[i]) for i in order], labels)
    squares = np.diagonal(gram)
    distances = unit * np.sqrt(
        np.maximum(squares[:, None] + squares - 2 * gram, 0)
    )
    series = [series_of(label) for label in labels]
    names = np.zeros(len(labels), dtype=int)
    jumps = []
    for name in dict.fromkeys(series):
        rows = np.flatnonzero([s == name for s in series])
        names[rows] = clusters(distances[np.ix_(rows, rows)])
        leaps = np.flatnonzero(np.diff(names[rows]))
        if len(leaps):
            jumps += rows[leaps].tolist()
            first = rows[leaps[0]]
            checks.warn(
                f"checkpoints {name!r} fall into {names[rows].max() + 1} "
                f"clusters far apart; the first leap, from "
                f"{labels[first]!r} to {labels[rows[leaps[0] + 1]]!r}, is "
                f"{distances[first, rows[leaps[0] + 1]]:.3g} long: are "
                "these files of two training runs? Do not join them up",
                MixedRuns,
            )
    return {
        "labels": labels,
        "order": np.array(order),
        "series": series,
        "distances": distances,
        "steps": np.diagonal(distances, 1).copy(),
        "clusters": names,
        "jumps": np.array(jumps, dtype=int),
        "gram": (gram, unit),
        "size": size,
        "model": next(
            (type(c).__name__ for c in given if isinstance(c, nn.Module)), ""
        ),
    }


def _weights(checkpoint: Any) -> dict[str, Tensor]:
    if isinstance(checkpoint, nn.Module):
        return params.of(checkpoint)
    if isinstance(checkpoint, Mapping):
        return {
            k: v.detach()
            for k, v in checkpoint.items()
            if torch.is_floating_point(v)
            and not k.endswith(("running_mean", "running_var"))
        }
    raise TypeError(
        "a checkpoint must be a model or a dict of tensors, not "
        f"{type(checkpoint).__name__}"
    )


def _unit(size: float) -> float:
    """The power of 2 next to a size: dividing by it rounds nothing."""
    return 2.0 ** min(math.frexp(size)[1], 1023) if size else 1.0


def _gram(
    points: list[dict], labels: list[str]
) -> tuple[np.ndarray, float, int]:
    """Inner products about the first point, in float64, chunk by chunk.

    They are in units of the second value, squared, so that none leaves
    the range of the numbers.
    """
    for point, label in zip(points, labels, strict=True):
        try:
            params.check_same(points[0], point)
        except ValueError as error:
            raise ValueError(
                f"checkpoint {label!r} is of another network than "
                f"{labels[0]!r}: {error}"
            ) from error
        if not all(bool(v.isfinite().all()) for v in point.values()):
            raise ValueError(f"checkpoint {label!r} holds NaN or inf")
    unit = _unit(
        max(
            (
                float((p[k].cpu() - v.cpu()).abs().max())
                for p in points
                for k, v in points[0].items()
                if v.numel()
            ),
            default=0.0,
        )
    )
    gram = np.zeros((len(points), len(points)))
    for name in points[0]:
        flat = [p[name].reshape(-1) for p in points]
        for start in range(0, flat[0].numel(), _CHUNK):
            piece = torch.stack(
                [v[start : start + _CHUNK].double().cpu() for v in flat]
            )
            piece = (piece - piece[0].clone()) / unit
            gram += (piece @ piece.t()).numpy()
    return gram, unit, params.count(points[0])


def _components(
    gram: np.ndarray, k: int, about: str, unit: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (T, k) and shares (k,) from inner products.

    The products are in units of ``unit`` squared, the coordinates in 1.
    """
    t = len(gram)
    shift = np.full(t, 1 / t) if about == "mean" else np.eye(t)[-1]
    centre = np.eye(t) - shift[None, :]  # each row minus the origin
    values, vectors = np.linalg.eigh(centre @ gram @ centre.T)
    values = np.maximum(values[::-1][:k], 0)
    vectors = vectors[:, ::-1][:, :k]
    # The sign of an axis means nothing: let the last point be positive.
    vectors = vectors * np.where(vectors[-1] < 0, -1.0, 1.0)
    if about == "end":
        vectors = vectors * np.where(vectors[0] > 0, -1.0, 1.0)
    total = np.trace(centre @ gram @ centre.T)
    shares = values / total if total > 0 else np.zeros(len(values))
    return vectors * np.sqrt(values) * unit, shares
