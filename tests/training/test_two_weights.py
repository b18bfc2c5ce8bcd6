"""Paths over a slice are those of torch's optimizers, one by one."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dldna import optim
from dldna.data import Loader
from dldna.landscape import Slice, toy_network, toy_regression
from dldna.records import Record
from dldna.training import slice_paths

TORCH = {
    "sgd": torch.optim.SGD,
    "adagrad": torch.optim.Adagrad,
    "rmsprop": torch.optim.RMSprop,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
}
pytestmark = pytest.mark.usefixtures("float64")  # torch's own scalars

STARTS = [[1.0, -2.0], [-0.5, 0.3], [3.0, 3.0]]


def walk(net, free, optimizer, hyper, start, batch_size, epochs, seed):
    """One path by torch: all other weights have no gradient to follow."""
    x, y = toy_regression()
    linear = list(net)[::2]
    w = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    opt = optimizer([w], **hyper)
    loader = Loader(x, y, batch_size, shuffle=batch_size < 1000, seed=seed)
    points = [w.detach().clone()]
    for _ in range(epochs):
        for a, b in loader:
            h = a
            for k, m in enumerate(linear):
                weight, bias = m.weight.detach(), m.bias.detach()
                for (layer, i, j), value in zip(free, w, strict=True):
                    if layer != k:
                        continue
                    unit = torch.zeros_like(weight if j >= 0 else bias)
                    unit[(i, j) if j >= 0 else i] = 1
                    if j >= 0:
                        weight = weight * (1 - unit) + value * unit
                    else:
                        bias = bias * (1 - unit) + value * unit
                h = F.linear(h, weight, bias)
                h = net[2 * k + 1](h) if k < 3 else h
            opt.zero_grad()
            F.mse_loss(h[:, 0], b).backward()
            opt.step()
            points.append(w.detach().clone())
    return torch.stack(points).numpy()


@pytest.mark.parametrize("name", TORCH)
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_paths_are_those_of_torch(name, activation):
    net, free = toy_network(activation, 1), ((1, 0, 0), (1, 2, 1))
    settings = [{"lr": 0.1}, {"lr": 0.02}]
    got = slice_paths(
        Slice.of(net, free), name, STARTS, settings,
        batch_size=400, epochs=12, every="step", seed=3,
    )  # fmt: skip
    assert got.points.shape == (2, 3, 37, 2)
    for s, hyper in enumerate(settings):
        for p, start in enumerate(STARTS):
            wanted = walk(net, free, TORCH[name], hyper, start, 400, 12, 3)
            np.testing.assert_allclose(
                got.points[s, p], wanted, rtol=1e-10, atol=1e-10
            )


@pytest.mark.full
def test_a_bias_and_single_samples():
    net, free = toy_network("sigmoid", 0), ((2, 1, -1), (0, 1, 2))
    got = slice_paths(
        Slice.of(net, free), "adam", STARTS[:1], [{"lr": 0.1}],
        batch_size=1, epochs=1, every="step",
    )  # fmt: skip
    adam = torch.optim.Adam
    wanted = walk(net, free, adam, {"lr": 0.1}, STARTS[0], 1, 1, 0)
    np.testing.assert_allclose(got.points[0, 0], wanted, rtol=1e-9)


def test_settings_may_differ_in_betas_and_decay():
    part = Slice.of(toy_network("tanh", 2))
    settings = [
        {"lr": 0.1, "betas": (0.9, 0.999), "weight_decay": 0.0},
        {"lr": 0.3, "betas": (0.5, 0.9), "weight_decay": 0.2},
    ]
    both = slice_paths(part, "adamw", STARTS, settings, epochs=20)
    for s, setting in enumerate(settings):
        one = slice_paths(part, "adamw", STARTS, [setting], epochs=20)
        np.testing.assert_allclose(both.points[s], one.points[0], rtol=1e-12)
        np.testing.assert_allclose(both.losses[s], one.losses[0])


@pytest.mark.parametrize("name", ["lars", "lamb", "prodigy", "shampoo"])
def test_rules_of_whole_tensors_see_one_walker_each(name):
    part = Slice.of(toy_network("tanh", 2))
    many = slice_paths(part, name, STARTS, epochs=5)
    for p, start in enumerate(STARTS):
        one = slice_paths(part, name, [start], epochs=5)
        np.testing.assert_allclose(
            many.points[:, p], one.points[:, 0], rtol=1e-9
        )


def test_epochs_are_every_so_many_steps():
    part = Slice.of(toy_network("tanh", 2))
    way = {"batch_size": 64, "epochs": 3, "seed": 5}
    steps = slice_paths(part, "sgd", STARTS, every="step", **way)
    epochs = slice_paths(part, "sgd", STARTS, **way)
    assert steps.points.shape[2] == 3 * 16 + 1
    np.testing.assert_array_equal(steps.points[:, :, ::16], epochs.points)
    last = torch.from_numpy(epochs.points[:, :, -1])
    np.testing.assert_allclose(epochs.losses, part.losses(last))


def test_the_seed_orders_the_samples():
    part = Slice.of(toy_network("tanh", 2))
    a, b, c = (
        slice_paths(part, "sgd", STARTS, batch_size=64, epochs=2, seed=s)
        for s in (0, 0, 1)
    )
    np.testing.assert_array_equal(a.points, b.points)
    assert np.abs(a.points[:, :, -1] - c.points[:, :, -1]).min() > 0


def test_a_path_that_diverges_stays_alone():
    part = Slice.of(toy_network("relu", 0), ((3, 0, 0), (3, 0, -1)))
    got = slice_paths(
        part, "sgd", STARTS, [{"lr": 1e3}, {"lr": 0.01}], epochs=200
    )
    assert not np.isfinite(got.losses[0]).any()
    assert not got.reached(1e9)[0].any()
    assert np.isfinite(got.points[1]).all()


def test_reached_counts_the_bound_in():
    part = Slice.of(toy_network("tanh", 2))
    got = slice_paths(part, "adam", STARTS, epochs=2)
    bound = np.sort(got.losses[0])[1]
    assert got.reached(bound).sum() == 2


def test_paths_can_be_kept(tmp_path):
    part = Slice.of(toy_network("tanh", 2))
    got = slice_paths(part, "adam", STARTS, [{"lr": 0.1}], epochs=2)
    back = Record.load(got.save(tmp_path / "paths"))
    np.testing.assert_array_equal(back.points, got.points)
    assert back.settings == [{"lr": 0.1}]
    assert back.provenance.notes["steps"] == 2


def test_what_cannot_be_meant_is_refused():
    part = Slice.of(toy_network())
    with pytest.raises(ValueError, match="did you mean 'Adam'"):
        slice_paths(part, "adan", STARTS)
    with pytest.raises(ValueError, match="curvature"):
        slice_paths(part, "sophia", STARTS)
    with pytest.raises(ValueError, match="matrix"):
        slice_paths(part, "muon", STARTS)
    with pytest.raises(ValueError, match="shape"):
        slice_paths(part, "adam", [1.0, 2.0])
    with pytest.raises(ValueError, match="no settings"):
        slice_paths(part, "adam", STARTS, [])
    with pytest.raises(ValueError, match="lr must be"):
        slice_paths(part, "adam", STARTS, [{"lr": -1.0}])
    with pytest.raises(ValueError, match="keyword"):
        slice_paths(part, "adam", STARTS, [{"rate": 1.0}])
    with pytest.raises(ValueError, match="every"):
        slice_paths(part, "adam", STARTS, every="second")


def test_every_other_rule_walks():
    part = Slice.of(toy_network("tanh", 2))
    for name in optim.RULES.keys() - {"sophia", "muon"}:
        got = slice_paths(part, name, STARTS, epochs=2)
        assert np.isfinite(got.points).all(), name
