"""The range test: its numbers, its stop, and what it leaves behind."""

import copy
import pickle

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from dldna import optim, plotting
from dldna.training import RateRange, lr_range

DRAW = torch.Generator().manual_seed(0)
X = torch.randn(24, 4, generator=DRAW)
Y = torch.randint(0, 3, (24,), generator=DRAW)


def network():
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.1),
        nn.Linear(6, 5), nn.Linear(5, 3),
    )  # fmt: skip


def test_rates_losses_and_means_are_those_of_a_plain_loop():
    x, y = X.numpy().astype(float), X.numpy().astype(float)[:, :1] * 2
    layer = nn.Linear(4, 1, bias=False).double()
    w = layer.weight.detach().numpy()[0].copy()
    data = [
        (torch.tensor(x[i : i + 8]), torch.tensor(y[i : i + 8]))
        for i in (0, 8, 16)
    ]
    sgd = torch.optim.SGD(layer.parameters(), lr=1.0)
    found = lr_range(
        layer, sgd, data, loss_fn=F.mse_loss, low=1e-3, high=0.1, steps=7,
        smoothing=0.8, progress=False,
    )  # fmt: skip
    losses, means, mean = [], [], 0.0
    for i in range(7):
        rate = 1e-3 * 100 ** (i / 6)
        part = slice(8 * (i % 3), 8 * (i % 3) + 8)
        gap = x[part] @ w - y[part, 0]
        losses.append((gap**2).mean())
        w = w - rate * 2 * x[part].T @ gap / 8
        mean = 0.8 * mean + 0.2 * losses[-1]
        means.append(mean / (1 - 0.8 ** (i + 1)))
    np.testing.assert_allclose(found.rates, np.geomspace(1e-3, 0.1, 7))
    np.testing.assert_allclose(found.losses, losses, rtol=1e-10)
    np.testing.assert_allclose(found.smoothed, means, rtol=1e-10)
    slopes = np.diff(means) / np.diff(np.log(found.rates))
    assert slopes.argmin() <= list(found.rates).index(found.suggested) <= 6
    assert found.provenance.notes["diverged"] is False


def test_groups_keep_their_ratios():
    seen = []

    class Watched(torch.optim.SGD):
        def step(self, closure=None):
            seen.append([float(g["lr"]) for g in self.param_groups])

    a, b, c = nn.Linear(4, 4), nn.Linear(4, 3), nn.Linear(3, 3)
    groups = [
        {"params": a.parameters(), "lr": 0.1},
        {"params": b.parameters(), "lr": torch.tensor(0.4)},
        {"params": c.parameters(), "lr": 0.0},
    ]
    watched = Watched(groups, lr=0.1)
    net = nn.Sequential(a, b, c)
    lr_range(net, watched, [(X, Y)], low=0.01, high=1, steps=3)
    wanted = [[r / 4, r, 0.0] for r in (0.01, 0.1, 1.0)]
    np.testing.assert_allclose(seen, wanted, rtol=1e-6)
    assert watched.param_groups[1]["lr"] is groups[1]["lr"]


MAKE = {
    "SGD+": lambda net: optim.make("SGD+", net.parameters(), lr=0.1),
    "torch's Adam": lambda net: torch.optim.Adam(net.parameters()),
    "PAL": lambda net: optim.PAL(net.parameters()),
    "SAM": lambda net: optim.SAM(net.parameters(), base="Adam"),
    "SophiaG": lambda net: optim.SophiaG(net.parameters()),
    "Prodigy": lambda net: optim.Prodigy(net.parameters()),
    "Mixed": optim.muon_and_adamw,
    "free": lambda net: optim.ScheduleFreeAdamW(net.parameters()),
}


def everything(net, optimizer, loader):
    return pickle.dumps(
        [
            [(k, v.numpy().tobytes()) for k, v in net.state_dict().items()],
            [None if p.grad is None else p.grad.numpy().tobytes()
             for p in net.parameters()],
            [m.training for m in net.modules()],
            str(optimizer.state_dict()),
            str({k: v for k, v in vars(optimizer).items() if k == "last"}),
            loader.generator.get_state().numpy().tobytes(),
            torch.get_rng_state().numpy().tobytes(),
            str(np.random.get_state()),  # noqa: NPY002
        ]
    )  # fmt: skip


@pytest.mark.parametrize("fresh", [True, False], ids=["fresh", "on the way"])
@pytest.mark.parametrize("name", MAKE)
def test_all_is_afterwards_as_it_was(name, fresh):
    net = network()
    optimizer = MAKE[name](net)
    generator = torch.Generator().manual_seed(5)
    loader = DataLoader(
        TensorDataset(X, Y), 8, shuffle=True, generator=generator
    )
    if not fresh:
        from dldna.training import train

        train(net, optimizer, loader, epochs=1, progress=False)
        net[0].eval()
    before = everything(net, optimizer, loader)
    kept = {p: dict(s) for p, s in optimizer.state.items()}
    twin = copy.deepcopy((net, optimizer, loader))
    high = 1.0
    found = lr_range(net, optimizer, loader, low=1e-4, high=high, steps=5)
    assert np.isfinite(found.losses).all()
    assert len(set(found.losses)) > 1
    assert everything(net, optimizer, loader) == before
    for p, state in kept.items():  # the very same tensors
        assert all(optimizer.state[p][k] is v for k, v in state.items())
    again = lr_range(*twin, low=1e-4, high=high, steps=5)
    np.testing.assert_array_equal(found.losses, again.losses)


def test_an_error_puts_everything_back_too():
    net = network()
    adam = torch.optim.Adam(net.parameters())
    generator = torch.Generator()
    loader = DataLoader(TensorDataset(X, Y), 8, generator=generator)
    before = everything(net, adam, loader)
    calls = []

    def loss(output, target):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return F.cross_entropy(output, target)

    with pytest.raises(KeyboardInterrupt):
        lr_range(net, adam, loader, loss_fn=loss)
    assert everything(net, adam, loader) == before


def test_it_stops_where_the_loss_diverges():
    layer = nn.Linear(4, 1, bias=False)
    sgd = torch.optim.SGD(layer.parameters(), lr=1.0)
    data = [(X, X[:, :1] * 2)]
    found = lr_range(layer, sgd, data, loss_fn=F.mse_loss, high=1e4)
    assert found.provenance.notes["diverged"]
    assert len(found.rates) == len(found.losses) < 100
    assert found.smoothed[-1] > 4 * found.smoothed.min()
    assert found.smoothed[-2] <= 4 * found.smoothed[:-1].min()
    largest = torch.linalg.eigvalsh(2 * X.T @ X / 24)[-1]
    assert found.suggested < 2 / largest  # beyond it, descent is unstable
    nan = lr_range(
        layer, sgd, data, loss_fn=lambda out, target: out.sum() * np.nan
    )
    assert np.isnan(nan.losses).all()
    assert len(nan.losses) == 1
    assert np.isnan(nan.suggested)


def test_what_cannot_be_meant_is_refused():
    net = network()
    adam = torch.optim.Adam(net.parameters())
    other = torch.optim.Adam(network().parameters())
    for wrong, how in (
        ("empty", {"train_loader": []}),
        ("only once", {"train_loader": iter([(X, Y)])}),
        ("above low", {"high": 1e-7}),
        ("at least 3", {"steps": 2}),
        ("above 1", {"stop_at": 1.0}),
        ("another model", {"optimizer": other}),
    ):
        given = {"optimizer": adam, "train_loader": [(X, Y)]} | how
        with pytest.raises(ValueError, match=wrong):
            lr_range(net, **given)


def test_the_record_is_kept_and_drawn(tmp_path):
    record = RateRange(
        10.0 ** np.arange(-4, 1), np.array([3.0, 2, 1, 2, np.nan]),
        np.array([3.0, 2.5, 1.5, 2, np.nan]), 0.001,
    )  # fmt: skip
    again = RateRange.load(record.save(tmp_path / "range"))
    ax = plotting.rate_range(again)
    assert ax.get_xscale() == "log"
    assert ax.lines[1].get_ydata()[2] == 1.5
    assert ax.lines[2].get_xdata()[0] == 0.001
    plt.close(ax.figure)
