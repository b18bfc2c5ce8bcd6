"""Small networks that train at the edge of stability, on all their data."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from dldna import training
from dldna.data import load
from dldna.landscape.curvature.lanczos import lanczos

IMAGES = 100
WARM = 50
EVERY = 10  # steps from one sharpness of the run to the next
WINDOW = 33  # steps of the Hann window that smooths the run's path


@dataclass(frozen=True)
class Case:
    """One column of the plan: a network, a loss, an optimizer, its rates."""

    network: str
    loss: str
    optimizer: str
    rates: tuple[float, ...]
    steps: int


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


def ten(output: torch.Tensor, batch) -> torch.Tensor:
    """Half the squared distance to the one-hot targets of ten classes."""
    wanted = F.one_hot(batch[1], 10).to(output)
    return (output - wanted).square().sum(1).mean() / 2


def shoes(output: torch.Tensor, batch) -> torch.Tensor:
    """Half the squared distance of the first output: shoes 1, others -1."""
    shod = (batch[1] == 5) | (batch[1] == 7) | (batch[1] == 9)
    wanted = 2 * shod.to(output) - 1
    return (output[:, 0] - wanted).square().mean() / 2


LOSSES = {"shoes": shoes, "ten classes": ten}
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
    """

    def __init__(self, case: Case, lr: float, seed: int):
        self.data = images()
        self.model = network(case.network, seed)
        self.loss = LOSSES[case.loss]
        self.params = list(self.model.parameters())
        self.opt = OPTIMIZERS[case.optimizer](self.params, lr=lr)
        self.top = None
        if case.optimizer != "sgd":
            for _ in range(WARM):
                self.step()

    def value(self, output: torch.Tensor) -> torch.Tensor:
        """The loss on all the data."""
        return self.loss(output, self.data)

    def step(self) -> float:
        """One step; the loss before it."""
        self.opt.zero_grad()
        loss = self.value(self.model(self.data[0]))
        loss.backward()
        self.opt.step()
        return float(loss.detach())

    def weights(self) -> torch.Tensor:
        """All weights, one vector."""
        return torch.cat([p.detach().reshape(-1) for p in self.params])

    def root(self) -> torch.Tensor:
        """The root of P, one where there is none."""
        p = training.preconditioner(self.model, self.opt)
        if p is None:
            return torch.ones_like(self.weights())
        return torch.cat([v.reshape(-1) for v in p.values()]).sqrt()

    def product(self, w: torch.Tensor, root: torch.Tensor):
        """Products with P^-1/2 H P^-1/2 at given weights."""
        sizes = [p.numel() for p in self.params]
        parts = [
            part.view(p.shape).clone().requires_grad_()
            for part, p in zip(w.split(sizes), self.params, strict=True)
        ]
        names = [name for name, _ in self.model.named_parameters()]
        point = dict(zip(names, parts, strict=True))
        loss = self.value(functional_call(self.model, point, self.data[0]))
        g = torch.autograd.grad(loss, parts, create_graph=True)
        g = torch.cat([part.reshape(-1) for part in g])

        def times(v: torch.Tensor) -> torch.Tensor:
            rows = torch.autograd.grad(g, parts, v / root, retain_graph=True)
            return torch.cat([row.reshape(-1) for row in rows]) / root

        return times

    def largest(self, products: list) -> float:
        """The largest eigenvalue of the mean of some matrices."""
        n = len(self.weights())
        start = torch.randn(n, generator=torch.Generator().manual_seed(0))
        start = start.double() / n**0.5
        if self.top is not None:
            start = self.top + 0.2 * start
        found = lanczos(
            lambda v: sum(times(v) for times in products) / len(products),
            start, 1, 1e-2, which="largest", least=8,
        )  # fmt: skip
        self.top = found.vectors[0]
        return float(found.values[0])

    def go(self, steps: int) -> dict:
        """Losses, the path, P, and sharpness every ``EVERY`` steps.

        The sharpness is that of two points in a row, (T, 2), one on each
        side of the swing: it differs between the sides.
        """
        losses, sharp, path, roots = [], [], [], []
        for step in range(steps):
            path.append(self.weights())
            roots.append(self.root())
            if step % EVERY < 2:
                now = self.product(path[-1], roots[-1])
                sharp.append(self.largest([now]))
            losses.append(self.step())
        return {
            "losses": np.array(losses),
            "sharp": np.array(sharp).reshape(-1, 2),
            "path": torch.stack(path),
            "roots": roots,
        }


def mean_curvature(run: Run, seen: dict, half: int) -> float:
    """The largest eigenvalue of the Hessian averaged over ``WINDOW`` steps.

    The mean over two windows of the second half, each of five points an odd
    number of steps apart, so that both sides of the oscillation count.
    """
    last = len(seen["path"]) - WINDOW
    found = []
    for first in ((half + last) // 2 - WINDOW // 2, last):
        points = range(first, first + WINDOW, 7)
        products = [
            run.product(seen["path"][t], seen["roots"][t]) for t in points
        ]
        found.append(run.largest(products))
    return float(np.mean(found))
