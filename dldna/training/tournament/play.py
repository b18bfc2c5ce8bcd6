"""The tournament: equal budgets, then fresh seeds."""

import json
import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dldna import checks, files, models, params
from dldna.data import Dataset, Loader
from dldna.landscape.scan.fingerprint import digest
from dldna.progress import track
from dldna.records import Provenance
from dldna.training.callbacks import Callback, State
from dldna.training.ensemble import Ensemble
from dldna.training.evaluation import evaluate, measure
from dldna.training.loop import train
from dldna.training.sweep import sweep
from dldna.training.tournament.contestants import (
    Contestant,
    chosen,
    factors,
)
from dldna.training.tournament.costs import step_cost
from dldna.training.tournament.record import Arena


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
    job = _Job(make_model, data, epochs, batch_size, held, marks, seed, device)
    draws = factors(budget, decades)
    store = _Store(
        out,
        {
            "contestants": [
                [c.name, c.optimizer, c.lr, dict(c.fixed)] for c in players
            ],
            "factors": draws,
            **job.identity(),
        },
    )
    bar = track(players, "tournament")
    rows = [_play(job, store, who, draws, seeds) for who in bar]
    stack = {key: np.array([r[key] for r in rows]) for key in rows[0]}
    weight_bytes = int(stack.pop("weight_bytes")[0])
    spent = stack.pop("spent").sum()
    return Arena(
        optimizers=[c.name for c in players],
        seeds=np.array(job.fresh(seeds)),
        marks=np.array(job.marks),
        weight_bytes=weight_bytes,
        **stack,
        provenance=Provenance(
            made="tournament of optimizers",
            seed=seed,
            model=job.label,
            n_params=job.n_params,
            data=data.name,
            n_samples=len(job.train[0]),
            loss="cross_entropy",
            device=str(device or "cpu"),
            seconds=max(float(spent), time.perf_counter() - began),
            notes={
                "budget": budget,
                "epochs": epochs,
                "batch_size": batch_size,
                "decades": decades,
                "validation_samples": len(job.valid[0]),
                "test_samples": len(data.test_x),
                "fixed": {c.name: dict(c.fixed) for c in players},
                "usual_lr": {c.name: c.lr for c in players},
            },
        ),
    )


class _Job:
    """What all runs share."""

    def __init__(
        self, make_model, data, epochs, batch_size, held, marks, seed, device
    ):
        self.make, self.label = make_model, "callable"
        if isinstance(make_model, str):
            self.label = make_model
            self.make = lambda s: models.make(
                make_model,
                seed=s,
                in_shape=data.shape,
                num_classes=len(data.classes),
            )
        self.epochs, self.batch_size = epochs, batch_size
        self.seed, self.device = seed, device
        n = len(data.train_x)
        away = round(checks.fraction("held", held) * n)
        if not 0 < away < n:
            raise ValueError(
                f"held={held} of {n} samples leaves nothing to validate or "
                "to train on"
            )
        draw = torch.Generator().manual_seed(seed)
        order = torch.randperm(n, generator=draw)
        keep, out = order[away:], order[:away]
        self.train = data.train_x[keep], data.train_y[keep]
        self.valid = data.train_x[out], data.train_y[out]
        self.test = data.test_x, data.test_y
        steps = epochs * math.ceil(len(keep) / batch_size)
        ends = np.linspace(0, steps, min(marks, steps) + 1)[1:]
        self.marks = sorted({round(e) for e in ends})
        first = self.make(seed)
        self.first = params.of(first)
        self.n_params = params.count(self.first)
        if self.label == "callable":
            self.label = type(first).__name__
        flat = device is None and next(first.parameters()).is_cpu
        self.stacks = flat and not any(
            isinstance(m, nn.modules.dropout._DropoutNd)
            for m in first.modules()
        )
        if self.stacks:
            way = Ensemble(first, self.train[0][:4]).path
            self.stacks = way == "perceptron"

    def identity(self) -> dict[str, Any]:
        """What must be the same for a tournament to go on."""
        return {
            "weights": digest(dict(self.first)),
            "data": digest(self.train, self.valid, self.test),
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "marks": self.marks,
            "seed": self.seed,
        }

    def fresh(self, seeds: int) -> list[int]:
        return [self.seed + 1 + k for k in range(seeds)]

    def loader(self, seed: int) -> Loader:
        return Loader(*self.train, self.batch_size, shuffle=True, seed=seed)

    def score(self, model: nn.Module, on: tuple[Tensor, Tensor]):
        """Loss and accuracy; a network of NaN has no right answers."""
        loss, accuracy = evaluate(model, Loader(*on, 1000))
        if not math.isfinite(loss):
            return math.inf, 0.0
        return loss, accuracy

    def run(self, who: Contestant, lr: float, seed: int, path, watch=()):
        """One training run; the model, and whether it diverged."""
        model = self.make(seed)
        if self.device is not None:
            model.to(self.device)
        history = train(
            model,
            who.build(model, lr),
            self.loader(seed),
            epochs=self.epochs,
            callbacks=watch,
            checkpoint=path,
            on_divergence="record",
            seed=seed,
            progress=False,
        )
        return model, "diverged" in history.provenance.notes


def _play(job: _Job, store: "_Store", who: Contestant, draws, seeds):
    """All that one contestant does."""
    rates = [who.lr * f for f in draws]
    trials = _trials(job, store, who, rates)
    best = int(np.argmax([v for v, _ in trials["scores"]]))
    finals = [
        store.keep(
            f"{who.name}-final-{seed}",
            lambda path, seed=seed: _final(job, who, rates[best], seed, path),
        )
        for seed in job.fresh(seeds)
    ]
    cost = store.keep(f"{who.name}-cost", lambda _: _cost(job, who))
    valid, tested = zip(*trials["scores"], strict=True)
    columns = {
        key: [f[key] for f in finals]
        for key in (
            "accuracy", "loss", "diverged", "curve", "batch_loss", "grad_norm"
        )
    }  # fmt: skip
    return {
        "rates": rates,
        "valid": valid,
        "tested": tested,
        "chosen": best,
        **columns,
        **cost,
        "spent": trials["seconds"] + sum(f["seconds"] for f in finals),
    }


def _trials(job: _Job, store: "_Store", who: Contestant, rates):
    if job.stacks and who.rule is not None:
        return store.keep(
            f"{who.name}-trials", lambda _: _side_by_side(job, who, rates)
        )
    each = [
        store.keep(
            f"{who.name}-trial-{b + 1}",
            lambda path, lr=lr: _trial(job, who, lr, path),
        )
        for b, lr in enumerate(rates)
    ]
    return {
        "scores": [e["scores"] for e in each],
        "seconds": sum(e["seconds"] for e in each),
    }


def _trial(job: _Job, who: Contestant, lr: float, path) -> dict[str, Any]:
    began = time.perf_counter()
    model, diverged = job.run(who, lr, job.seed, path)
    scores = [0.0, 0.0]
    if not diverged:
        scores = [job.score(model, on)[1] for on in (job.valid, job.test)]
    return {"scores": scores, "seconds": time.perf_counter() - began}


def _side_by_side(job: _Job, who: Contestant, rates) -> dict[str, Any]:
    began = time.perf_counter()
    done = sweep(
        job.make,
        job.train,
        who.rule,
        [{"lr": lr, **who.settings} for lr in rates],
        [job.seed],
        batch_size=job.batch_size,
        epochs=job.epochs,
    )
    model, scores = job.make(job.seed), []
    for row, losses in zip(done.weights, done.step_loss, strict=True):
        vector = torch.from_numpy(row[0])
        point = params.unflatten(vector, job.first)
        with torch.no_grad():
            for name, p in params.of(model).items():
                p.copy_(point[name])
        if not np.isfinite(losses).all():
            scores.append([0.0, 0.0])
            continue
        scores.append(
            [job.score(model, on)[1] for on in (job.valid, job.test)]
        )
    return {"scores": scores, "seconds": time.perf_counter() - began}


def _final(job: _Job, who, lr: float, seed: int, path) -> dict[str, Any]:
    began = time.perf_counter()
    watch = _Watch(job.marks, Loader(*job.valid, 1000))
    model, diverged = job.run(who, lr, seed, path, [watch])
    loss, accuracy = job.score(model, job.test)
    if diverged:
        loss, accuracy = math.inf, 0.0
    missing = len(job.marks) - len(watch.rows)
    rows = [*watch.rows, *[[0.0, math.nan, math.nan]] * missing]
    curve, batch_loss, grad_norm = (list(c) for c in zip(*rows, strict=True))
    return {
        "accuracy": accuracy,
        "loss": loss,
        "diverged": diverged or not math.isfinite(loss),
        "curve": curve,
        "batch_loss": batch_loss,
        "grad_norm": grad_norm,
        "seconds": time.perf_counter() - began,
    }


def _cost(job: _Job, who: Contestant) -> dict[str, Any]:
    """Mean of steps 2 to 11: one in ten refreshes Sophia's curvature."""
    x, y = job.train
    batch = x[: job.batch_size], y[: job.batch_size]
    cost = step_cost(
        lambda: job.make(job.seed), batch, who, steps=11, device=job.device
    )
    return {
        "step_seconds": float(cost.seconds[1:].mean()),
        "state_bytes": int(cost.state[-1]),
        "weight_bytes": cost.weights,
    }


class _Watch(Callback):
    """Looks at a run on its marks, and at its gradients in each step."""

    def __init__(self, marks: list[int], valid: Loader):
        self.marks, self.valid = set(marks), valid
        self.rows: list[list[float]] = []
        self.losses: list[float] = []
        self.norms: list[float] = []
        self.sizes: list[int] = []

    def on_step(self, state: State) -> None:
        self.losses.append(state.loss)
        self.sizes.append(state.samples)
        grads = [p.grad for p in state.model.parameters()]
        norms = [g.norm() for g in grads if g is not None]
        self.norms.append(float(torch.stack(norms).norm()))
        if state.step in self.marks:
            _, accuracy = measure(state.model, self.valid, F.cross_entropy)
            loss = np.average(self.losses, weights=self.sizes)
            means = loss, np.mean(self.norms)
            self.rows.append([accuracy, *map(float, means)])
            self.losses, self.norms, self.sizes = [], [], []

    def state_dict(self) -> dict[str, Any]:
        return {
            "rows": self.rows, "losses": self.losses, "norms": self.norms,
            "sizes": self.sizes,
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows, self.losses = state["rows"], state["losses"]
        self.norms = state["norms"]
        self.sizes = state.get("sizes", [1] * len(self.losses))


class _Store:
    """Finished pieces in a folder, or nowhere."""

    def __init__(self, folder: str | Path | None, settings: dict[str, Any]):
        self.folder = None if folder is None else Path(folder)
        if self.folder is None:
            return
        path = self.folder / "settings.json"
        settings = json.loads(json.dumps(settings))
        if path.exists():
            there = json.loads(path.read_text())
            for key, value in settings.items():
                if there.get(key) != value:
                    raise ValueError(
                        f"{self.folder} holds a tournament of other "
                        f"settings ({key} differ): give another folder, or "
                        "delete it to start anew"
                    )
        self._write(path, settings)

    def keep(self, key: str, make: Callable[[Path | None], dict[str, Any]]):
        """A piece that is there, or is made now and kept."""
        if self.folder is None:
            return make(None)
        name = "".join(c if c.isalnum() or c in "-+." else "_" for c in key)
        path, unfinished = (
            self.folder / f"{name}.{e}" for e in ("json", "pt")
        )
        if path.exists():
            return json.loads(path.read_text())
        piece = make(unfinished)
        self._write(path, piece)
        unfinished.unlink(missing_ok=True)
        return piece

    @staticmethod
    def _write(path: Path, content: dict[str, Any]) -> None:
        text = json.dumps(content).encode()
        files.write_atomic(path, lambda f: f.write(text))
