"""Checkpoints as points of a plane, as published.

Principal components and t-SNE stand in
:mod:`dldna.landscape.paths.weight_space`, which also says how little a curve
through such points proves.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from torch import nn

from dldna import checks, plotting
from dldna.landscape.paths.weight_space import pca, tsne

METHODS = {"pca": pca, "tsne": tsne, "t-sne": tsne}


def analyze_weight_space(
    models: Sequence[nn.Module],
    labels: Sequence[str],
    method: str = "pca",
    perplexity: float = 30,
) -> np.ndarray:
    """Checkpoints as points of a plane.

    Args:
        models: T networks of one architecture.
        labels: their names.
        method: "pca" or "tsne".
        perplexity: of t-SNE. Where it is not below T, a third of the
            other checkpoints is taken, and a warning says so.

    Returns:
        (T, 2) coordinates, in the order given.
    """
    name = checks.choice("method", str(method).lower(), METHODS)
    if METHODS[name] is pca:
        found = pca(models, labels)
    else:
        if perplexity >= len(models):
            checks.warn(
                f"perplexity={perplexity:g} counts neighbours, and there are "
                f"{len(models)} checkpoints: taking fewer"
            )
            perplexity = None
        found = tsne(models, labels, perplexity=perplexity)
    coords = np.empty_like(found.coords)
    coords[found.order] = found.coords
    return coords


def visualize_weight_space(
    embedded_weights: np.ndarray,
    labels: Sequence[str],
    method: str = "PCA",
    size: tuple[float, float] = (6, 4),
) -> Axes:
    """Draw checkpoints as labelled points, one colour for each run.

    The points are not joined: a curve through them proves little.

    Args:
        embedded_weights: (T, 2) coordinates.
        labels: (T,) names such as "ReLU-epoch1".
        method: for the labels of the axes.
        size: of the figure in inches.

    Returns:
        The axes.
    """
    points = np.asarray(embedded_weights)
    if len(points) != len(labels):
        raise ValueError(f"{len(labels)} labels for {len(points)} points")
    _, ax = plt.subplots(figsize=size, layout="constrained")
    runs = [str(label).partition("-")[0] for label in labels]
    for i, name in enumerate(dict.fromkeys(runs)):
        rows = [r == name for r in runs]
        ax.scatter(
            *points[rows].T,
            label=name,
            color=plotting.COLORS[i % 8],
            marker=plotting.MARKERS[i % 8],
        )
    for point, label in zip(points, labels, strict=True):
        short = str(label).rpartition("epoch")[2]
        ax.annotate(short, point, xytext=(3, 3), textcoords="offset points")
    ax.set(xlabel=f"{method} 1", ylabel=f"{method} 2")
    ax.legend()
    return ax
