"""Rows of a ReLU layer by its crossings, against the plain way and float64."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dldna import params
from dldna.landscape.evaluate import accuracy, choose
from dldna.landscape.evaluate.crossings import (
    LONGEST,
    along_row,
    crossings,
    pays,
)


def layers(images=9, units=7, outputs=5, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype)

    return (
        normal(images, units),
        normal(images, units),
        normal(outputs, units),
        normal(outputs, units),
    )


def plain(A, D, V, E, steps):
    return torch.stack([F.relu(A + s * D) @ (V + s * E).t() for s in steps])


@pytest.mark.parametrize("count", [2, 3, 40, LONGEST])
@pytest.mark.parametrize("ends", [(-1.0, 1.0), (0.0, 1.0), (2.0, 90.0)])
def test_a_row_is_the_sum_over_units(count, ends):
    given, steps = layers(), np.linspace(*ends, count).tolist()
    true = plain(*given, steps)
    got = along_row(*given, steps)
    torch.testing.assert_close(
        got, true, rtol=1e-12, atol=1e-12 * float(true.abs().max())
    )


def test_units_that_do_not_move_or_are_zero():
    A, D, V, E = layers()
    D[:, 0] = 0  # on or off all along
    A[:, 1] = D[:, 1] = 0  # zero all along
    A[:, 2] = D[:, 2]  # zero at the first point
    A[:, 3] = -D[:, 3]  # zero at the last point
    A[:, 4] = 0  # zero in the middle, which is a point
    steps = np.linspace(-1, 1, 41).tolist()
    got, true = along_row(A, D, V, E, steps), plain(A, D, V, E, steps)
    torch.testing.assert_close(got, true, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("apart", [1e-16, 1e-8, 1e-7])
def test_changes_a_rounding_error_away_from_a_point(apart):
    A, D, V, E = layers(200, 40)
    shift = (torch.rand_like(A) - 0.5) * apart
    points = torch.linspace(-1, 1, 41, dtype=torch.float64)
    at = points[torch.arange(A.numel()) % 41].view_as(A)
    A = -at * D * (1 + shift)  # zero at a point, nearly
    steps = points.tolist()
    got = along_row(*(t.float() for t in (A, D, V, E)), steps)
    true = plain(A, D, V, E, steps)
    assert float((got - true).abs().max() / true.abs().max()) < 3e-6


def test_each_unit_changes_once_where_its_sign_does():
    A, D, _, _ = layers(images=30, units=40)
    count = 21
    found = crossings(A, D, count)
    where = torch.linspace(-1, 1, count, dtype=torch.float64)
    on = A + where.view(-1, 1, 1) * D > 0  # (P, N, F)
    changes = on[1:] != on[:-1]
    assert changes.sum(0).max() == 1
    assert len(found.unit) == changes.sum()
    spans = np.diff(found.start.numpy()).reshape(count - 1, -1)
    np.testing.assert_array_equal(spans, changes.sum(2).numpy())


def test_rounding_is_that_of_the_plain_way():
    """In float32, on as many units and points as a real surface has."""
    given = layers(64, 512, 64, dtype=torch.float32)
    steps = np.linspace(-1, 1, 100).tolist()
    true = plain(*(t.double() for t in given), steps)

    def error(found):
        return float((found - true).square().mean().sqrt())

    assert error(along_row(*given, steps)) < 3 * error(plain(*given, steps))


def test_only_even_rows_that_are_long_enough():
    row = np.linspace(-1, 1, 60)
    assert pays(row.tolist(), 64)
    assert not pays(row[:20].tolist(), 64)
    assert pays(row.tolist(), 64, threads=2)
    assert not pays(row.tolist(), 64, threads=4)
    assert not pays(row.tolist(), 4)
    assert not pays(row[::-1].tolist(), 64)
    assert not pays((row**3).tolist(), 64)
    assert not pays([0.5] * 60, 64)
    assert not pays(np.linspace(-1, 1, LONGEST + 1).tolist(), 64)


def network(kind):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        parts = {
            "bias": [nn.Linear(6, 40), nn.ReLU(), nn.Linear(40, 50)],
            "no bias": [
                nn.Linear(6, 40, bias=False),
                nn.ReLU(inplace=True),
                nn.Dropout(),
                nn.Linear(40, 50, bias=False),
            ],
        }[kind]
        return nn.Sequential(
            nn.Flatten(),
            *parts,
            nn.BatchNorm1d(50),
            nn.ReLU(),
            nn.Linear(50, 20),
            nn.Tanh(),
            nn.Linear(20, 4),
        )


class Shared(nn.Module):
    """The weight that crossings need is used once more, elsewhere."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 50)
        self.second = nn.Linear(50, 50)
        self.third = nn.Linear(50, 50)
        self.third.weight = self.second.weight
        self.head = nn.Linear(50, 4)

    def forward(self, x):
        x = torch.relu(self.second(F.relu(self.first(x))))
        return self.head(self.third(x))


class TwoWays(nn.Module):
    """Two first layers, and one of them is looked at twice."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 50), nn.Linear(6, 50)
        self.after_a, self.after_b = nn.Linear(50, 50), nn.Linear(50, 50)
        self.head = nn.Linear(50, 4)

    def forward(self, x):
        a, b = torch.relu(self.a(x)), torch.relu(self.b(x))
        return self.head(self.after_a(a) + self.after_b(b) * b)


NETWORKS = {
    "bias": lambda: network("bias"),
    "no bias": lambda: network("no bias"),
    "shared": Shared,
    "two ways": TwoWays,
}


def setting(make, images=30, k=2):
    generator = torch.Generator().manual_seed(1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = make()
    x = torch.randn(images, 6, generator=generator)
    y = torch.randint(4, (images,), generator=generator)
    origin = params.of(model)
    directions = [
        params.scale(params.randn_like(origin, generator), 0.3)
        for _ in range(k)
    ]
    return model, nn.CrossEntropyLoss(), [(x, y)], origin, directions


def grid(rows=3, columns=41):
    return torch.cartesian_prod(
        torch.linspace(-1, 1, rows, dtype=torch.float64),
        torch.linspace(-1, 1, columns, dtype=torch.float64),
    )


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def used(monkeypatch):
    """The rows that were made by their crossings."""
    from dldna.landscape.evaluate import rows as run

    rows, real = [], run.along_row

    def watched(*args):
        rows.append(len(args[-1]))
        return real(*args)

    monkeypatch.setattr(run, "along_row", watched)
    return rows


@pytest.mark.parametrize("images", [30, 600])
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    ("dtype", "bound"),
    [("float64", 1e-12), ("float32", 2e-6), ("bfloat16", 2e-2)],
)
def test_surfaces_equal_the_slow_way(name, images, dtype, bound, used):
    args = setting(NETWORKS[name], images)
    metrics = {"accuracy": accuracy}
    fast = choose(*args, way="mlp", dtype=dtype, metrics=metrics)
    slow = choose(*args, way="slow", dtype="float64", metrics=metrics)
    got, true = fast(grid()), slow(grid())
    apart = np.abs(got["loss"] - true["loss"]) / true["loss"]
    assert apart.max() < bound
    if dtype == "float64":
        np.testing.assert_allclose(got["accuracy"], true["accuracy"])
    assert set(used) == {41}


def test_three_directions_and_rows_across(used):
    args = setting(NETWORKS["bias"], k=3)
    points = torch.cat([grid(2, 45), torch.full((90, 1), 0.3)], 1)
    points = points.flip(1)  # the coordinate that runs stands first
    fast = choose(*args, way="mlp", dtype="float64")
    slow = choose(*args, way="slow", dtype="float64")
    np.testing.assert_allclose(
        fast(points)["loss"], slow(points)["loss"], rtol=1e-12
    )
    assert set(used) == {45}


def test_small_losses_keep_their_digits(used):
    """A trained network's loss is a tail: rounding weighs most there."""
    model, loss, [(x, _)], _, directions = setting(NETWORKS["bias"])
    y = (x[:, 0] > 0).long()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        assert float(loss(model(x), y)) < 0.02
    args = model, loss, [(x, y)], params.of(model), directions
    crossed = choose(*args, way="mlp")
    plainly = copy.copy(crossed)
    plainly.outputs = 0
    true = choose(*args, way="slow", dtype="float64")(grid())["loss"]

    def worst(evaluator):
        return np.abs(evaluator(grid())["loss"] / true - 1).max()

    assert worst(crossed) < max(3 * worst(plainly), 1e-6)
    assert used


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_numbers_that_are_not_tame_go_the_plain_way(value, used):
    model, loss, data, origin, directions = setting(NETWORKS["bias"])
    directions[0] = {k: v.clone() for k, v in directions[0].items()}
    directions[0]["3.weight"][0, 0] = value
    args = model, loss, data, origin, directions
    got = choose(*args, way="mlp")(grid())["loss"]
    true = choose(*args, way="slow")(grid())["loss"]
    np.testing.assert_allclose(got, true, rtol=1e-5)
    assert np.isfinite(got).any()
    assert set(used) == {41}  # the row in which that direction is at 0
    assert len(used) == 1


def test_a_surface_says_so_and_is_resumed_to_the_bit(tmp_path, monkeypatch):
    from dldna.landscape import surface
    from dldna.landscape.scan import timing

    monkeypatch.setattr(timing, "TILE_MOST", 3 * 41)
    model, loss, [data], _, _ = setting(NETWORKS["bias"])
    first = surface(model, loss, data, out=tmp_path)
    notes = first.provenance.notes["evaluation"]
    assert notes["rows"].startswith("by crossings")
    tiles = sorted((tmp_path / "tiles").glob("*.npz"))
    assert len(tiles) == 14
    for tile in tiles[::2]:
        tile.unlink()
    again = surface(model, loss, data, out=tmp_path)
    assert again.provenance.notes["tiles"] == {"found": 7, "all": 14}
    np.testing.assert_array_equal(again.losses, first.losses)


def test_a_tile_is_whole_rows_on_a_slow_machine_too(monkeypatch):
    from dldna.landscape import surface
    from dldna.landscape.scan import timing

    monkeypatch.setattr(timing, "TILE_SECONDS", 1e-9)
    model, loss, [data], _, _ = setting(NETWORKS["bias"])
    slow = surface(model, loss, data, resolution=45)
    monkeypatch.undo()
    quick = surface(model, loss, data, resolution=45)
    assert slow.provenance.notes["tiles"]["all"] == 45
    np.testing.assert_array_equal(slow.losses, quick.losses)
