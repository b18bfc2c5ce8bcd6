"""The central flow beside the run that it predicts.

    python benchmarks/flows.py              # all, into RESULTS.md
    python benchmarks/flows.py --only tanh --seeds 0

Three networks, gradient descent and RMSProp, three rates and three seeds,
100 images of the embedded clothes, at 14 x 14 pixels. The flow is computed
first; then the run is made. Each starts from the same weights, with RMSProp
after ``WARM`` steps, which fill its second moment. The edge phase begins
where the run's sharpness first reaches the threshold.
"""

import argparse
import platform
import time
from dataclasses import dataclass

import numpy as np
import torch
from _report import write_section
from torch import nn
from torch.nn import functional as F

from dldna import training
from dldna.data import load
from dldna.landscape.curvature.lanczos import lanczos

IMAGES = 100
SEEDS = (0, 1, 2)
WARM = 50
EVERY = 10  # steps from one sharpness of the run to the next
WINDOW = 33  # steps of the Hann window that smooths the run's path
LIMITS = {"loss": 0.05, "sharpness": 0.05, "distance": 0.1, "gradients": 20}


@dataclass(frozen=True)
class Case:
    """One column of the plan: a network, a loss, an optimizer, its rates."""

    network: str
    loss: str
    optimizer: str
    rates: tuple[float, ...]
    steps: int


PLAN = [
    Case("tanh", "cross-entropy", "sgd", (0.1, 0.2, 0.4), 500),
    Case("gelu", "cross-entropy", "sgd", (0.1, 0.2, 0.4), 500),
    Case("cnn", "cross-entropy", "sgd", (0.1, 0.2, 0.4), 500),
    Case("tanh", "cross-entropy", "rmsprop", (5e-4, 1e-3, 2e-3), 500),
    Case("gelu", "cross-entropy", "rmsprop", (5e-4, 1e-3, 2e-3), 500),
    Case("cnn", "cross-entropy", "rmsprop", (5e-4, 1e-3, 2e-3), 500),
]


def network(name: str, seed: int) -> nn.Module:
    """A small smooth network for 14 x 14 images, float64."""
    torch.manual_seed(seed)
    if name == "cnn":
        return nn.Sequential(
            nn.Conv2d(1, 6, 4, stride=2), nn.Tanh(),
            nn.Conv2d(6, 12, 3, stride=1), nn.Tanh(),
            nn.Flatten(), nn.Linear(192, 10),
        ).double()  # fmt: skip
    act = {"tanh": nn.Tanh, "gelu": nn.GELU}[name]
    return nn.Sequential(
        nn.Flatten(), nn.Linear(196, 24), act(), nn.Linear(24, 24), act(),
        nn.Linear(24, 10),
    ).double()  # fmt: skip


def images() -> tuple[torch.Tensor, torch.Tensor]:
    """The first images of the embedded clothes, at half the resolution."""
    data = load("clothes")
    x = F.avg_pool2d(data.train_x[:IMAGES].double(), 2)
    x = x - x.mean(0)
    return x, data.train_y[:IMAGES]


def squared(output: torch.Tensor, batch) -> torch.Tensor:
    """Half the squared distance to the one-hot targets."""
    wanted = F.one_hot(batch[1], 10).to(output)
    return (output - wanted).square().sum(1).mean() / 2


LOSSES = {"cross-entropy": nn.CrossEntropyLoss(), "squared error": squared}
OPTIMIZERS = {
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
    "adam": torch.optim.Adam,
}


class Run:
    """A run with what is needed to compare it.

    Args:
        case: the network, the loss and the optimizer.
        lr: the rate.
        seed: of the network.
        **settings: of the optimizer.
    """

    def __init__(self, case: Case, lr: float, seed: int, **settings):
        self.data = images()
        self.model = network(case.network, seed)
        self.loss = LOSSES[case.loss]
        kind = OPTIMIZERS[case.optimizer]
        self.opt = kind(self.model.parameters(), lr=lr, **settings)
        self.top = None
        if case.optimizer != "sgd":
            for _ in range(WARM):
                self.step()

    def value(self) -> torch.Tensor:
        """The loss on all the data."""
        output = self.model(self.data[0])
        plain = isinstance(self.loss, nn.Module)
        return self.loss(output, self.data[1] if plain else self.data)

    def step(self) -> float:
        """One step; the loss before it."""
        self.opt.zero_grad()
        loss = self.value()
        loss.backward()
        self.opt.step()
        return float(loss.detach())

    def weights(self) -> torch.Tensor:
        """All weights, one vector."""
        return torch.cat([p.detach().reshape(-1) for p in self.params()])

    def params(self) -> list[nn.Parameter]:
        """The weights in the model's order."""
        return list(self.model.parameters())

    def sharpness(self) -> float:
        """The largest eigenvalue, of P^-1 H where there is a P."""
        params = self.params()
        p = training.preconditioner(self.model, self.opt)
        root = torch.ones_like(self.weights())
        if p is not None:
            root = torch.cat([v.reshape(-1) for v in p.values()]).sqrt()
        g = torch.autograd.grad(self.value(), params, create_graph=True)
        g = torch.cat([part.reshape(-1) for part in g])

        def product(v: torch.Tensor) -> torch.Tensor:
            rows = torch.autograd.grad(g, params, v / root, retain_graph=True)
            return torch.cat([row.reshape(-1) for row in rows]) / root

        start = torch.randn(len(g), generator=torch.Generator().manual_seed(0))
        start = start.double() / len(g) ** 0.5
        if self.top is not None:
            start = self.top + 0.2 * start
        found = lanczos(product, start, 1, 1e-2, which="largest", least=8)
        self.top = found.vectors[0]
        return float(found.values[0])

    def go(self, steps: int) -> tuple[np.ndarray, np.ndarray, torch.Tensor]:
        """Losses, sharpness every ``EVERY`` steps, and the path."""
        losses, sharp, path = [], [], []
        for step in range(steps):
            if step % EVERY == 0:
                sharp.append(self.sharpness())
            path.append(self.weights())
            losses.append(self.step())
        return np.array(losses), np.array(sharp), torch.stack(path)


def compare(case: Case, lr: float, seed: int, **settings) -> dict | None:
    """The flow, then the run, then their distance in the edge phase.

    Returns:
        The row; None if the run does not reach the edge in the first half.
    """
    run = Run(case, lr, seed, **settings)
    begin = time.process_time()
    flow = training.central_flow(
        run.model, run.loss, run.data, run.opt, case.steps, keep=True
    )
    seconds = time.process_time() - begin
    losses, sharp, path = run.go(case.steps)
    over = np.flatnonzero(sharp >= flow.threshold)
    row = {"first": sharp[0] / flow.threshold, "seconds": seconds}
    if not len(over) or over[0] * EVERY > case.steps / 2:
        return row | {"reached": None, "last": sharp[-1] / flow.threshold}
    edge = int(over[0]) * EVERY
    half = (edge + case.steps) // 2
    late = slice(-(-half // EVERY), None)
    window = torch.from_numpy(np.hanning(WINDOW + 2)[1:-1])
    window, reach = window / window.sum(), WINDOW // 2
    at = range(max(edge, reach), case.steps - reach, 5)
    smooth = {t: window @ path[t - reach : t + reach + 1] for t in at}
    planned = torch.from_numpy(flow.weights)
    gaps = [float((s - planned[t]).norm()) for t, s in smooth.items()]
    ways = [float((s - path[0]).norm()) for s in smooth.values()]
    return row | {
        "reached": edge,
        "loss_run": losses[edge:].mean(),
        "loss_flow": flow.mean_loss[edge:].mean(),
        "sharpness_run": sharp[late].mean() / flow.threshold,
        "sharpness_flow": flow.sharpness[half:].mean() / flow.threshold,
        "gap": np.max(np.array(gaps) / np.array(ways)),
        "travelled": ways[-1],
        "gradients": flow.gradients[edge:].mean(),
        "critical": flow.critical[edge:].mean(),
        "missed": flow.missed.max(),
    }


def verdict(row: dict) -> dict[str, float]:
    """The four measures that have a limit."""
    return {
        "loss": row["loss_flow"] / row["loss_run"] - 1,
        "sharpness": row["sharpness_flow"] / row["sharpness_run"] - 1,
        "distance": row["gap"],
        "gradients": row["gradients"],
    }
