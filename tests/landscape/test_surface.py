"""Surfaces with known values, known failures, and a model left alone."""

import copy
import random

import numpy as np
import pytest
import torch
from torch import nn

from dldna import params
from dldna.landscape import NotAFunction, band, line, surface
from dldna.landscape.curves import segment, walk
from dldna.landscape.scan.grid import axes, axis, coarse_to_fine, line_axis
from dldna.records import Surface


class Point(nn.Module):
    """A network whose output is its weights: any function is a surface."""

    def __init__(self, at=(0.0, 0.0)):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(at))

    def forward(self, x):
        return self.w.expand(len(x), -1)


E1, E2 = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
ONE = torch.zeros(4, 1)


def bowl(output, batch):
    w = output.mean(0)
    return 0.5 * (w[0] ** 2 + 10 * w[1] ** 2) + w[0] * w[1]


def small_net(norm=False):
    torch.manual_seed(1)
    layers = [nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)]
    if norm:
        layers.insert(1, nn.BatchNorm1d(8))
    net = nn.Sequential(*layers)
    if norm:
        for _ in range(3):
            net(torch.randn(16, 6) * 2 + 1)
    return net


@pytest.fixture
def data():
    torch.manual_seed(2)
    return torch.randn(24, 6), torch.randint(3, (24,))


# Grids


@pytest.mark.parametrize("points", [2, 3, 4, 5, 25, 40, 41, 100, 101])
@pytest.mark.parametrize(
    "extent", [1.0, 0.2, (-1.0, 1.0), (-0.3, 1.7), (0, 2), (-2, 0)]
)
def test_zero_is_on_every_grid(points, extent):
    grid = axis(extent, points)
    low, high = extent if isinstance(extent, tuple) else (-extent, extent)
    assert len(grid) == points
    assert (grid == 0).sum() == 1
    assert grid[0] >= low
    assert grid[-1] <= high
    steps = np.diff(grid)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-12)
    # No wider grid would fit: one end is reached.
    assert grid[0] == low or grid[-1] == high


def test_odd_symmetric_grids_are_symmetric():
    grid = axis(1.0, 51)
    assert np.array_equal(grid, -grid[::-1])
    np.testing.assert_allclose(grid, np.linspace(-1, 1, 51), atol=1e-15)


@pytest.mark.parametrize("points", [4, 5, 11, 21, 50, 51, 101])
def test_zero_and_one_are_on_every_line(points):
    grid = line_axis((-0.5, 1.5), points)
    assert len(grid) == points
    assert 0.0 in grid
    assert 1.0 in grid
    assert grid[0] >= -0.5
    assert grid[-1] <= 1.5
    np.testing.assert_allclose(np.diff(grid), np.diff(grid)[0], rtol=1e-9)


def test_coarse_to_fine_takes_every_point_once():
    a, b = axes(((-1, 2), 1.0), (40, 7))
    levels = coarse_to_fine(a, b)
    together = np.concatenate(levels)
    assert sorted(together.tolist()) == list(range(280))
    centre = int(np.argmin(np.abs(a))) * 7 + int(np.argmin(np.abs(b)))
    assert centre in levels[0]


@pytest.mark.parametrize(
    ("extent", "resolution", "says"),
    [
        ((1, 2), 5, "must lie in the extent"),
        (-1.0, 5, "grow"),
        (0.0, 5, "grow"),
        (float("nan"), 5, "finite"),
        ((1, 2, 3), 5, "pair"),
        (1.0, 1, "at least 2"),
        (1.0, 2.5, "whole number"),
        (1.0, (3, 3, 3), "pair"),
        ("path", 5, "needs trajectory"),
        ("pth", 5, "did you mean 'path'"),
    ],
)
def test_bad_grids_are_refused(extent, resolution, says):
    with pytest.raises((ValueError, TypeError), match=says):
        surface(Point(), bowl, ONE, [E1, E2], extent, resolution)


# Values


def test_a_quadratic_is_itself():
    at = (0.5, -0.25)
    s = surface(Point(at), bowl, ONE, [E1, E2], (-1, 2), (7, 10))
    a, b = np.meshgrid(s.alphas + at[0], s.betas + at[1], indexing="ij")
    want = 0.5 * (a**2 + 10 * b**2) + a * b
    np.testing.assert_allclose(s.losses, want, rtol=1e-5, atol=1e-6)
    assert s.evaluated.all()
    assert s.losses.dtype == np.float64
    i, j = np.flatnonzero(s.alphas == 0), np.flatnonzero(s.betas == 0)
    assert s.losses[i, j] == pytest.approx(s.centre_loss, rel=1e-6)


def test_the_centre_is_the_models_loss(data):
    net = small_net(norm=True)
    loss = nn.CrossEntropyLoss()
    s = surface(net, loss, data, resolution=4, metrics="accuracy")
    x, y = data
    twin = copy.deepcopy(net).eval()
    with torch.no_grad():
        want = float(loss(twin(x), y))
        right = float((twin(x).argmax(1) == y).double().mean())
    assert s.centre_loss == pytest.approx(want, rel=1e-6)
    at = np.flatnonzero(s.alphas == 0)[0], np.flatnonzero(s.betas == 0)[0]
    assert s.losses[at] == pytest.approx(want, rel=1e-5)
    assert s.metrics["accuracy"][at] == pytest.approx(right)


def test_every_point_against_a_model_that_was_moved_by_hand(data):
    net, loss = small_net(), nn.CrossEntropyLoss()
    s = surface(net, loss, data, extent=0.7, resolution=3, seed=4)
    from dldna.landscape.space.directions import Given, choose_directions

    d = choose_directions("random", Given(net, seed=4), 2)
    for i, a in enumerate(s.alphas):
        for j, b in enumerate(s.betas):
            twin = copy.deepcopy(net)
            with torch.no_grad():
                for name, p in twin.named_parameters():
                    p += a * d[0].vector[name] + b * d[1].vector[name]
                want = float(loss(twin(data[0]), data[1]))
            assert s.losses[i, j] == pytest.approx(want, rel=1e-5)


def test_nan_and_inf_are_kept_and_counted():
    def cliff(output, batch):
        w = output.mean(0)
        return torch.where(
            w[0] > 0.9, torch.tensor(float("inf")), torch.sqrt(0.6 + w[1])
        )

    s = surface(Point(), cliff, ONE, [E1, E2], 1.0, 5)
    assert np.isinf(s.losses[-1]).all()
    assert np.isnan(s.losses[:-1, 0]).all()
    assert np.isfinite(s.losses[:-1, 1:]).all()
    assert s.evaluated.all()
    notes = s.provenance.notes
    assert (notes["nan"], notes["inf"]) == (4, 5)


def test_a_model_whose_loss_is_nan_is_warned_of():
    def lost(output, batch):
        return bowl(output, batch) * torch.nan

    with pytest.warns(UserWarning, match="own loss is nan"):
        surface(Point(), lost, ONE, [E1, E2], 1.0, 3)


def test_dict_batches_and_loaders_give_the_same(data):
    net, loss = small_net(), nn.CrossEntropyLoss()
    x, y = data

    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, pixels):
            return {"logits": self.net(pixels)}

    def named_loss(output, batch):
        return loss(output["logits"], batch["labels"])

    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(x, y), batch_size=10
    )
    direction = [
        torch.randn(83, generator=torch.Generator().manual_seed(i))
        for i in range(2)
    ]
    one = surface(net, loss, data, direction, 1, 3)
    two = surface(net, loss, loader, direction, 1, 3)
    batch = {"pixels": x, "labels": y}
    three = surface(Named(), named_loss, batch, direction, 1, 3)
    np.testing.assert_allclose(one.losses, two.losses, rtol=1e-5)
    np.testing.assert_allclose(one.losses, three.losses, rtol=1e-5)
    assert one.provenance.n_samples == three.provenance.n_samples == 24


def test_record_survives_saving(tmp_path, data):
    s = surface(
        small_net(), nn.CrossEntropyLoss(), data, resolution=3,
        metrics="accuracy", out=tmp_path / "o",
    )  # fmt: skip
    back = Surface.load(tmp_path / "o" / "surface.npz")
    assert np.array_equal(back.losses, s.losses)
    assert back.provenance.notes == s.provenance.notes


# The model is left alone


def everything(net):
    state = [*net.parameters(), *net.buffers()]
    return (
        [t.detach().clone() for t in state],
        [t._version for t in state],
        [p.grad is None for p in net.parameters()],
        [m.training for m in net.modules()],
        torch.random.get_rng_state().clone(),
        random.getstate(),
    )


def same(before, after):
    assert all(map(torch.equal, before[0], after[0]))
    assert before[2:4] == after[2:4]
    assert torch.equal(before[4], after[4])
    assert before[5] == after[5]


class Stop:
    """A loss that raises at a given call."""

    def __init__(self, error, at):
        self.error, self.left = error, at

    def __call__(self, output, batch):
        self.left -= 1
        if self.left == 0:
            raise self.error
        return nn.functional.cross_entropy(output, batch[1])


@pytest.mark.parametrize("statistics", ["eval", "train", "recalibrate"])
def test_untouched_after_success(data, statistics):
    net = small_net(norm=True).train()
    before = everything(net)
    loss = nn.CrossEntropyLoss()
    surface(net, loss, data, resolution=3, statistics=statistics)
    same(before, everything(net))
    line(net, "random", loss, data, resolution=3, statistics=statistics)
    same(before, everything(net))


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
@pytest.mark.parametrize("call", range(1, 16, 2))
def test_untouched_after_failure_at_any_call(data, error, call):
    net = small_net(norm=True).train()
    before = everything(net)
    with pytest.raises(error):
        surface(net, Stop(error(), call), data, resolution=5, way="slow")
    same(before, everything(net))
    other = copy.deepcopy(net)
    with torch.no_grad():
        other[0].weight.mul_(2)
    with pytest.raises(error):
        line(net, other, Stop(error(), call), data, way="slow")
    same(before, everything(net))


def test_precisions_agree_and_the_centre_check_knows_them(data):
    loss = nn.CrossEntropyLoss()
    found = {
        p: surface(small_net(), loss, data, resolution=5, dtype=p)
        for p in ("float64", "float32", "bfloat16")
    }
    want = found["float64"].losses
    np.testing.assert_allclose(found["float32"].losses, want, rtol=1e-5)
    np.testing.assert_allclose(found["bfloat16"].losses, want, rtol=3e-2)
    double = surface(
        small_net().double(), loss, (data[0].double(), data[1]), resolution=5
    )
    np.testing.assert_allclose(double.losses, want, rtol=1e-6)


def test_a_loss_of_almost_zero_passes_the_centre_check(data):
    net = small_net()
    with torch.no_grad():
        net[2].weight.mul_(200)
        y = net(data[0]).argmax(1)
    loss = nn.CrossEntropyLoss()
    s = surface(net, loss, (data[0], y), extent=0.1, resolution=3)
    assert s.centre_loss < 0.1


def test_a_way_that_is_wrong_is_caught(data, monkeypatch):
    from dldna.landscape.scan import pool as workers

    right = workers.choose

    def wrong(*args, **kwargs):
        evaluator = right(*args, **kwargs)

        class Off:
            name, notes, chunk = "off", {}, 4

            def __call__(self, coords):
                found = evaluator(coords)
                return {k: v * 1.001 for k, v in found.items()}

        return Off()

    monkeypatch.setattr(workers, "choose", wrong)
    with pytest.raises(RuntimeError, match="is not the model's loss"):
        surface(small_net(), nn.CrossEntropyLoss(), data, resolution=3)


# Not a function


def test_dropout_in_eval_is_found(data):
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = small_net()

        def forward(self, x):
            return nn.functional.dropout(self.inner(x), 0.5, training=True)

    with pytest.warns(NotAFunction, match="not a function of its weights"):
        s = surface(Noisy(), nn.CrossEntropyLoss(), data, resolution=3)
    assert "dropout" in s.provenance.notes["probe"][0]


class Augmented(torch.utils.data.TensorDataset):
    def __getitem__(self, i):
        x, y = super().__getitem__(i)
        return x + 0.1 * torch.rand_like(x), y


class Drawn(torch.utils.data.TensorDataset):
    def __getitem__(self, i):
        return super().__getitem__(int(torch.randint(len(self), ())))


def loader_of(kind, data, **options):
    options = {"batch_size": 8} | options
    return torch.utils.data.DataLoader(kind(*data), **options)


@pytest.mark.parametrize(
    ("kind", "options", "limit"),
    [
        (torch.utils.data.TensorDataset, {}, None),
        (torch.utils.data.TensorDataset, {}, 4),
        (torch.utils.data.TensorDataset, {"shuffle": True}, None),
        (torch.utils.data.TensorDataset,
         {"shuffle": True, "batch_size": 1000}, None),
        (torch.utils.data.TensorDataset, {"batch_size": 5}, None),
    ],
)  # fmt: skip
def test_another_order_is_no_other_data(data, kind, options, limit):
    """No warning, which would be an error here."""
    loader = loader_of(kind, data, **options)
    net, loss = small_net(), nn.CrossEntropyLoss()
    made = surface(net, loss, loader, resolution=3, limit=limit)
    assert made.provenance.notes["probe"] == []
    surface(net, loss, iter(list(loader)), resolution=3, limit=limit)


@pytest.mark.parametrize(
    ("kind", "options", "limit"),
    [
        (Augmented, {}, None),
        (Augmented, {"shuffle": True}, None),
        (Drawn, {}, None),
        (torch.utils.data.TensorDataset, {"shuffle": True}, 5),
        (torch.utils.data.TensorDataset,
         {"shuffle": True, "drop_last": True, "batch_size": 7}, None),
    ],
)  # fmt: skip
def test_other_samples_are_found(data, kind, options, limit):
    loader = loader_of(kind, data, **options)
    with pytest.warns(NotAFunction, match="draws or augments"):
        surface(
            small_net(), nn.CrossEntropyLoss(), loader, resolution=3,
            limit=limit,
        )  # fmt: skip


# Bad input


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        ({"data": []}, ValueError, "empty"),
        ({"data": (torch.zeros(0, 6), torch.zeros(0))}, ValueError, "empty"),
        ({"model": 3}, TypeError, "torch.nn.Module"),
        ({"model": nn.ReLU()}, ValueError, "no parameters"),
        ({"loss_fn": None}, TypeError, "callable"),
        ({"directions": "randm"}, ValueError, "did you mean 'random'"),
        ({"statistics": "evall"}, ValueError, "did you mean 'eval'"),
        ({"statistics": "interpolate"}, ValueError, "other checkpoints"),
        ({"dtype": "float23"}, ValueError, "did you mean 'float32'"),
        ({"way": "slo"}, ValueError, "did you mean 'slow'"),
        ({"metrics": "acuracy"}, ValueError, "did you mean 'accuracy'"),
        ({"budget_s": 0}, ValueError, "budget_s must be greater"),
        ({"budget_points": 0}, ValueError, "budget_points"),
    ],
)
def test_bad_input_is_named(data, change, kind, says):
    given = {
        "model": small_net(),
        "loss_fn": nn.CrossEntropyLoss(),
        "data": data,
        "resolution": 3,
    }
    with pytest.raises(kind, match=says):
        surface(**(given | change))


def test_a_data_set_instead_of_a_loader_is_explained(data):
    with pytest.raises(TypeError, match="DataLoader"):
        surface(
            small_net(),
            nn.CrossEntropyLoss(),
            torch.utils.data.TensorDataset(*data),
        )


def test_parallel_directions_make_no_plane():
    with pytest.raises(ValueError, match="parallel"):
        surface(Point(), bowl, ONE, [E1, E1 * 2])


# Lines


def test_a_line_ends_at_both_networks(data):
    a, b = small_net(norm=True), small_net(norm=True)
    with torch.no_grad():
        for p in b.parameters():
            p.mul_(1.5)
    b(torch.randn(40, 6) * 5)
    loss = nn.CrossEntropyLoss()
    with pytest.warns(UserWarning, match="variances become negative"):
        got = line(a, b, loss, data, resolution=9, metrics="accuracy")
    for end, net in ((0.0, a), (1.0, b)):
        twin = copy.deepcopy(net).eval()
        want = loss(twin(data[0]), data[1]).item()
        at = np.flatnonzero(got.alphas == end)[0]
        assert got.losses[at] == pytest.approx(want, rel=1e-5)
    # In between the running statistics lie in between as well.
    mid = copy.deepcopy(a).eval()
    state = {
        k: (v + b.state_dict()[k]) / 2 if v.is_floating_point() else v
        for k, v in a.state_dict().items()
    }
    mid.load_state_dict(state)
    at = np.flatnonzero(got.alphas == 0.5)[0]
    want = loss(mid(data[0]), data[1]).item()
    assert got.losses[at] == pytest.approx(want, rel=1e-5)
    frozen = line(a, b, loss, data, resolution=9, statistics="eval")
    assert not np.allclose(frozen.losses, got.losses)
    assert got.provenance.notes["statistics"] == "interpolate"


def test_a_line_to_a_state_dict_is_the_line_to_its_model(data):
    a, b = small_net(norm=True), small_net(norm=True)
    with torch.no_grad():
        b[0].weight.mul_(3)
    loss = nn.CrossEntropyLoss()
    one = line(a, b, loss, data, resolution=5)
    two = line(a, b.state_dict(), loss, data, resolution=5)
    assert np.array_equal(one.losses, two.losses)


def test_own_alphas_gain_the_ends(data):
    a, b = small_net(), small_net()
    with torch.no_grad():
        b[0].weight.mul_(3)
    got = line(a, b, nn.CrossEntropyLoss(), data, alphas=[0.25, 1 - 1e-15])
    assert got.alphas.tolist() == [0.0, 0.25, 1.0]
    zoom = (1 + np.linspace(-1e-6, 1e-6, 5)).tolist()
    got = line(a, b, nn.CrossEntropyLoss(), data, alphas=zoom)
    assert got.alphas.tolist() == [0.0, *zoom]


def test_lines_refuse_other_networks(data):
    with pytest.raises(ValueError, match="lacks parameter"):
        line(small_net(), nn.Linear(6, 3), nn.CrossEntropyLoss(), data)
    with pytest.raises(ValueError, match="outside"):
        line(small_net(), small_net(), bowl, data, extent=(-1, 0.5))


def test_a_band_holds_its_lines(data):
    net, loss = small_net(), nn.CrossEntropyLoss()
    got = band(net, loss, data, seeds=[3, 4, 5], resolution=5)
    single = line(net, "random", loss, data, seed=4, resolution=5)
    np.testing.assert_array_equal(got.metrics["seed 4"], single.losses)
    rows = np.stack([got.metrics[f"seed {s}"] for s in (3, 4, 5)])
    np.testing.assert_array_equal(got.losses, np.median(rows, 0))
    with pytest.raises(ValueError, match="two different seeds"):
        band(net, loss, data, seeds=[1])
    with pytest.raises(ValueError, match="do not depend on the seed"):
        band(net, loss, data, "hessian")


# Budgets


def test_a_budget_of_points_fills_from_coarse_to_fine():
    s = surface(Point(), bowl, ONE, [E1, E2], 1.0, 21, budget_points=30)
    assert 0 < s.evaluated.sum() < 441
    assert np.isnan(s.losses[~s.evaluated]).all()
    assert s.evaluated[2::4, 2::4].all()
    full = surface(Point(), bowl, ONE, [E1, E2], 1.0, 21)
    np.testing.assert_allclose(
        s.losses[s.evaluated], full.losses[s.evaluated], rtol=1e-6
    )


def test_a_budget_of_seconds_takes_fewer_samples():
    import time

    x = torch.arange(2000.0)[:, None]

    class Slow(Point):
        def forward(self, x):
            time.sleep(len(x) * 1e-5)
            return super().forward(x)

    s = surface(Slow(), bowl, x, [E1, E2], 1.0, 11, budget_s=1.5, way="slow")
    assert 512 <= s.provenance.n_samples < 2000
    assert "evenly spaced" in s.provenance.notes["subset"]


def test_params_are_those_of_the_plane():
    net = Point((1.0, 2.0))
    assert params.count(params.of(net)) == 2


def plain_case(images=64):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    return net, (torch.randn(images, 6), torch.randint(3, (images,)))


@pytest.mark.parametrize("points", [1, 30, 150])
def test_budget_points_are_at_most_that_many(tmp_path, points):
    net, data = plain_case()
    options = {"resolution": 21, "out": tmp_path, "budget_points": points}
    first = surface(net, nn.CrossEntropyLoss(), data, **options)
    assert 0 < first.evaluated.sum() <= points
    again = surface(net, nn.CrossEntropyLoss(), data, **options)
    assert first.evaluated.sum() < again.evaluated.sum() <= 2 * points


def test_a_budget_that_thins_the_data_is_no_shuffling_loader(recwarn):
    net, (x, y) = plain_case(3000)
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(x, y), 250
    )
    made = surface(
        net, nn.CrossEntropyLoss(), loader, budget_s=0.2, way="slow",
        resolution=41,
    )  # fmt: skip
    assert made.provenance.n_samples < 3000
    assert made.provenance.notes["probe"] == []
    assert not [w for w in recwarn if issubclass(w.category, UserWarning)]


def test_a_warning_points_at_the_callers_line():
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 3)

        def forward(self, x):
            return self.layer(x) + torch.rand(())

    _, data = plain_case()
    with pytest.warns(NotAFunction) as seen:
        surface(Noisy(), nn.MSELoss(), (data[0], data[0][:, :3]), resolution=3)
    assert [w.filename for w in seen] == [__file__]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_record_names_the_models_own_type(dtype):
    net, (x, y) = plain_case()
    made = surface(
        net.to(dtype), nn.CrossEntropyLoss(), (x.to(dtype), y), resolution=3
    )
    assert made.provenance.dtype == str(dtype).removeprefix("torch.")


def test_an_unfinished_grid_has_no_minima_of_its_gaps():
    net, data = plain_case()
    made = surface(
        net, nn.CrossEntropyLoss(), data, resolution=41, budget_points=150
    )
    assert not made.evaluated.all()
    assert "local minima" not in made.report()


def test_a_report_where_the_whole_edge_overflows():
    net, data = plain_case()
    net[1] = nn.ReLU()
    loss = nn.CrossEntropyLoss()
    made = surface(net, loss, data, resolution=3, extent=1e30)
    assert "NaN" in made.report()


def test_a_band_keeps_its_lines_and_its_budget(data, tmp_path):
    net, loss = small_net(), nn.CrossEntropyLoss()
    given = {"seeds": [0, 1, 2], "resolution": 3}
    one = band(net, loss, data, **given)
    two = band(net, loss, data, out=tmp_path, budget_s=60, **given)
    assert np.array_equal(one.losses, two.losses)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "seed 0", "seed 1", "seed 2",
    ]  # fmt: skip
    again = band(net, loss, data, out=tmp_path, **given)
    assert np.array_equal(one.losses, again.losses)


@pytest.mark.parametrize("budget", [0, -1.0, "5m"])
def test_no_line_or_walk_has_such_a_budget(data, budget):
    a, b, loss = small_net(), small_net(), nn.CrossEntropyLoss()
    kind = TypeError if isinstance(budget, str) else ValueError
    with pytest.raises(kind, match="budget_s"):
        line(a, b, loss, data, budget_s=budget)
    with pytest.raises(kind, match="budget_s"):
        walk(a, segment(a, b), loss, data, budget_s=budget)


def test_directions_kept_in_a_folder_know_the_other_networks(data, tmp_path):
    net, loss = small_net(), nn.CrossEntropyLoss()
    others, found = (small_net(), small_net()), []
    with torch.no_grad():
        for factor, other in zip((2, 3), others, strict=True):
            other[0].weight.mul_(factor)
    for other in others:
        s = surface(
            net, loss, data, ("checkpoints", "hessian"), resolution=3,
            others=[other], out=tmp_path / str(len(found)),
        )  # fmt: skip
        found.append(s.losses)
    with pytest.raises(ValueError, match="other directions"):
        surface(
            net, loss, data, ("checkpoints", "hessian"), resolution=3,
            others=[others[1]], out=tmp_path / "0",
        )  # fmt: skip
    assert not np.array_equal(*found)
