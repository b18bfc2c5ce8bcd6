"""Maps: tiles, probes, cuts and walks, each beside a plain loop."""

import base64
import copy
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from dldna.explorer import Explorer, walk
from dldna.explorer.addresses import SIDE, Address
from dldna.explorer.messages import answer
from dldna.explorer.plane_map import PlaneMap
from dldna.explorer.walkers import AT_ONCE, WALKERS, Walker, Walkers
from dldna.landscape.curvature import moving
from dldna.landscape.curvature.extremes import extremes
from dldna.training import Contestant
from dldna.training.stepping import accumulated_step


def network(seed=0, norm=False):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        middle = [nn.BatchNorm1d(5)] if norm else []
        return nn.Sequential(
            nn.Linear(4, 5), *middle, nn.Tanh(), nn.Linear(5, 3)
        )


@pytest.fixture(scope="module")
def data():
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(24, 4, generator=draw)
    return x, torch.randint(0, 3, (24,), generator=draw)


LOSS = nn.CrossEntropyLoss()


@pytest.fixture(scope="module")
def explorer(data):
    return Explorer(network(), LOSS, data)


def written(here, coords, data):
    """Losses with the weights truly written into a copy."""
    model, found = copy.deepcopy(here.model), []
    for a, b in coords:
        with torch.no_grad():
            for name, p in model.named_parameters():
                d1, d2 = (d.vector[name] for d in here.plane.directions)
                p.copy_(here.plane.origin[name] + a * d1 + b * d2)
            found.append(float(LOSS(model(data[0]), data[1])))
    return np.array(found)


@pytest.mark.parametrize("level", [-4, 0, 1, 7, 24])
def test_zero_and_the_points_above_are_on_every_level(level):
    extent = 0.3
    centre = Address(level, *(int(np.floor(2.0 ** (level - 1))),) * 2)
    axis = centre.axes(extent)[0]
    assert 0.0 in axis
    if level < 24:
        below = [
            Address(level + 1, 2 * centre.i + k, 0).axes(extent)[0]
            for k in (0, 1)
        ]
        assert set(axis) <= set(np.concatenate(below))


def test_tiles_side_by_side_have_no_point_twice_and_leave_no_gap():
    every = [Address(2, i, j) for i in range(-4, 8) for j in range(-4, 8)]
    assert len({at.number for at in every}) == len(every)
    along = np.concatenate([Address(2, i, 0).axes(1.0)[0] for i in range(4)])
    np.testing.assert_array_equal(np.diff(along), 2 / (4 * SIDE))


def test_a_tile_is_what_the_weights_give_that_are_written(explorer, data):
    here, at = explorer.map(), Address(1, 1, 0)
    coarse = here.tile(at, stride=4).copy()
    losses = here.tile(at)
    np.testing.assert_array_equal(losses[::4, ::4], coarse)
    a, b = at.axes(explorer.extent)
    rows, columns = [0, 3, 17, 31], [0, 2, 30]
    for i in rows:
        true = written(here, [(a[i], b[j]) for j in columns], data)
        np.testing.assert_allclose(losses[i, columns], true, rtol=1e-5)
    assert here.tile(Address(0, 0, 0))[16, 16] == pytest.approx(here.centre)


def test_points_met_as_checks_are_not_evaluated_again(data):
    here, asked = Explorer(network(), LOSS, data).map(), []
    losses = here.losses
    here.losses = lambda c: asked.append(c) or losses(c)
    tile = here.tile(Address(0, 0, 0), 16)
    assert np.concatenate(asked).tolist() == [[-1.0, 0.0], [0.0, -1.0]]
    coords = [(-1.0, -1.0), (0.0, 0.0)]
    true = written(here, coords, data)
    np.testing.assert_allclose([tile[0, 0], tile[1, 1]], true, rtol=1e-5)
    assert here.centre == pytest.approx(true[1], rel=1e-6)


def test_a_tile_begins_with_the_points_of_the_one_above(data):
    alone, at = Explorer(network(), LOSS, data).map(), Address(3, 5, -2)
    here = Explorer(network(), LOSS, data).map()
    above = here.tile(at.above)
    losses = here.tile(at)
    np.testing.assert_array_equal(losses[::2, ::2], above[at.quarter])
    np.testing.assert_allclose(losses, alone.tile(at), rtol=1e-5)


def test_a_map_goes_on_where_it_stopped_and_no_other_map_does(
    data, tmp_path, monkeypatch
):
    first = Explorer(network(), LOSS, data, out=tmp_path).map()
    coarse = first.tile(Address(2, 0, 1), stride=4)
    whole = first.tile(Address(3, 1, 1))
    again = Explorer(network(), LOSS, data, out=tmp_path).map()

    def refuse(*_):
        raise AssertionError("evaluated again")

    monkeypatch.setattr(PlaneMap, "losses", refuse)
    np.testing.assert_array_equal(again.tile(Address(3, 1, 1)), whole)
    np.testing.assert_array_equal(again.tile(Address(2, 0, 1), 4), coarse)
    with pytest.raises(ValueError, match="other weights"):
        Explorer(network(seed=1), LOSS, data, out=tmp_path)


def test_a_probe_is_what_autograd_says_there(explorer, data):
    here, place = explorer.map(), (0.4, -0.7)
    found, ends = here.probe(*place), here.curvature(*place)
    model = copy.deepcopy(here.model)
    point = here.plane.point(place)
    shapes = [p.shape for p in model.parameters()]

    def loss(flat):
        parts = flat.split([s.numel() for s in shapes])
        own = dict(zip(point, parts, strict=True))
        own = {k: v.view(point[k].shape) for k, v in own.items()}
        output = torch.func.functional_call(model, own, (data[0].double(),))
        return LOSS(output, data[1])

    flat = torch.cat([v.reshape(-1) for v in point.values()]).double()
    right = torch.func.functional_call(model, point, (data[0],)).argmax(1)
    share = float((right == data[1]).double().mean())
    g = torch.autograd.functional.jacobian(loss, flat)
    spectrum = torch.linalg.eigvalsh(
        torch.autograd.functional.hessian(loss, flat)
    )
    assert found["loss"] == pytest.approx(float(loss(flat)), rel=1e-5)
    assert found["gradient"] == pytest.approx(float(g.norm()), rel=1e-4)
    assert found["accuracy"] == pytest.approx(share)
    assert found["accuracy_error"] == pytest.approx(
        (share * (1 - share) / 24) ** 0.5
    )
    step = [point[k] - here.plane.origin[k] for k in point]
    length = float(torch.cat([v.reshape(-1) for v in step]).norm())
    assert found["distance"] == pytest.approx(length, rel=1e-5)
    for name, k in (("largest", -1), ("smallest", 0)):
        assert ends[name] == pytest.approx(float(spectrum[k]), rel=1e-3)


def test_a_probe_of_a_large_network_keeps_few_vectors(explorer, monkeypatch):
    here, kept = explorer.map(), []

    def counted(*given, basis, **more):
        kept.append(basis)
        return extremes(*given, basis=basis, **more)

    monkeypatch.setattr(moving, "extremes", counted)
    monkeypatch.setattr(moving, "BASIS_BYTES", 2 * 4 * explorer.f.n * 7)
    few = here.curvature(0.4, -0.7)
    monkeypatch.undo()
    assert kept == [7]
    assert few["largest"] == pytest.approx(
        here.curvature(0.4, -0.7)["largest"], rel=1e-2
    )


def test_a_cut_is_even_and_true(explorer, data):
    here = explorer.map()
    cut = here.cut((-0.5, 0.2), (0.7, -1.5), 4)
    t = np.linspace(0, 1, 4)[:, None]
    points = np.array([-0.5, 0.2]) + t * np.array([1.2, -1.7])
    np.testing.assert_allclose(
        cut["losses"], written(here, points, data), rtol=1e-5
    )
    np.testing.assert_allclose(
        cut["distances"], t[:, 0] * here.distance(1.2, -1.7)
    )


def test_a_walk_is_torch_s_and_its_shadow_the_nearest_point(explorer, data):
    here, start = explorer.map(), (0.3, 0.1)
    before = copy.deepcopy(explorer.f.model.state_dict())
    found = walk(here, "SGD+", start, 7, lr=0.2)
    model = copy.deepcopy(explorer.f.model)
    model.load_state_dict(here.plane.point(start))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    origin = torch.cat([v.reshape(-1) for v in here.plane.origin.values()])
    plane = torch.stack(
        [
            torch.cat([v.reshape(-1) for v in d.vector.values()])
            for d in here.plane.directions
        ],
        1,
    ).double()
    for t in range(8):
        loss = LOSS(model(data[0]), data[1])
        assert found["losses"][t] == pytest.approx(loss.item(), rel=1e-5)
        w = torch.cat([p.detach().reshape(-1) for p in model.parameters()])
        w = (w - origin).double()
        near = torch.linalg.lstsq(plane, w[:, None]).solution
        np.testing.assert_allclose(
            found["coords"][t], near[:, 0], rtol=1e-3, atol=1e-5
        )
        off = float((w - plane @ near[:, 0]).norm())
        assert found["off"][t] == pytest.approx(off, rel=1e-3, abs=1e-5)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = explorer.f.model.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert all(p.grad is None for p in explorer.f.model.parameters())


@pytest.mark.parametrize(
    ("made", "options", "rel"),
    [(torch.float32, {"dtype": "float64"}, 1e-12),
     (torch.float64, {"dtype": "float32"}, 1e-5),
     (torch.bfloat16, {}, 0.02),
     (torch.float32, {"statistics": "recalibrate"}, 1e-5)],
)  # fmt: skip
def test_probes_and_walks_are_in_the_map_s_arithmetic(
    data, made, options, rel
):
    norm = "statistics" in options
    net, place = network(norm=norm).to(made), (0.3, 0.1)
    here = Explorer(net, LOSS, (data[0].to(made), data[1]), **options).map()
    height = pytest.approx(here.losses([place])[0], rel=rel)
    assert here.probe(*place)["loss"] == height
    assert walk(here, "SGD", place, 2, lr=1e-3)["losses"][0] == height


def test_inference_mode_around_a_map_changes_nothing(explorer, data):
    net, place, true = network(), (0.3, 0.1), explorer.map()
    with torch.inference_mode():
        here = Explorer(net, LOSS, data).map()
        found, ends = here.probe(*place), here.curvature(*place)
        walked = walk(here, "SGD", place, 2)
    assert found == pytest.approx(true.probe(*place))
    assert ends["largest"] == pytest.approx(true.curvature(*place)["largest"])
    np.testing.assert_allclose(
        walked["losses"], walk(true, "SGD", place, 2)["losses"], rtol=1e-6
    )


def test_a_walk_that_diverges_says_so(explorer):
    found = walk(explorer.map(), "SGD", (0.0, 0.0), 40, lr=1e38)
    assert found["ended"].startswith("diverged at step")


@pytest.mark.full
@pytest.mark.parametrize("name", WALKERS)
def test_every_optimizer_walks_alike_in_pieces_and_beside_others(data, name):
    """Bit for bit as in a plain loop, whoever else walks meanwhile."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 5), nn.Tanh(),
            nn.Linear(5, 3),
        )  # fmt: skip
    maps, start = Explorer(net, LOSS, data), (0.2, 0.2)
    here, other = maps.map(), maps.map(statistics="train")
    whole = walk(here, name, start, 3, lr=1e-3)
    assert whole["steps"] == [0, 1, 2, 3]
    assert np.isfinite(whole["losses"]).all()
    assert np.ptp(whole["coords"], axis=0).max() > 0 or whole["off"][-1] > 0
    pieces = in_pieces(
        Walker(here, name, start, 3, 1e-3), Walker(other, name, start, 5, 0.1)
    )
    assert_same(pieces, whole)
    true = plain_run(here, name, start, 3, 1e-3)
    walker = Walker(here, name, start, 3, 1e-3)
    walker.go()
    assert all(torch.equal(walker.point[k], true[k]) for k in true)


def in_pieces(walker, *others):
    """A walk's pieces joined, others taking a step in between."""
    model, pieces = walker.here.model, []
    before = {k: v.clone() for k, v in model.state_dict().items()}
    while not walker.done:
        pieces.append(walker.go(0.0))
        for other in others:
            other.go(0.0)
        torch.rand(3)  # and the user draws
        now = model.state_dict()
        assert all(torch.equal(before[k], now[k]) for k in before)
        assert all(p.grad is None for p in model.parameters())
    names = ("steps", "coords", "losses", "off")
    joined = {k: np.concatenate([p[k] for p in pieces]) for k in names}
    return joined | {"ended": pieces[-1]["ended"]}


def assert_same(found, whole):
    assert found["ended"] == whole["ended"]
    for k in ("steps", "coords", "losses", "off"):
        np.testing.assert_array_equal(found[k], whole[k])


def plain_run(here, name, start, steps, lr):
    """Weights after an ordinary training loop from the same start."""
    model = copy.deepcopy(here.model)
    with here.at(start) as f, torch.no_grad():
        for k, p in model.named_parameters():
            p.copy_(f.point[k])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        optimizer = Contestant(name, name, lr).build(model, lr)
        for _ in range(steps):
            accumulated_step(
                model, optimizer, here.moving.batches, here.moving.run_loss
            )
    return {k: p.detach() for k, p in model.named_parameters()}


def test_a_walk_in_pieces_is_the_walk(explorer):
    here, start = explorer.map(), (0.3, 0.1)
    walker = Walker(here, "Adam", start, 5, 0.1)
    assert_same(in_pieces(walker), walk(here, "Adam", start, 5, 0.1))
    true = plain_run(here, "Adam", start, 5, 0.1)
    assert all(torch.equal(walker.point[k], true[k]) for k in true)


def test_walks_on_their_way_are_few_and_each_its_own(explorer):
    here, walks = explorer.map(), Walkers()
    path = walk(here, "SGD+", (0.3, 0.1), 4, 0.1)["losses"]
    begun = [
        walks.begin(Walker(here, "SGD+", (0.3, 0.1), 4, 0.1), 0.0)
        for _ in range(AT_ONCE + 1)
    ]
    with pytest.raises(ValueError, match="made room"):
        walks.further(begun[0]["walker"], 0.0)
    second, third = (b["walker"] for b in begun[1:3])
    for t in range(1, 5):
        found = walks.further(second, 0.0)
        assert found["losses"] == path[t]
        assert found["at"] == min(t + 1, 4)
    assert found["done"]
    walks.stop(third)
    for gone in (second, third):
        with pytest.raises(ValueError, match="no longer kept"):
            walks.further(gone, 0.0)


@pytest.mark.full
def test_directions_ways_and_networks_side_by_side(data):
    both = Explorer(
        network(norm=True), LOSS, data, beside=network(1, norm=True)
    )
    plain = both.map()
    assert both.ways == ("eval", "train", "recalibrate")
    point = [[0.3, 0.3]]
    seen = {
        float(both.map(**more).losses(point)[0])
        for more in (
            {}, {"side": 1}, {"seed": 1}, {"statistics": "train"},
            {"directions": "hessian"}, {"directions": "gradient,random"},
        )
    }  # fmt: skip
    assert len(seen) == 6
    assert both.map() is plain
    assert "checkpoints" not in both.directions


def test_a_window_is_a_record(explorer, data):
    record = explorer.surface((0.5, -0.25), 0.5, points=5)
    assert 0.0 in record.alphas
    assert 0.0 in record.betas
    corner = [(record.alphas[-1], record.betas[0])]
    assert record.losses[-1, 0] == pytest.approx(
        written(explorer.map(), corner, data)[0], rel=1e-5
    )
    assert record.centre_loss == pytest.approx(explorer.map().centre)


@pytest.mark.parametrize("most", [7, pytest.param(1, marks=pytest.mark.full)])
def test_a_tile_in_pieces_is_the_tile(data, most, tmp_path):
    at, pieces = Address(1, 0, 1), Explorer(
        network(), LOSS, data, out=tmp_path
    ).map()  # fmt: skip
    whole = Explorer(network(), LOSS, data).map().tile(at)
    for stride in (16, 8):
        first = 0
        while first < (SIDE // stride) ** 2:
            found, last = pieces.piece(at, stride, first, most)
            assert first < last
            np.testing.assert_allclose(
                found.ravel()[:last],
                whole[::stride, ::stride].ravel()[:last],
                rtol=1e-6,
            )
            first = last
    np.testing.assert_allclose(pieces.tile(at), whole, rtol=1e-6)


def test_a_probe_s_turn_comes_after_a_few_points_of_a_slow_tile(data):
    """No more is evaluated at once than takes about half a second."""
    here = Explorer(network(), LOSS, data)
    plane = {"side": 0, "directions": "random", "seed": 0,
             "statistics": "eval"}  # fmt: skip
    tile = {"ask": "tile", **plane, "level": 2, "i": 1, "j": 1}
    quick = answer(here, {"ask": "plane", **plane})["strides"]
    here.map().seconds = 0.15  # as if
    slow = answer(here, {"ask": "plane", **plane})["strides"]
    assert (list(quick), list(slow)) == ([4, 1], [16, 8, 4, 1])
    asked = []
    losses = here.map().losses
    here.map().losses = lambda c: asked.append(len(c)) or losses(c)
    first = 0
    while first < 16:
        found = answer(here, {**tile, "stride": 8, "first": first})
        first += len(base64.b64decode(found["losses"])) // 4
    assert asked == [3, 3, 3, 3, 3, 1]


KILLED = """
import os, sys, torch
from torch import nn
from dldna.explorer import Explorer
from dldna.explorer.addresses import Address
torch.manual_seed(0)
x = torch.eye(3)
maps = Explorer(nn.Linear(3, 1), nn.MSELoss(), (x, x[:, :1]), out=sys.argv[1])
maps.map().tile(Address(0, 0, 0), 4)
print(maps.map().piece(Address(1, 0, 0), 1, 0, 500)[1], flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.full
@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_what_a_killed_process_has_found_is_shown_again(tmp_path, monkeypatch):
    call = [sys.executable, "-c", KILLED, str(tmp_path)]
    ran = subprocess.run(call, capture_output=True, text=True, check=False)
    assert ran.returncode == -signal.SIGKILL, ran.stderr
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net, x = nn.Linear(3, 1), torch.eye(3)
    call = net, nn.MSELoss(), (x, x[:, :1])
    true = Explorer(*call).map()
    here = Explorer(*call, out=tmp_path).map()

    def refuse(*_):
        raise AssertionError("evaluated again")

    monkeypatch.setattr(here, "losses", refuse)
    np.testing.assert_allclose(
        here.tile(Address(0, 0, 0), 4), true.tile(Address(0, 0, 0), 4), 1e-6
    )
    last = int(ran.stdout)
    found, known = here.piece(Address(1, 0, 0), 1, 0, 0)
    assert known == last >= 500
    np.testing.assert_allclose(
        found.ravel()[:last], true.tile(Address(1, 0, 0)).ravel()[:last], 1e-6
    )
