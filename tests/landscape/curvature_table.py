"""Products by every way, in a process of its own: run with LAYER/LOSS ...

It prints one JSON line for each layer, loss and way: the way that was
taken, and the largest relative difference of ten products of one vector to
the plain product by double backward, in float64.
"""

import copy
import json
import sys

import torch
from torch import nn
from torch.nn import functional as F

N, C = 6, 3


class Permute(nn.Module):
    def __init__(self, *order):
        super().__init__()
        self.order = order

    def forward(self, x):
        return x.permute(*self.order)


class Residual(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return x + self.inner(x)


def _conv(*rest):
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        *rest,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, C),
    )


LAYERS = {
    "relu": lambda: _conv(nn.ReLU()),
    "tanh": lambda: _conv(nn.Tanh()),
    "gelu": lambda: _conv(nn.GELU()),
    "silu": lambda: _conv(nn.SiLU()),
    "elu": lambda: _conv(nn.ELU()),
    "softplus": lambda: _conv(nn.Softplus()),
    "leaky": lambda: _conv(nn.LeakyReLU()),
    "prelu": lambda: _conv(nn.PReLU()),
    "batch norm": lambda: _conv(nn.BatchNorm2d(4), nn.ReLU()),
    "group norm": lambda: _conv(nn.GroupNorm(2, 4), nn.ReLU()),
    "instance norm": lambda: _conv(nn.InstanceNorm2d(4), nn.Tanh()),
    "layer norm": lambda: _conv(
        Permute(0, 2, 3, 1),
        nn.LayerNorm(4),
        nn.Linear(4, 4),
        nn.GELU(),
        Permute(0, 3, 1, 2),
    ),
    "max pool": lambda: _conv(nn.ReLU(), nn.MaxPool2d(2)),
    "average pool": lambda: _conv(nn.Tanh(), nn.AvgPool2d(2)),
    "residual": lambda: _conv(
        Residual(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()))
    ),
    "grouped": lambda: _conv(nn.Conv2d(4, 4, 3, padding=1, groups=4)),
    "transposed": lambda: _conv(nn.ConvTranspose2d(4, 4, 3), nn.Sigmoid()),
    "dropout": lambda: _conv(nn.Dropout(0.5), nn.Tanh()),
    "upsample": lambda: _conv(nn.Upsample(scale_factor=2), nn.Tanh()),
    "softmax": lambda: _conv(nn.Softmax(1)),
    "plain": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(36, 5), nn.Tanh(), nn.Linear(5, C)
    ),
}


def _classes(loss):
    return loss, lambda g: torch.randint(0, C, (N,), generator=g)


def _values(loss, low=False):
    def draw(g):
        x = torch.rand(N, C, generator=g, dtype=torch.float64)
        return x if low else 2 * x - 1

    return loss, draw


LOSSES = {
    "cross entropy": _classes(F.cross_entropy),
    "smoothed": _classes(nn.CrossEntropyLoss(label_smoothing=0.1)),
    "weighted": _classes(
        nn.CrossEntropyLoss(torch.tensor([1.0, 2.0, 3.0]).double())
    ),
    "summed": _classes(nn.CrossEntropyLoss(reduction="sum")),
    "each": _classes(nn.CrossEntropyLoss(reduction="none")),
    "squared": _values(nn.MSELoss()),
    "squared sum": _values(nn.MSELoss(reduction="sum")),
    "squared each": _values(nn.MSELoss(reduction="none")),
    "binary": _values(nn.BCEWithLogitsLoss(), low=True),
    "huber": _values(nn.HuberLoss()),
    "smooth l1": _values(nn.SmoothL1Loss()),
    "soft margin": _values(nn.SoftMarginLoss()),
    "divergence": _values(
        lambda z, target: F.kl_div(
            F.log_softmax(z, 1), target.softmax(1), reduction="batchmean"
        ),
    ),
    "poisson": _values(nn.PoissonNLLLoss(), low=True),
    "own": _values(
        lambda z, batch: (z - batch[1]).pow(4).mean() + z.logsumexp(1).mean()
    ),
    "cosine": _values(
        lambda z, target: 1 - F.cosine_similarity(z, target).mean()
    ),
}
WAYS = ("auto", "forward")


def main(layer: str, name: str) -> None:
    """One layer, one loss, all ways."""
    from dldna.landscape import Operator
    from dldna.landscape.curvature import operator

    operator.TRACE_AFTER = 0
    torch.manual_seed(0)
    net = LAYERS[layer]().double()
    x = torch.rand(N, 1, 6, 6, dtype=torch.float64)
    loss, draw = LOSSES[name]
    data = x, draw(torch.Generator().manual_seed(1))
    plain = Operator(copy.deepcopy(net), loss, data, way="reverse")
    v = torch.linspace(-1, 1, plain.n, dtype=torch.float64)
    right = plain @ v
    for way in WAYS:
        said, gap = "", None
        try:
            tried = Operator(net, loss, data, way=way)
            found = [tried @ v for _ in range(10)]
            gap = max(float((f - right).norm()) for f in found)
            gap /= float(right.norm()) or 1.0
            said = tried.way
        except ValueError as error:
            said = str(error)
        print(json.dumps([layer, name, way, said, gap]), flush=True)


if __name__ == "__main__":
    for cell in sys.argv[1:]:
        main(*cell.split("/"))
