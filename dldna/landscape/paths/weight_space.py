"""Many checkpoints on one sheet: PCA, t-SNE, jumps, and the null model."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import nn

from dldna import checks
from dldna.landscape.paths.clustering import clusters
from dldna.landscape.paths.inner_products import (
    inner_products,
    principal,
    random_walk,
    weights,
)
from dldna.landscape.paths.null import origin_of
from dldna.landscape.space.names import natural_key
from dldna.records import Provenance, Record

__all__ = [
    "Embedding",
    "MixedRuns",
    "clusters",
    "natural_key",
    "pca",
    "random_walk",
    "series_of",
    "tsne",
]


class MixedRuns(UserWarning):
    """Checkpoints with one name seem to come from more than one run."""


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
        >>> import torch
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
    coords, explained = principal(gram, k, about, unit)
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
    points, _ = principal(gram, t - 1, "mean", unit)
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
    gram, unit, size = inner_products(
        [weights(given[i]) for i in order], labels
    )
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
