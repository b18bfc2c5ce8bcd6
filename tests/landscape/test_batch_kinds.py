"""Batches as libraries make them, against a loop over them by hand."""

from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from dldna import batches as bt
from dldna.landscape import surface, top_eigenpairs
from dldna.landscape.scan.fingerprint import digest
from dldna.objective import Objective
from dldna.training import evaluate

LOSS = nn.CrossEntropyLoss()
DRAW = torch.Generator().manual_seed(0)


def draw(*shape):
    return torch.randn(*shape, generator=DRAW)


@dataclass(frozen=True)
class Sample:
    x: Tensor
    scale: float
    y: Tensor

    def __post_init__(self):
        assert self.x.ndim == 2, "made anew by __init__"


Named = namedtuple("Named", ["x", "mask", "labels"])
Pair = namedtuple("Pair", ["seen", "wanted"])


class Graph:
    """As PyTorch Geometric's ``Data``: it moves its own tensors."""

    def __init__(self, **held):
        self.__dict__.update(held)

    def to_dict(self):
        return dict(vars(self))

    def apply(self, call):
        for name, value in vars(self).items():
            setattr(self, name, call(value))
        return self

    def __iter__(self):
        return iter(vars(self).items())


def graph(nodes, target=True):
    edges = torch.stack([torch.arange(nodes), torch.arange(nodes).roll(1)])
    held = {"x": draw(nodes, 4), "edge_index": edges}
    if target:
        held["y"] = torch.arange(nodes) % 3
    return Graph(**held)


class OnGraph(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Linear(4, 3)

    def forward(self, g):
        own, other = g.edge_index
        x = g.x.clone()
        return self.f(x.index_add(0, own, g.x[other]))


class OnRecord(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Linear(4, 3)

    def forward(self, sample):
        assert isinstance(sample, Sample)
        return self.f(sample.x) * sample.scale


class OnPacked(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.f = nn.GRU(4, 5), nn.Linear(5, 3)

    def forward(self, packed):
        assert isinstance(packed, PackedSequence)
        return self.f(self.rnn(packed)[1][0])


class OnImages(nn.Module):
    """Images of several sizes, as detectors take them."""

    def __init__(self):
        super().__init__()
        self.f = nn.Conv2d(3, 3, 3)

    def forward(self, images):
        assert isinstance(images, list)
        return torch.stack([self.f(x[None]).mean((0, 2, 3)) for x in images])


class OnTwo(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Linear(4, 3)

    def forward(self, x, mask):
        return self.f(x) * mask


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Linear(4, 3)

    def forward(self, x):
        return self.f(x)


class OnSparse(nn.Module):
    """Rows of sparse features, and a sparse matrix made on the way."""

    def __init__(self):
        super().__init__()
        self.table, self.f = nn.Parameter(torch.ones(4, 3)), nn.Linear(3, 3)

    def forward(self, x):
        rows = torch.sparse.mm(x, self.table)
        half = torch.eye(len(rows)).to(rows) / 2
        return self.f(torch.sparse.mm(half.to_sparse(), rows).tanh())


class OnNested(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Linear(4, 3)

    def forward(self, x):
        return self.f(torch.nested.to_padded_tensor(x, 0.0).mean(1))


def nested(*lengths):
    rows = [draw(n, 4) for n in lengths]
    return torch.nested.nested_tensor(rows, layout=torch.jagged)


def images(n):
    return [draw(3, 5 + i, 6) for i in range(n)]


def packed(*lengths):
    return pack_sequence([draw(n, 4) for n in lengths], enforce_sorted=False)


def y(n):
    return torch.arange(n) % 3


# name: network, batches, how many samples each holds, output by hand
KINDS = {
    "dataclass": (
        OnRecord, [Sample(draw(5, 4), 2.0, y(5)), Sample(draw(2, 4), 1, y(2))],
        [5, 2], lambda m, b: (m(b), b.y),
    ),
    "graph": (
        OnGraph, [graph(7), graph(3)], [7, 3], lambda m, b: (m(b), b.y),
    ),
    "packed": (
        OnPacked, [(packed(3, 6, 2), y(3)), (packed(4, 4), y(2))], [3, 2],
        lambda m, b: (m(b[0]), b[1]),
    ),
    "packed, in order": (
        OnPacked, [(pack_sequence([draw(4, 4), draw(2, 4)]), y(2))], [2],
        lambda m, b: (m(b[0]), b[1]),
    ),
    "images": (
        OnImages, [(images(4), y(4)), (images(2), y(2))], [4, 2],
        lambda m, b: (m(b[0]), b[1]),
    ),
    "sparse": (
        OnSparse, [(draw(n, 4).relu().to_sparse(), y(n)) for n in (5, 2)],
        [5, 2], lambda m, b: (m(b[0]), b[1]),
    ),
    "nested": (
        OnNested, [(nested(3, 6, 2), y(3)), (nested(4, 1), y(2))], [3, 2],
        lambda m, b: (m(b[0]), b[1]),
    ),
    "named of three": (
        OnTwo, [Named(draw(5, 4), torch.ones(5, 1), y(5))], [5],
        lambda m, b: (m(b.x, b.mask), b.labels),
    ),
    "named pair": (
        Plain, [Pair(draw(5, 4), y(5)), Pair(draw(2, 4), y(2))], [5, 2],
        lambda m, b: (m(b.seen), b.wanted),
    ),
    "a list of two inputs": (
        OnTwo, [([draw(5, 4), torch.ones(5, 1)], y(5))], [5],
        lambda m, b: (m(*b[0]), b[1]),
    ),
}  # fmt: skip


def rarely(names, rare=("sparse", "nested")):
    """Names, some of them for the whole table alone."""
    return [
        pytest.param(k, marks=pytest.mark.full) if k in rare else k
        for k in names
    ]


def by_hand(net, batches, sizes, output):
    total = 0.0
    for batch, n in zip(batches, sizes, strict=True):
        found, target = output(net, batch)
        total += n * F.cross_entropy(found, target)
    return total / sum(sizes)


@pytest.mark.parametrize("name", rarely(KINDS))
def test_the_loss_is_that_of_a_plain_loop(name):
    make, batches, sizes, output = KINDS[name]
    torch.manual_seed(0)
    net = make()
    true = by_hand(net, batches, sizes, output)
    assert [bt.size(b) for b in bt.held(batches)] == sizes
    made = surface(net, LOSS, batches, resolution=3)
    assert made.centre_loss == pytest.approx(float(true.detach()), rel=1e-6)
    assert made.provenance.n_samples == sum(sizes)
    f = Objective(net, LOSS, batches)
    slope = torch.autograd.grad(true, net.parameters())
    mine = f.gradient()
    torch.testing.assert_close(
        mine, torch.cat([g.flatten() for g in slope]), rtol=1e-4, atol=1e-6
    )
    loss, accuracy = evaluate(net, batches)
    assert loss == pytest.approx(float(true.detach()), rel=1e-6)
    right = sum(
        float((output(net, b)[0].argmax(1) == output(net, b)[1]).sum())
        for b in batches
    )
    assert accuracy == pytest.approx(right / sum(sizes))
    pairs = top_eigenpairs(net, LOSS, batches, tol=1e-3)
    assert np.isfinite(pairs.eigenvalues).all()


@pytest.mark.parametrize("name", ["graph", "dataclass", "packed"])
def test_one_batch_is_data(name):
    make, batches, sizes, _ = KINDS[name]
    made = surface(make(), LOSS, batches[0], resolution=3)
    assert made.provenance.n_samples == sizes[0]


@pytest.mark.full
@pytest.mark.parametrize("name", ["sparse", "nested", "packed", "images"])
def test_one_batch_that_torch_cannot_cut_has_a_curvature(name):
    make, batches, _, output = KINDS[name]
    torch.manual_seed(0)
    net = make()
    found = top_eigenpairs(net, LOSS, batches[0], k=1)
    one = by_hand(net, batches[:1], [1], output)
    leaves = [*net.parameters()]
    slope = torch.autograd.grad(one, leaves, create_graph=True)
    flat = torch.cat([g.flatten() for g in slope])
    v = torch.tensor(found.eigenvectors[0])
    product = torch.autograd.grad(flat @ v, leaves)
    hv = torch.cat([g.flatten() for g in product])
    torch.testing.assert_close(
        hv, v * float(found.eigenvalues[0]), rtol=0, atol=1e-2 * hv.norm()
    )


@pytest.mark.parametrize("name", rarely(KINDS))
def test_types_and_the_callers_data_stay(name):
    _, batches, _, _ = KINDS[name]
    before = [digest(b) for b in batches]
    moved = [bt.to(b, dtype=torch.float64) for b in batches]
    for old, new in zip(batches, moved, strict=True):
        assert type(new) is type(old)
        kinds = {t.dtype for t in bt.tensors(new)}
        assert torch.float32 not in kinds
    assert [digest(b) for b in batches] == before


@pytest.mark.parametrize(
    "name", rarely(["graph", "packed", "dataclass", "sparse", "nested"])
)
def test_what_hangs_together_is_not_cut(name):
    make, batches, _, _ = KINDS[name]
    with pytest.raises(ValueError, match=r"limit=2 cuts.*hangs together"):
        surface(make(), LOSS, batches, limit=2, resolution=3)
    whole = surface(make(), LOSS, batches, limit=100, resolution=3)
    assert whole.provenance.n_samples > 2


def test_a_graph_s_contents_tell_it_from_another():
    assert digest(graph(4)) != digest(graph(4))


# The number of samples, said by the caller


def own(output, batch):
    return output.square().mean()


def test_a_size_that_nothing_tells_is_asked_for():
    data = [graph(6, target=False), graph(3, target=False)]
    with pytest.raises(TypeError, match=r"how many samples .* size=lambda"):
        surface(OnGraph(), own, data, resolution=3)
    torch.manual_seed(0)
    net = OnGraph()
    one, two = (float(own(net(b), b).detach()) for b in data)
    for size, true in (
        (lambda g: len(g.x), (6 * one + 3 * two) / 9),
        (lambda g: 1, (one + two) / 2),
    ):
        made = surface(net, own, data, resolution=3, size=size)
        assert made.centre_loss == pytest.approx(true, rel=1e-6)
        f = Objective(net, own, data, size=size)
        assert f.loss() == pytest.approx(true, rel=1e-6)
        found = top_eigenpairs(net, own, data, size=size)
        assert found.provenance.n_samples == f.n_samples


class Bags(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.EmbeddingBag(20, 3)

    def forward(self, words, offsets):
        return self.f(words, offsets)


def test_bags_and_metrics_get_what_the_caller_gave():
    batch = {"words": torch.arange(15), "offsets": torch.tensor([0, 4, 9])}
    seen = []

    def mine(output, given):
        seen.append(type(given))
        return output[:, 0].mean()

    net = Bags()
    made = surface(net, own, [batch], resolution=3, metrics={"first": mine},
                   size=lambda b: len(b["offsets"]))  # fmt: skip
    assert set(seen) == {dict}
    assert made.provenance.n_samples == 3
    true = float(net(**batch)[:, 0].mean().detach())
    assert made.metrics["first"][1, 1] == pytest.approx(true, rel=1e-6)


@pytest.mark.parametrize(
    ("size", "error", "says"),
    [
        (3, TypeError, "must be a function"),
        (lambda b: 0, ValueError, "at least 1"),
        (lambda b: 2.5, ValueError, "at least 1"),
    ],
)
def test_a_size_that_is_none(size, error, says):
    with pytest.raises(error, match=says):
        surface(OnGraph(), LOSS, [graph(4)], resolution=3, size=size)


def test_a_size_beside_an_objective_is_refused():
    f = Objective(OnGraph(), LOSS, [graph(4)])
    with pytest.raises(TypeError, match="where the Objective is made"):
        surface(f, resolution=3, size=len)
