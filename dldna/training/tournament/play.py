"""The tournament: equal budgets, then fresh seeds."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from dldna import checks
from dldna.data import Dataset
from dldna.progress import track
from dldna.records import Provenance
from dldna.training.tournament.contestants import (
    Contestant,
    chosen,
    factors,
)
from dldna.training.tournament.finished import FinishedPieces
from dldna.training.tournament.record import Arena
from dldna.training.tournament.rounds import play
from dldna.training.tournament.setting import Setting


def arena(
    make_model: str | Callable[[int], nn.Module],
    data: Dataset,
    optimizers: Iterable[str | Contestant] | None = None,
    *,
    budget: int = 8,
    seeds: int = 5,
    epochs: int = 3,
    batch_size: int = 128,
    decades: float = 3.0,
    held: float = 0.2,
    marks: int = 20,
    seed: int = 0,
    out: str | Path | None = None,
    device: str | torch.device | None = None,
) -> Arena:
    r"""Compare optimizers at equal tuning budgets, on fresh seeds.

    1. A share of the training set is held out for validation.
    2. Every optimizer gets the same number of trials: its usual learning
       rate times the same quasi-random factors, log-uniform over the same
       range, the same start, order of batches, and number of epochs. The
       trial of the best validation accuracy gives its rate.
    3. With that rate it is trained from seeds that no trial has seen, and
       scored on the test set.

    Trials of one optimizer run side by side (:func:`sweep`) where model
    and rule allow it, else one by one; the rest is :func:`train`.

    Args:
        make_model: ``seed -> module``, or a name for
            :func:`dldna.models.make`.
        data: training and test set.
        optimizers: keys of :data:`CONTESTANTS`, or contestants; all seven
            if None.
        budget: trials for each optimizer.
        seeds: final runs for each; five or more say something about the
            spread.
        epochs: passes over the training data, in trials and final runs.
        batch_size: samples in a batch.
        decades: width of the range of rates, in powers of ten.
        held: share of the training set that is held out.
        marks: how often a final run is looked at on its way.
        seed: of everything: the split, the trials' start (``seed``), the
            final runs (``seed + 1``, ...).
        out: folder in which each finished piece is kept; the same call
            goes on where it was interrupted.
        device: where to train; by default where the models are made.

    Returns:
        All scores, with methods that rank them.

    Raises:
        ValueError: unknown optimizer, fewer than two seeds, or ``out``
            holds a tournament of other settings.

    Example:
        >>> from dldna import models
        >>> from dldna.data import load
        >>> def net(seed):
        ...     return models.make(
        ...         "mlp", seed=seed, in_shape=(2,), num_classes=3,
        ...         hidden=[8])
        >>> found = arena(
        ...     net, load("blobs"), ["SGD", "Adam"], budget=2, seeds=2,
        ...     epochs=1)
        >>> found.rates.shape, found.accuracy.shape
        ((2, 2), (2, 2))

    References:
        Sivaprasad, P. T., et al., 2020, ICML, arXiv 1910.11758. Choi, D.,
        et al., 2019, arXiv 1910.05446. Dodge, J., et al., 2019, EMNLP,
        arXiv 1909.03004.
    """
    players = chosen(optimizers)
    checks.count("seeds", seeds, 2)
    checks.count("epochs", epochs)
    checks.count("marks", marks)
    began = time.perf_counter()
    setting = Setting(
        make_model, data, epochs, batch_size, held, marks, seed, device
    )
    draws = factors(budget, decades)
    store = FinishedPieces(
        out,
        {
            "contestants": [
                [c.name, c.optimizer, c.lr, dict(c.fixed)] for c in players
            ],
            "factors": draws,
            **setting.identity(),
        },
    )
    bar = track(players, "tournament")
    rows = [play(setting, store, who, draws, seeds) for who in bar]
    stack = {key: np.array([r[key] for r in rows]) for key in rows[0]}
    weight_bytes = int(stack.pop("weight_bytes")[0])
    spent = stack.pop("spent").sum()
    return Arena(
        optimizers=[c.name for c in players],
        seeds=np.array(setting.fresh(seeds)),
        marks=np.array(setting.marks),
        weight_bytes=weight_bytes,
        **stack,
        provenance=Provenance(
            made="tournament of optimizers",
            seed=seed,
            model=setting.label,
            n_params=setting.n_params,
            data=data.name,
            n_samples=len(setting.train[0]),
            loss="cross_entropy",
            device=setting.place,
            dtype=setting.dtype,
            seconds=max(float(spent), time.perf_counter() - began),
            notes={
                "budget": budget,
                "epochs": epochs,
                "batch_size": batch_size,
                "decades": decades,
                "validation_samples": len(setting.valid[0]),
                "test_samples": len(data.test_x),
                "fixed": {c.name: dict(c.fixed) for c in players},
                "usual_lr": {c.name: c.lr for c in players},
            },
        ),
    )
