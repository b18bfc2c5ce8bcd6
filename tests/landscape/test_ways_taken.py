"""Which way each public call takes by default, and that it is right.

By default biases and norms do not move, so that the affine part of a layer
is the same at all points: the fast ways have branches for just that.
"""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dldna import landscape, params
from dldna.landscape import curves
from dldna.landscape.evaluate import choose
from dldna.landscape.space.directions import Given, choose_directions
from dldna.models import LeNet


def stirred(net):
    """The network with norms that do something, and uneven biases."""
    for module in net.modules():
        if getattr(module, "running_mean", None) is not None:
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 2)
            module.bias.data.normal_(0, 0.4)
    return net.eval()


def perceptron():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(48, 7), nn.ReLU(), nn.Linear(7, 3)
    )


def normed_perceptron():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(48, 7), nn.BatchNorm1d(7), nn.Tanh(),
        nn.Linear(7, 3),
    )  # fmt: skip


def convolution(bias=True, width=4):
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1, bias=bias),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, width, 1, bias=bias),
        nn.BatchNorm2d(width),
        nn.Flatten(),
        nn.Linear(16 * width, 3),
    )


class Residual(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.start = nn.Conv2d(3, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.inner = nn.Conv2d(width, width, 1, bias=False)
        self.inner_norm = nn.BatchNorm2d(width)
        self.head = nn.Linear(16 * width, 3)

    def forward(self, x):
        z = torch.relu(self.norm(self.start(x)))
        z = z + torch.relu(self.inner_norm(self.inner(z)))
        return self.head(z.flatten(1))


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(48, 3)

    def forward(self, x):
        z = self.head(x.flatten(1))
        return z if float(z.sum()) > 0 else 2 * z


WIDE = 300  # an operation makes too much for the way of small networks
MODELS = {  # and the way that is taken by default
    "perceptron": (perceptron, "mlp"),
    "perceptron, normed": (normed_perceptron, "mlp"),
    "convolution": (convolution, "captured"),
    "convolution, wide": (lambda: convolution(width=WIDE), "layered"),
    "wide, no bias": (lambda: convolution(False, WIDE), "layered"),
    "residual": (Residual, "captured"),
    "residual, wide": (lambda: Residual(WIDE), "layered"),
    "branching": (Branching, "slow"),
}
TYPES = (torch.float32, torch.float64)
crossed = pytest.mark.parametrize(
    "dtype", [TYPES[0], pytest.param(TYPES[1], marks=pytest.mark.full)]
)
models = pytest.mark.parametrize("name", MODELS)


def setting(name, dtype, seed=0):
    torch.manual_seed(seed)
    net = stirred(MODELS[name][0]()).to(dtype)
    torch.manual_seed(9)
    x = torch.randn(14, 3, 4, 4, dtype=torch.float64).to(dtype)
    return net, (x, torch.randint(3, (14,)))


def written(net, data, steps):
    """The loss with the weights written into a copy, in float64."""
    twin = copy.deepcopy(net).double().eval()
    with torch.no_grad():
        named = dict(twin.named_parameters())
        for share, direction in steps:
            for key, step in direction.items():
                named[key] += share * step.double()
        return float(F.cross_entropy(twin(data[0].double()), data[1]))


def close(found, wanted, dtype):
    rtol = 1e-10 if dtype == torch.float64 else 2e-5
    np.testing.assert_allclose(found, wanted, rtol=rtol)


@models
@crossed
def test_planes_by_default(name, dtype):
    net, data = setting(name, dtype)
    ways = [d.vector for d in choose_directions("random", Given(net))]
    still = [k for k, p in params.of(net).items() if p.ndim == 1]
    assert still
    assert all(not d[k].any() for d in ways for k in still)
    found = landscape.surface(net, nn.CrossEntropyLoss(), data, resolution=4)
    assert found.way == MODELS[name][1], found.provenance.notes
    assert found.provenance.dtype == str(dtype).removeprefix("torch.")
    wanted = [
        [written(net, data, [*zip((a, b), ways, strict=True)])
         for b in found.betas]
        for a in found.alphas
    ]  # fmt: skip
    close(found.losses, wanted, dtype)


@models
@crossed
def test_lines_by_default(name, dtype):
    net, data = setting(name, dtype)
    other, _ = setting(name, dtype, seed=3)
    along = choose_directions("random", Given(net), k=1)[0].vector
    found = landscape.line(
        net, "random", nn.CrossEntropyLoss(), data, resolution=3
    )
    assert found.provenance.notes["way"] == MODELS[name][1]
    wanted = [written(net, data, [(a, along)]) for a in found.alphas]
    close(found.losses, wanted, dtype)
    between = landscape.line(
        net, other, nn.CrossEntropyLoss(), data, alphas=[0.0, 1.0]
    )
    ends = [written(model, data, []) for model in (net, other)]
    close(between.losses, ends, dtype)


@models
@crossed
def test_bands_and_walks_by_default(name, dtype):
    net, data = setting(name, dtype)
    other, _ = setting(name, dtype, seed=3)
    band = landscape.band(
        net, nn.CrossEntropyLoss(), data, seeds=[4, 5], resolution=3
    )
    assert band.provenance.notes["way"] == MODELS[name][1]
    for seed in (4, 5):
        [along] = choose_directions("random", Given(net, seed=seed), k=1)
        wanted = [written(net, data, [(a, along.vector)]) for a in band.alphas]
        close(band.metrics[f"seed {seed}"], wanted, dtype)
    walk = curves.walk(
        net, curves.segment(net, other), nn.CrossEntropyLoss(), data, 3,
        statistics="frozen",
    )  # fmt: skip
    way = params.sub(params.of(other), params.of(net))
    wanted = [written(net, data, [(t, way)]) for t in walk.alphas]
    close(walk.losses, wanted, dtype)
    assert walk.provenance.notes["way"] == MODELS[name][1]


@models
@crossed
@pytest.mark.parametrize("directions", ["hessian", ("gradient", "random")])
def test_planes_along_other_ways(name, dtype, directions):
    net, data = setting(name, dtype)
    found = landscape.surface(
        net, nn.CrossEntropyLoss(), data, directions, 0.3, 3
    )
    assert found.way == MODELS[name][1], found.provenance.notes
    given = Given(net, nn.CrossEntropyLoss(), [data], pairs=2)
    ways = [d.vector for d in choose_directions(directions, given)]
    wanted = [
        [written(net, data, [*zip((a, b), ways, strict=True)])
         for b in found.betas]
        for a in found.alphas
    ]  # fmt: skip
    close(found.losses, wanted, dtype)


def test_small_batches_are_taken_for_what_they_are_together():
    """Layers that are rearranged join them; the recorded model does not."""
    torch.manual_seed(0)
    net = LeNet((3, 32, 32))
    x, y = torch.randn(28, 3, 32, 32), torch.randint(0, 10, (28,))
    cut = list(zip(x.split(4), y.split(4), strict=True))
    w = params.of(net)
    ways = [
        choose(net, F.cross_entropy, data, w, [w, w])
        for data in ([(x, y)], cut)
    ]
    assert [way.name for way in ways] == ["layered", "layered"]
    at = torch.tensor([[0.1, -0.2], [0.0, 0.3]])
    whole, parts = (way(at)["loss"] for way in ways)
    assert parts == pytest.approx(whole, rel=1e-5)
