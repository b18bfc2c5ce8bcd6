"""Where a training run stands, and how that is kept and found again."""

import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dldna import batches
from dldna.objective.inputs import name_of
from dldna.objective.reductions import loss_name
from dldna.records import History, Provenance
from dldna.training.callbacks import State
from dldna.training.checkpoint import (
    check_same,
    load_checkpoint,
    put_into,
    random_states,
    set_random_states,
)
from dldna.training.evaluation import Tally, home
from dldna.training.stepping import evaluation_weights, joined, shares_of

COLUMNS = (
    "train_loss",
    "train_accuracy",
    "test_loss",
    "test_accuracy",
    "seconds",
)


@dataclass
class RunState:
    """Where a run stands: all that a checkpoint must hold."""

    model: nn.Module
    optimizer: Optimizer
    loader: Iterable
    scheduler: Any
    callbacks: Sequence[Any]
    seed: int
    accumulate: int = 1
    epoch: int = 0  # finished epochs
    position: int = 0  # finished batches of the epoch that is under way
    spent: float = 0.0  # seconds of it before an interruption
    columns: dict[str, list[float]] = field(
        default_factory=lambda: {name: [] for name in COLUMNS}
    )
    metrics: dict[str, list[float]] = field(default_factory=dict)
    step_loss: list[float] = field(default_factory=list)
    diverged: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        self.device = home(self.model)
        self.tally = Tally()
        self.state = State(self.model, self.optimizer)
        self.began = time.perf_counter()
        self.resumed: dict[str, Any] | None = None
        self.order = self._order()

    # The data -----------------------------------------------------------

    def batches(self) -> Iterator[Any]:
        """The batches of this epoch that are still to come."""
        self.began = time.perf_counter()
        if self.resumed is None:
            self.order = self._order()
        elif self.order is not None:
            self.loader.generator.set_state(self.order)
        seed_all(self.seed, self.epoch)
        if hasattr(self.loader, "batches"):
            items = self.loader.batches(self.epoch, self.position)
        else:
            items = iter(self.loader)
            for _ in range(self.position):
                next(items)
        if self.resumed is not None and self.position > 0:
            set_random_states(self.resumed)
        self.resumed = None
        return items

    def _order(self) -> Tensor | None:
        """State of a generator that the loader itself holds."""
        generator = getattr(self.loader, "generator", None)
        return None if generator is None else generator.get_state()

    def count(self, seen: list[tuple[float, Any]], several: list) -> None:
        """A step on some batches is done; the last ones may be unseen."""
        sizes = [batches.size(batch) for batch in several[: len(seen)]]
        loss_fn = self.state.loss_fn
        for (loss, output), batch in zip(seen, several, strict=False):
            target = batches.split(batch)[1]
            self.tally.add(loss, batch, output, target, loss_fn)
        self.position += len(several)
        loss = seen[0][0]
        if len(seen) > 1:
            shares = shares_of(loss_fn, several[: len(seen)])
            pairs = zip(seen, shares, strict=True)
            loss = sum(loss * share for (loss, _), share in pairs)
        self.step_loss.append(loss)
        state = self.state
        state.epoch, state.step = self.epoch + 1, state.step + 1
        state.loss, state.batch = loss, joined(several)
        state.samples = sum(sizes)

    def close_epoch(self, test_loss: float, test_accuracy: float) -> None:
        """The epoch and its evaluation are done."""
        seconds = self.spent + time.perf_counter() - self.began
        row = (
            self.tally.loss,
            self.tally.accuracy,
            test_loss,
            test_accuracy,
            seconds,
        )
        for name, value in zip(COLUMNS, row, strict=True):
            self.columns[name].append(value)
        self.epoch += 1
        self.position, self.spent, self.tally = 0, 0.0, Tally()
        self.order = self._order()
        self.state.metrics = {}
        lr = self.optimizer.param_groups[0].get("lr")
        if lr is not None:
            self.state.metrics["lr"] = float(lr)
        self.tell("on_epoch")
        for name, value in self.state.metrics.items():
            past = self.metrics.setdefault(name, [])
            past += [math.nan] * (self.epoch - 1 - len(past))
            past.append(float(value))

    def tell(self, event: str) -> None:
        """Call this method of each callback that has it."""
        for callback in self.callbacks:
            method = getattr(callback, event, None)
            if method is not None:
                method(self.state)

    # Checkpoints --------------------------------------------------------

    def settings(self) -> dict[str, Any]:
        """What must be the same for a run to go on as it began."""
        loader = self.loader
        return {
            "optimizer": type(self.optimizer).__name__,
            "scheduler": type(self.scheduler).__name__,
            "seed": self.seed,
            "batch_size": getattr(loader, "batch_size", None),
            "batches": batches.length(loader),
            "loader seed": getattr(loader, "seed", None),
            "accumulate": self.accumulate,
        }

    def state_dict(self) -> dict[str, Any]:
        """All of it, in plain types."""
        spent = self.spent
        if self.position:
            spent += time.perf_counter() - self.began
        scheduler = self.scheduler
        own = dict(self.model.named_parameters())
        training = None
        with evaluation_weights(self.optimizer) as differ:
            weights = dict(self.model.state_dict())
            if differ:
                weights = {k: v.clone() for k, v in weights.items()}
        if differ:
            training = {k: p.detach() for k, p in own.items()}
        return {
            "settings": self.settings(),
            "model": weights,
            "training_weights": training,
            "optimizer": self.optimizer.state_dict(),
            "scheduler": None if scheduler is None else scheduler.state_dict(),
            "callbacks": [
                c.state_dict() if hasattr(c, "state_dict") else None
                for c in self.callbacks
            ],
            "random": random_states(),
            "order": self.order,
            "run": {
                "epoch": self.epoch,
                "position": self.position,
                "spent": spent,
                "columns": self.columns,
                "metrics": self.metrics,
                "diverged": self.diverged,
                "step": self.state.step,
                "stop": self.state.stop,
                "tally": vars(self.tally),
            },
            "step_loss": torch.tensor(
                self.step_loss, dtype=torch.float64, device="cpu"
            ),
        }

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint."""
        saved = load_checkpoint(path)
        put_into(self.model, saved, path)
        if saved.get("training_weights"):
            self.model.load_state_dict(saved["training_weights"], strict=False)
        there = {"accumulate": 1, **saved["settings"]}
        check_same(self.settings(), there, path)
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(saved["scheduler"])
        for callback, state in zip(
            self.callbacks, saved["callbacks"], strict=False
        ):
            if hasattr(callback, "load_state_dict") and state is not None:
                callback.load_state_dict(state)
        run = saved["run"]
        vars(self.tally).update(run.pop("tally"))
        self.state.step, self.state.stop = run.pop("step"), run.pop("stop")
        vars(self).update(run)
        self.step_loss = saved["step_loss"].tolist()
        self.resumed, self.order = saved["random"], saved["order"]

    def check_length(self, epochs: int, path: Path | None) -> None:
        """Refuse a checkpoint that is further than one wants to go."""
        if self.epoch + (self.position > 0) > epochs:
            raise ValueError(
                f"{path} has {self.epoch} finished epochs already, more "
                f"than epochs={epochs}; give another path"
            )

    # The result ---------------------------------------------------------

    def history(self, loss_fn: Callable) -> History:
        """What was measured so far."""
        notes = {"optimizer": type(self.optimizer).__name__}
        if self.diverged:
            notes["diverged"] = self.diverged
        parameters = list(self.model.parameters())
        short = {
            name: np.array(past + [math.nan] * (self.epoch - len(past)))
            for name, past in self.metrics.items()
        }
        return History(
            epochs=np.arange(1, self.epoch + 1),
            **{k: np.array(v) for k, v in self.columns.items()},
            step_loss=np.array(self.step_loss),
            metrics=short,
            provenance=Provenance(
                made="training",
                seed=self.seed,
                model=type(self.model).__name__,
                n_params=sum(p.numel() for p in parameters),
                data=name_of(self.loader),
                n_samples=_samples(self.loader),
                loss=loss_name(loss_fn),
                device=str(self.device),
                dtype=str(parameters[0].dtype).removeprefix("torch.")
                if parameters
                else None,
                seconds=float(sum(self.columns["seconds"])),
                notes=notes,
            ),
        )


def _samples(loader: Any) -> int | None:
    """How many samples an epoch has, as far as the loader tells."""
    held = getattr(loader, "x", getattr(loader, "dataset", None))
    if hasattr(held, "__len__"):
        return len(held)
    if isinstance(loader, (list, tuple)):
        with suppress(ValueError):
            return sum(batches.size(batch) for batch in loader)
    return None


def seed_all(seed: int, epoch: int) -> None:
    """Set the global random states of torch, NumPy and Python."""
    mixed = (seed * 1_000_003 + epoch) % 2**32
    torch.manual_seed(mixed)
    np.random.seed(mixed)  # noqa: NPY002
    random.seed(mixed)
