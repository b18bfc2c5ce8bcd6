"""What one contestant does: its trials, its final runs, what they cost."""

import math
import time
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from dldna import params
from dldna.data import Loader
from dldna.training.callbacks import Callback, State
from dldna.training.evaluation import measure
from dldna.training.sweep import sweep
from dldna.training.tournament.contestants import Contestant
from dldna.training.tournament.costs import measured
from dldna.training.tournament.finished import FinishedPieces
from dldna.training.tournament.setting import Setting


def play(
    setting: Setting, store: FinishedPieces, who: Contestant, draws, seeds
):
    """All that one contestant does."""
    rates = [who.lr * f for f in draws]
    trials = _trials(setting, store, who, rates)
    best = int(np.argmax([v for v, _ in trials["scores"]]))
    finals = [
        store.keep(
            f"{who.name}-final-{seed}",
            lambda path, seed=seed: _final(
                setting, who, rates[best], seed, path
            ),
        )
        for seed in setting.fresh(seeds)
    ]
    cost = store.keep(f"{who.name}-cost", lambda _: _cost(setting, who))
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


def _trials(setting: Setting, store: FinishedPieces, who: Contestant, rates):
    if setting.stacks and who.rule is not None:
        return store.keep(
            f"{who.name}-trials", lambda _: _side_by_side(setting, who, rates)
        )
    each = [
        store.keep(
            f"{who.name}-trial-{b + 1}",
            lambda path, lr=lr: _trial(setting, who, lr, path),
        )
        for b, lr in enumerate(rates)
    ]
    return {
        "scores": [e["scores"] for e in each],
        "seconds": sum(e["seconds"] for e in each),
    }


def _trial(
    setting: Setting, who: Contestant, lr: float, path
) -> dict[str, Any]:
    began = time.perf_counter()
    model, diverged = setting.run(who, lr, setting.seed, path)
    scores = [0.0, 0.0]
    if not diverged:
        scores = [
            setting.score(model, on)[1] for on in (setting.valid, setting.test)
        ]
    return {"scores": scores, "seconds": time.perf_counter() - began}


def _side_by_side(setting: Setting, who: Contestant, rates) -> dict[str, Any]:
    began = time.perf_counter()
    done = sweep(
        setting.make,
        setting.train,
        who.rule,
        [{"lr": lr, **who.settings} for lr in rates],
        [setting.seed],
        batch_size=setting.batch_size,
        epochs=setting.epochs,
    )
    model, scores = setting.make(setting.seed), []
    for row, losses in zip(done.weights, done.step_loss, strict=True):
        vector = torch.from_numpy(row[0])
        point = params.unflatten(vector, setting.first)
        with torch.no_grad():
            for name, p in params.of(model).items():
                p.copy_(point[name])
        if not np.isfinite(losses).all():
            scores.append([0.0, 0.0])
            continue
        scores.append(
            [
                setting.score(model, on)[1]
                for on in (setting.valid, setting.test)
            ]
        )
    return {"scores": scores, "seconds": time.perf_counter() - began}


def _final(
    setting: Setting, who, lr: float, seed: int, path
) -> dict[str, Any]:
    began = time.perf_counter()
    watch = MarkMeasurements(setting.marks, Loader(*setting.valid, 1000))
    model, diverged = setting.run(who, lr, seed, path, [watch])
    loss, accuracy = setting.score(model, setting.test)
    if diverged:
        loss, accuracy = math.inf, 0.0
    missing = len(setting.marks) - len(watch.rows)
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


def _cost(setting: Setting, who: Contestant) -> dict[str, Any]:
    """Mean of steps 2 to 11: one in ten refreshes Sophia's curvature."""
    x, y = setting.train
    batch = x[: setting.batch_size], y[: setting.batch_size]
    cost = measured(
        lambda: setting.make(setting.seed),
        batch,
        who,
        steps=11,
        device=setting.device,
    )
    return {
        "step_seconds": float(cost.seconds[1:].mean()),
        "state_bytes": int(cost.state[-1]),
        "weight_bytes": cost.weights,
    }


class MarkMeasurements(Callback):
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
