"""Curves of the published experiments; see :func:`dldna.plotting.curves`."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from dldna import checks, plotting

METRICS = ("loss", "accuracy", "gradient_norm", "memory")
MODES = {"all": ("train", "test"), "train": ("train",), "test": ("test",)}
MEMORY = ("memory_allocated", "memory_reserved")


def plot_training_results(
    results: Mapping[str, Mapping[str, Sequence[float]]],
    metrics: Sequence[str] | str | None = None,
    mode: str = "all",
    title: str = "Training Results",
) -> list[Axes]:
    """Draw the results of several optimizers, one picture for each metric.

    Args:
        results: what an experiment returned, by the optimizer's name; a
            column that one of them lacks, or has empty as version 0.1
            left the memory without a GPU, is drawn of the others.
        metrics: of "loss", "accuracy", "gradient_norm" and "memory", or
            one of these words; loss and accuracy if None.
        mode: "train", "test", or "all" for both.
        title: above the figure.

    Returns:
        The axes, in the order of ``metrics`` and within it of "train",
        "test".

    Raises:
        ValueError: no results, or a word that is not known.
    """
    if not results:
        raise ValueError("there are no results to draw")
    checks.choice("mode", mode, MODES)
    if metrics is None:
        metrics = METRICS[:2]
    metrics = [metrics] if isinstance(metrics, str) else list(metrics)
    panels = [
        (metric, key)
        for metric in metrics
        for key in _keys(
            checks.choice("metric", metric, METRICS), mode, results
        )
    ]
    if not panels:
        raise ValueError(f"the results hold none of {', '.join(metrics)}")
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(5 * columns, 3.2 * rows),
        squeeze=False,
        layout="constrained",
    )
    drawn = list(axes.flat)
    for ax in drawn[len(panels) :]:
        ax.remove()
    for ax, (_, key) in zip(drawn, panels, strict=False):
        found = {k: r[key] for k, r in results.items() if _has(r, key)}
        longest = max(map(len, found.values()))
        curves = {k: _padded(v, longest) for k, v in found.items()}
        epochs = np.arange(1, longest + 1)  # version 0.1 kept them from 0
        label = key.replace("_", " ")
        unit = " (MiB)" if key in MEMORY else ""
        plotting.curves(
            epochs, curves, ax, xlabel="epoch", ylabel=label + unit
        )
        for i, drawn_line in enumerate(ax.lines):
            drawn_line.set(marker=plotting.MARKERS[i % 8], markersize=3)
        ax.legend()
    figure.suptitle(title)
    return drawn[: len(panels)]


def _keys(metric: str, mode: str, results) -> list[str]:
    """The columns of a metric that a result has."""
    keys = [f"{part}_{metric}" for part in MODES[mode]]
    if metric == "memory":
        keys = list(MEMORY)
    return [k for k in keys if any(_has(r, k) for r in results.values())]


def _has(result: Mapping[str, Sequence[float]], key: str) -> bool:
    return len(result.get(key, ())) > 0


def _padded(values: Sequence[float], length: int) -> np.ndarray:
    """A shorter run ends earlier."""
    out = np.full(length, np.nan)
    out[: len(values)] = values
    return out
