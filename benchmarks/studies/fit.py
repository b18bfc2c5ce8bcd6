"""One job: a training with its path, or a search of its rate."""

import contextlib
import dataclasses
import math
import platform
import sys
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.studies import networks
from benchmarks.studies.jobs import Search, Training
from benchmarks.studies.state import State
from dldna import data, stored, training
from dldna.files import write_atomic
from dldna.landscape import Recorder

HELD = 5_000  # images kept for validation
HALF_MAX = 65_504  # the largest number of half precision
SAY = 120.0  # seconds between two lines of the log


class Paused(Exception):
    """Someone asked the queue to stop; all that was done is on disk."""


@dataclass
class Desk:
    """What every job works with.

    Args:
        state: where all is kept.
        dataset: images and labels.
        label: what the data are, for the results.
        device: where to train.
        save_seconds: between two checkpoints.
        deadline: on ``time.monotonic``'s clock; then as if paused.
        stopped: set by a signal.
    """

    state: State
    dataset: data.Dataset
    label: str
    device: str = "cpu"
    save_seconds: float = 180.0
    deadline: float = math.inf
    stopped: bool = False

    def __post_init__(self):
        n = len(self.dataset.train_x)
        order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
        held = min(HELD, n // 10)
        self.fitted, self.held = order[:-held], order[-held:]

    def asked(self) -> bool:
        """Whether to stop at the next checkpoint."""
        late = time.monotonic() > self.deadline
        return self.stopped or late or self.state.paused()

    def images(self, n: int) -> torch.Tensor:
        """Indices of n training images: never of validation, but of all."""
        everything = len(self.dataset.train_x)
        if n >= everything:
            return torch.arange(everything)
        return self.fitted[:n]

    def validate(self, net: nn.Module) -> tuple[float, float]:
        """Loss and accuracy on the images that are kept for choices."""
        d = self.dataset
        loader = data.Loader(d.train_x[self.held], d.train_y[self.held], 500)
        with precision(self.device):
            return training.evaluate(net, loader)


def precision(device: str):
    """Products in bfloat16.

    The cache of cast weights would outlive the steps that change them.
    """
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16, cache_enabled=False)


class Watch:
    """A callback: points of the path, a line now and then, and the pause."""

    def __init__(self, desk: Desk, job: Training, steps: int):
        self.desk, self.job, self.steps = desk, job, steps
        self.wanted = marks(job.points, job.epochs, steps)
        self.recorder = None
        if self.wanted:
            path = desk.state.path(job.name)
            self.recorder = Recorder(path, 1, job.precision, resume=True)
        self.left_out = 0
        self.said, self.since, self.losses = time.monotonic(), 0, []
        self.asked = False

    def on_start(self, state) -> None:
        """The first point, if it is not there."""
        if state.step == 0:
            self.point(state)

    def on_step(self, state) -> None:
        """A point where one is due; leave when the checkpoint is written."""
        if self.asked:
            raise Paused
        if state.step in self.wanted:
            self.point(state)
        self.losses.append(state.loss)
        self.since += 1
        if time.monotonic() - self.said > SAY:
            self.say(state)
        if self.desk.asked():
            self.asked = state.save = True

    def point(self, state) -> None:
        """Write the weights, where their numbers fit."""
        if self.recorder is None:
            return
        if self.job.precision == "float16":
            tensors = state.model.state_dict().values()
            largest = max(float(t.abs().max()) for t in tensors)
            if not largest < HALF_MAX:
                self.left_out += 1
                return
        self.recorder.record(
            state.model, state.step, state.loss, state.epoch
        )

    def say(self, state) -> None:
        """One line of the log."""
        spent = time.monotonic() - self.said
        each = self.since * self.job.batch / spent
        loss = sum(self.losses) / len(self.losses)
        log(
            f"{self.job.name}: step {state.step} of "
            f"{self.steps * self.job.epochs}, loss {loss:.3f}, "
            f"{each:.0f} images/s"
        )
        key = f"{self.job.model} {self.desk.device}"
        self.desk.state.note_speed(key, each)
        self.said, self.since, self.losses = time.monotonic(), 0, []

    def state_dict(self) -> dict:
        """What a checkpoint keeps."""
        return {"left_out": self.left_out}

    def load_state_dict(self, state: dict) -> None:
        """Go on counting."""
        self.left_out = state["left_out"]

    def close(self) -> None:
        """Close the path's files."""
        if self.recorder is not None:
            self.recorder.close()


def marks(points: tuple[int, ...], epochs: int, steps: int) -> set[int]:
    """The steps after which a point of the path is kept.

    Example:
        >>> sorted(marks((4, 2), 3, 8))
        [0, 2, 4, 6, 8, 12, 16, 20, 24]
    """
    if not points:
        return set()
    found = {0}
    for epoch in range(epochs):
        n = min(points[min(epoch, len(points) - 1)], steps)
        found |= {epoch * steps + round(k * steps / n) for k in range(1, n + 1)}
    return found


def train(desk: Desk, job: Training, rate: float, test: bool) -> tuple:
    """Train a network, from where it was left.

    Returns:
        The network, its history, and the callback that watched.

    Raises:
        Paused: someone asked for it; the checkpoint is on disk.
    """
    d = desk.dataset
    net = networks.build(
        job.model, d.shape, len(d.classes), job.seed, **dict(job.options)
    )
    net.to(desk.device, memory_format=torch.channels_last)
    chosen = desk.images(job.images)
    loader = data.Loader(
        d.train_x[chosen], d.train_y[chosen], job.batch, True, job.seed,
        transform=data.crop_and_flip if job.augment else None,
        drop_last=True,
    )  # fmt: skip
    optimizer = networks.optimizer(job.optimizer, net, rate, job.decay)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [g["lr"] for g in optimizer.param_groups],
        total_steps=job.epochs * len(loader), pct_start=0.25,
        cycle_momentum=False,
    )  # fmt: skip
    watch = Watch(desk, job, len(loader))
    tested = data.Loader(d.test_x, d.test_y, 500) if test else None
    try:
        with precision(desk.device):
            history = training.train(
                net, optimizer, loader, tested, epochs=job.epochs,
                scheduler=cycle, scheduler_every="step", seed=job.seed,
                callbacks=[watch], checkpoint=desk.state.part(job.name),
                checkpoint_seconds=desk.save_seconds, progress=False,
                on_divergence="record",
            )  # fmt: skip
    finally:
        watch.close()
    return net, history, watch


def run_training(desk: Desk, job: Training) -> dict:
    """Train a network to its end, and say how good it became."""
    rate = job.rate
    if isinstance(rate, str):
        found = desk.state.result(rate)
        if found is None:
            raise LookupError(f"{job.name} waits for the search {rate}")
        rate = found["chosen"]
    net, history, watch = train(desk, job, rate, test=True)
    d = desk.dataset
    net.to(memory_format=torch.contiguous_format)
    loss, accuracy = training.evaluate(
        net, data.Loader(d.test_x, d.test_y, 500)
    )
    kept = {k: v.cpu() for k, v in net.state_dict().items()}
    write_atomic(
        desk.state.weights(job.name), lambda file: torch.save(kept, file)
    )
    return {
        "rate": rate,
        "parameters": sum(p.numel() for p in net.parameters()),
        "test_loss": loss,
        "test_accuracy": accuracy,
        "epochs": columns(history),
        "diverged": history.provenance.notes.get("diverged"),
        "points": len(watch.wanted) - watch.left_out,
        "points_left_out": watch.left_out,
        "seconds": float(history.seconds.sum()),
    }


def run_search(desk: Desk, search: Search) -> dict:
    """Try rates until the best is not at an edge; validation chooses."""
    found: dict[float, dict] = {}
    rates, beyond = sorted(search.rates), 0
    while True:
        for rate in rates:
            if rate not in found:
                found[rate] = trial(desk, search, rate)
        best = min(found, key=lambda r: found[r]["validation_loss"])
        step = rates[-1] / rates[-2] if len(rates) > 1 else 10**0.5
        if best == rates[-1] and beyond < search.more:
            rates.append(float(f"{best * step:.2g}"))
        elif best == rates[0] and beyond < search.more:
            rates.insert(0, float(f"{best / step:.2g}"))
        else:
            break
        beyond += 1
    edge = len(rates) > 1 and best in (rates[0], rates[-1])
    for rate in rates:
        desk.state.part(search.trial(rate).name).unlink(missing_ok=True)
    return {
        "chosen": best,
        "at_edge": edge,
        "extended": beyond,
        "rates": rates,
        "trials": [found[r] for r in rates],
        "seconds": sum(found[r]["seconds"] for r in rates),
    }


def trial(desk: Desk, search: Search, rate: float) -> dict:
    """One rate: its loss on images that it was not trained on."""
    job = search.trial(rate)
    known = desk.state.result(job.name)
    if known is not None:
        return known
    net, history, _ = train(desk, job, rate, test=False)
    loss, accuracy = desk.validate(net)
    if history.provenance.notes.get("diverged") or not math.isfinite(loss):
        loss = math.inf
    found = {
        "rate": rate,
        "validation_loss": loss,
        "validation_accuracy": accuracy,
        "train_loss": history.train_loss.tolist(),
        "seconds": float(history.seconds.sum()),
    }
    desk.state.finish(job.name, found)
    log(f"{job.name}: validation {loss:.3f}, {100 * accuracy:.1f} %")
    return found


def columns(history) -> dict[str, list[float]]:
    """The numbers of each epoch."""
    names = (
        "train_loss", "train_accuracy", "test_loss", "test_accuracy",
        "seconds",
    )  # fmt: skip
    return {n: getattr(history, n).tolist() for n in names}


def run(desk: Desk, job: Training | Search) -> dict:
    """One job, from where it was left; its result is kept.

    Raises:
        Paused: someone asked for it.
    """
    kind = run_search if isinstance(job, Search) else run_training
    found = kind(desk, job)
    whole = {
        "job": plain(job),
        "kind": type(job).__name__.lower(),
        **found,
        "about": about(desk),
    }
    desk.state.finish(job.name, whole)
    return whole


def plain(job: Training | Search) -> dict:
    """A job in types that JSON has."""
    return dataclasses.asdict(job)


def about(desk: Desk) -> dict:
    """Where, when and with what."""
    on_gpu = torch.device(desk.device).type == "cuda"
    where = torch.cuda.get_device_name() if on_gpu else stored.processor()
    return {
        "data": desk.label,
        "hardware": f"{where}, {torch.get_num_threads()} thread(s)",
        "device": desk.device,
        "arithmetic": "bfloat16 autocast, channels last",
        "torch": torch.__version__,
        "python": platform.python_version(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def log(text: str) -> None:
    """A line with the time."""
    print(time.strftime("%H:%M:%S"), text, flush=True)
