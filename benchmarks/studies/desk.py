"""What every job works with: the data, the folder, and when to stop."""

import math
import platform
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import torch
from torch import nn

from benchmarks.studies.state import State
from dldna import data, stored, training

HELD = 5_000  # images kept for validation


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
        say_seconds: between two lines of the log.
        deadline: on ``time.monotonic``'s clock; then as if paused.
        stopped: set by a signal.
    """

    state: State
    dataset: data.Dataset
    label: str
    device: str = "cpu"
    save_seconds: float = 180.0
    say_seconds: float = 120.0
    deadline: float = math.inf
    stopped: bool = False

    def __post_init__(self):
        if torch.device(self.device).type != "cpu":
            parts = ("train_x", "train_y", "test_x", "test_y")
            moved = {
                k: getattr(self.dataset, k).to(self.device) for k in parts
            }
            self.dataset = replace(self.dataset, **moved)
        n = len(self.dataset.train_x)
        order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
        held = min(HELD, n // 10)
        self.fitted, self.held = order[:-held], order[-held:]

    def leaving(self) -> bool:
        """Whether the queue is to end."""
        return self.stopped or time.monotonic() > self.deadline

    def asked(self) -> bool:
        """Whether to leave a job at its next checkpoint."""
        return self.leaving() or self.state.paused()

    def chosen(self, n: int) -> torch.Tensor:
        """Indices of training images: all, or n that no choice is made on."""
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

    def about(self) -> dict:
        """Where, when and with what."""
        on_gpu = torch.device(self.device).type == "cuda"
        where = torch.cuda.get_device_name() if on_gpu else stored.processor()
        return {
            "data": self.label,
            "hardware": f"{where}, {torch.get_num_threads()} thread(s)",
            "device": self.device,
            "arithmetic": "bfloat16 autocast, channels last",
            "torch": torch.__version__,
            "python": platform.python_version(),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }


def chosen_images(
    d: data.Dataset, n: int, device: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """The first n training images of an order drawn once."""
    draw = torch.Generator().manual_seed(0)
    order = torch.randperm(len(d.train_x), generator=draw)[:n]
    return d.train_x[order].to(device), d.train_y[order].to(device)


def precision(device: str):
    """Products in bfloat16: the fastest here, for every network.

    The cache of cast weights would outlive the steps that change them.
    """
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16, cache_enabled=False)


def log(text: str) -> None:
    """A line with the time."""
    print(time.strftime("%H:%M:%S"), text, flush=True)
