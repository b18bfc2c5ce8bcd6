"""The published analysis with columns that mean what their names say.

Error rate is 100 (1 - accuracy), not a cross-entropy. Convergence speed is
the number of steps until the smoothed training loss falls below 1: smaller
is faster, and a network that never gets there has ``inf``. Effective rank
is Roy and Vetterli's, and all measures are taken at the start, over
matrices only. The training stands in :func:`dldna.training.train`, the
measures in :func:`dldna.init.spectral_table`.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dldna import checks
from dldna.init import spectral_table
from dldna.published.loaders import usable
from dldna.published.measurements import EpochMeasurements
from dldna.published.timed_training import run
from dldna.training import Callback, State

TARGET = 1.0
COLUMNS = (
    "Initialization Method",
    "Error Rate (%)",
    "Convergence Speed",
    "Average Condition Number",
    "Spectral Norm",
    "Effective Rank Ratio",
    "Execution Time (s)",
)


def analyze_initialization(
    model_class: Callable[[], nn.Module],
    init_methods: Mapping[str, Callable[[Tensor], Any]],
    train_loader: Iterable,
    test_loader: Iterable,
    epochs: int = 3,
    batch_size: int = 256,
    device: str | torch.device = "cuda",
    *,
    lr: float = 1e-3,
    seed: int = 7,
) -> dict[str, dict[str, Any]]:
    """Train one model for each scheme, from one seed, and measure it.

    Matrices are filled, biases become zero, and nothing else is touched.
    One seed says little about which scheme is best; the book's page on
    initialization takes several and shows the spread.

    Args:
        model_class: a callable without arguments that makes a model.
        init_methods: the caller's own functions, name -> f(tensor), which
            fill each parameter with two or more axes in place.
        train_loader: batches to train on; the same order for each scheme
            if it is a :class:`dldna.data.Loader`.
        test_loader: batches to test on.
        epochs: passes over the data.
        batch_size: kept for old calls; the loader decides.
        device: a string or ``torch.device``; the CPU without CUDA.
        lr: rate of SGD with momentum 0.9.
        seed: of the start.

    Raises:
        TypeError: a network instead of what makes one, or no dict.

    Returns:
        For each scheme, as published: loss (cross-entropy on the test
        set), time (s), weight_stats (weight -> mean, std, spectral_norm,
        condition_number, rank_ratio, at the start), gradient_norm (weight
        -> mean L2 norm in each epoch), layer_wise_stats (epoch from 0 ->
        weight -> mean, std, norm) and convergence_speed (steps). Beside
        these: accuracy, error_rate (%), gradient_norms (of the whole
        gradient, mean of each epoch), measures (matrix -> all measures at
        the start), their means condition_number, spectral_norm and
        effective_rank_ratio, and the history.
    """
    checks.count("epochs", epochs)
    if isinstance(model_class, nn.Module):
        raise TypeError(
            "model_class must make a new network at each call, such as "
            f"lambda: {type(model_class).__name__}(...), and not be one"
        )
    if not isinstance(init_methods, Mapping):
        raise TypeError(
            "init_methods must be a dict of functions by name, as in "
            f"chapter_05.initialization.base, not {init_methods!r:.60}"
        )
    device = usable(device)
    results = {}
    for name, method in init_methods.items():
        print(f"\nInitialization method: {name}")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = model_class().to(device)
            with torch.no_grad():
                for key, p in model.named_parameters():
                    if p.ndim > 1:
                        method(p)
                    elif "bias" in key:
                        p.zero_()
        table, watch, layers = (
            spectral_table(model),
            EpochMeasurements(),
            _Layers(),
        )
        weights = _weights(model, table)
        start = time.perf_counter()
        history = run(
            model,
            torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9),
            train_loader,
            test_loader,
            epochs=epochs,
            callbacks=[watch, layers],
            on_divergence="record",
        )
        done = "diverged" not in history.provenance.notes
        accuracy = float(history.test_accuracy[-1]) if done else np.nan
        mean = table.mean()
        results[name] = {
            "loss": float(history.test_loss[-1]) if done else np.nan,
            "accuracy": accuracy,
            "error_rate": 100 * (1 - accuracy),
            "time": time.perf_counter() - start,
            "weight_stats": weights,
            "gradient_norm": layers.norms,
            "layer_wise_stats": layers.stats,
            "gradient_norms": history.metrics.get(
                "gradient_norm", np.zeros(0)
            ).tolist(),
            "measures": {
                matrix: {k: float(v[i]) for k, v in table.columns.items()}
                for i, matrix in enumerate(table.names)
            },
            "condition_number": mean["condition_number"],
            "spectral_norm": mean["spectral_norm"],
            "effective_rank_ratio": mean["effective_rank_share"],
            "convergence_speed": steps_to(history.step_loss, TARGET),
            "history": history,
        }
    return results


def steps_to(step_loss, target: float, window: int = 20) -> float:
    """Steps until the mean of ``window`` batch losses is below ``target``.

    Args:
        step_loss: (T,) loss of each step.
        target: the loss to reach.
        window: number of losses in a mean.

    Returns:
        The number of steps, or inf if it never happens.

    Example:
        >>> steps_to([3.0, 2.0, 0.5, 0.4], 1.0, window=1)
        3.0
        >>> steps_to([3.0, 3.0], 1.0, window=1)
        inf
    """
    loss = np.asarray(step_loss, dtype=float)
    if len(loss) < window:
        return float("inf")
    mean = np.convolve(loss, np.ones(window) / window, mode="valid")
    below = np.flatnonzero(mean < target)
    return float(below[0] + window) if len(below) else float("inf")


def create_detailed_analysis_table(results: Mapping[str, dict]) -> None:
    """Print the published pipe table, one row for each scheme.

    Args:
        results: of :func:`analyze_initialization`.
    """
    print(" | ".join(COLUMNS))
    print("|".join("---" for _ in COLUMNS))
    for name, r in results.items():
        if "error_rate" not in r:
            raise ValueError(
                f"the results of {name} have no error rate: give what "
                "analyze_initialization returned here (version 0.1 kept a "
                "loss under that name)"
            )
        values = (
            r["error_rate"],
            r["convergence_speed"],
            r["condition_number"],
            r["spectral_norm"],
            r["effective_rank_ratio"],
            r["time"],
        )
        print(" | ".join([name, *(f"{v:.2f}" for v in values)]))


def _weights(model: nn.Module, table) -> dict[str, dict[str, float]]:
    """The published numbers of each weight, at the start."""
    rows = {matrix: i for i, matrix in enumerate(table.names)}
    found = {}
    for name, p in model.named_parameters():
        if "weight" not in name:
            continue
        found[name] = _moments(p)
        row = rows.get(name)
        if row is not None:
            column = {k: float(v[row]) for k, v in table.columns.items()}
            share = column["effective_rank"] / float(table.min_dims[row])
            found[name] |= {
                "spectral_norm": column["spectral_norm"],
                "condition_number": column["condition_number"],
                "rank_ratio": share,
            }
    return found


def _moments(p: Tensor) -> dict[str, float]:
    p = p.detach()
    return {"mean": p.mean().item(), "std": p.std(correction=0).item()}


class _Layers(Callback):
    """The published tables of weights, epoch by epoch."""

    def __init__(self):
        self.norms: dict[str, list[float]] = {}
        self.stats: dict[int, dict[str, dict[str, float]]] = {}
        self.sums: dict[str, float] = {}
        self.steps = 0

    def on_step(self, state: State) -> None:
        self.steps += 1
        for name, p in _named(state.model):
            if p.grad is not None:
                norm = float(p.grad.norm())
                self.sums[name] = self.sums.get(name, 0.0) + norm

    def on_epoch(self, state: State) -> None:
        for name, total in self.sums.items():
            self.norms.setdefault(name, []).append(total / self.steps)
        self.sums, self.steps = {}, 0
        self.stats[state.epoch - 1] = {
            name: _moments(p) | {"norm": float(p.detach().norm())}
            for name, p in _named(state.model)
        }


def _named(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(k, p) for k, p in model.named_parameters() if "weight" in k]
