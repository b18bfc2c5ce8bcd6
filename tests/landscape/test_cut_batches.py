"""A budget and a limit do not cut what hangs together."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dldna.landscape import line, surface
from dldna.landscape.curvature import trace
from dldna.landscape.scan.store import thin
from dldna.objective import gap


class Two(nn.Module):
    """Two views of a sample, as contrastive losses compare them."""

    def __init__(self):
        super().__init__()
        self.f = nn.Linear(8, 6)

    def forward(self, a, b):
        return self.f(a), self.f(b)


def contrast(output, batch):
    a, b = output
    return F.cross_entropy(a @ b.T, torch.arange(len(a)))


class Dense(nn.Module):
    """A graph convolution with the whole adjacency matrix."""

    def __init__(self):
        super().__init__()
        self.f = nn.Linear(8, 3)

    def forward(self, x, adjacency):
        return adjacency @ self.f(x)


def pairs(n):
    g = torch.Generator().manual_seed(0)
    views = tuple(torch.randn(n, 8, generator=g) for _ in "ab")
    return views, torch.arange(n)


def nodes(n):
    g = torch.Generator().manual_seed(0)
    x, a = torch.randn(n, 8, generator=g), torch.rand(n, n, generator=g)
    return (x, a), torch.arange(n) % 3


CE = nn.CrossEntropyLoss()
CASES = {"pairs": (Two, contrast, pairs), "nodes": (Dense, CE, nodes)}
EACH = pytest.mark.parametrize("kind", CASES)


def made(kind, n):
    model, loss, data = CASES[kind]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return model(), loss, data(n)


@EACH
def test_a_budget_does_not_cut_what_hangs_together(kind):
    model, loss, batch = made(kind, 600)
    kept = surface(model, loss, [batch], resolution=21, budget_s=0.02)
    (inputs, _) = batch
    output = model(*inputs)
    wanted = loss(output, batch if kind == "pairs" else batch[1])
    assert kept.centre_loss == pytest.approx(wanted.item(), rel=1e-5)
    assert kept.provenance.n_samples == 600
    assert "subset" not in kept.provenance.notes


def test_a_budget_takes_fewer_whole_batches():
    model, loss, _ = made("pairs", 2)
    data = [pairs(256) for _ in range(6)]
    with pytest.warns(UserWarning, match="how the data are cut"):
        kept = surface(model, loss, data, resolution=21, budget_s=0.02)
    assert kept.provenance.n_samples == 512
    assert "whole batches" in kept.provenance.notes["subset"]


def test_thinning_whole_batches_comes_to_the_same_again():
    held = [torch.zeros(n) for n in (10, 100, 30, 100, 7)]
    for wish in (1, 45, 150, 247):
        once = thin(held, wish, whole=True)
        total = sum(map(len, once))
        assert total <= wish or len(once) == 1
        again = thin(held, total, whole=True)
        assert [len(b) for b in again] == [len(b) for b in once]


@EACH
@pytest.mark.parametrize(
    "call",
    [
        lambda m, f, d: surface(m, f, d, resolution=3, limit=30),
        lambda m, f, d: line(m, "random", f, d, resolution=3, limit=30),
        lambda m, f, d: trace(m, f, d, limit=30),
    ],
    ids=["surface", "line", "trace"],
)
def test_a_limit_that_cuts_it_is_named(kind, call):
    model, loss, batch = made(kind, 60)
    with pytest.raises(ValueError, match=r"limit=30 cuts a batch.*hang tog"):
        call(model, loss, [batch])


def test_a_limit_between_batches_cuts_nothing():
    model, loss, batch = made("pairs", 60)
    found = surface(model, loss, [batch] * 2, resolution=3, limit=60)
    assert found.provenance.n_samples == 60


@pytest.mark.parametrize(
    "loss",
    [
        *(CE, nn.CrossEntropyLoss(reduction="sum"), F.cross_entropy),
        nn.CrossEntropyLoss(torch.tensor([1.0, 5.0, 0.5]), ignore_index=1),
    ],
    ids=["mean", "sum", "function", "weights"],
)
def test_a_loss_over_samples_adds_up(loss):
    """And is cut, as ever; in numbers: rounding alone is left."""
    g = torch.Generator().manual_seed(0)
    batch = torch.randn(600, 8, generator=g), torch.arange(600) % 3
    model = nn.Linear(8, 3)
    assert gap(model, loss, batch) < 1e-5
    kept = surface(model, loss, [batch], resolution=21, limit=100)
    assert kept.provenance.n_samples == 100
