"""A slice of two parameters against torch, differences and closed forms."""

import copy
import itertools
import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dldna import landscape, params
from dldna.landscape import Slice, toy_network, toy_regression
from dldna.landscape.slice import batched, toy

ACTIVATIONS = ("relu", "sigmoid", "tanh")
PLACES = [
    (layer, row, col)
    for layer, (n, m) in enumerate(itertools.pairwise(toy.WIDTHS))
    for row in range(m)
    for col in range(-1, n)
]
PAIRS = [
    ((1, 0, 0), (1, 0, 1)),  # one row
    ((1, 0, 0), (1, 2, 1)),  # two rows
    ((0, 1, 2), (0, 0, -1)),  # the first layer, with a bias
    ((0, 1, 2), (2, 0, 1)),  # two layers
    ((0, 1, 2), (1, 0, 1)),  # the second weight multiplies the first's unit
    ((1, 0, -1), (3, 0, 0)),
    ((3, 0, 2), (3, 0, -1)),  # the last layer
    ((2, 1, -1), (2, 1, 2)),
]


def put(net, free, point):
    """A copy of the network with two parameters set."""
    twin = copy.deepcopy(net)
    linear = [m for m in twin if isinstance(m, nn.Linear)]
    with torch.no_grad():
        for (layer, row, col), value in zip(free, point, strict=True):
            m = linear[layer]
            (m.bias if col < 0 else m.weight[:, col])[row] = value
    return twin, linear


def by_torch(net, free, point, x, y):
    """Loss and the two derivatives, by autograd."""
    twin, linear = put(net, free, point)
    loss = F.mse_loss(twin(x).squeeze(1), y)
    loss.backward()
    grads = [
        linear[k].bias.grad[i] if j < 0 else linear[k].weight.grad[i, j]
        for k, i, j in free
    ]
    return loss.detach(), torch.stack(grads)


def test_the_data_are_the_published_ones():
    x, y = toy_regression()
    assert x.shape == (1000, 3)
    assert y.shape == (1000,)
    axis = x[:10, 2]
    torch.testing.assert_close(axis[1] - axis[0], torch.tensor(4 / 9).double())
    assert len(torch.unique(x, dim=0)) == 1000
    clean = x[:, 0] * x[:, 1] - x[:, 2] ** 2 - x[:, 1]
    assert clean.mean().item() == pytest.approx(-1.62963, abs=5e-6)
    variance = clean.var(correction=0).item()
    assert variance == pytest.approx(6.34550, abs=5e-6)
    assert clean.square().mean().item() == pytest.approx(9.00119, abs=5e-6)
    assert variance + toy.NOISE**2 == pytest.approx(6.3555, abs=5e-6)


def test_noise_has_its_size_and_follows_the_seed():
    x, y = toy_regression(3)
    noise = y - (x[:, 0] * x[:, 1] - x[:, 2] ** 2 - x[:, 1])
    # Standard deviations of the mean and of the variance of 1,000 draws.
    assert abs(noise.mean()) < 4 * 0.1 / 1000**0.5
    assert abs(noise.var() - 0.01) < 4 * 0.01 * (2 / 1000) ** 0.5
    assert torch.equal(y, toy_regression(3)[1])
    assert not torch.equal(y, toy_regression(4)[1])


def test_the_best_constant_of_the_data_is_their_variance():
    losses = []
    for seed in range(40):
        _, y = toy_regression(seed)
        losses.append((y - y.mean()).square().mean().item())
    assert np.mean(losses) == pytest.approx(6.3555, abs=0.02)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_network_has_thirty_weights_and_ten_biases(activation):
    net = toy_network(activation, seed=1)
    sizes = {k: v.numel() for k, v in net.named_parameters()}
    assert sum(n for k, n in sizes.items() if "weight" in k) == 30
    assert sum(n for k, n in sizes.items() if "bias" in k) == 10
    assert [type(m) for m in net[1::2]] == [toy.ACTIVATIONS[activation]] * 3


def test_the_start_is_torchs_own():
    with torch.random.fork_rng():
        torch.manual_seed(7)
        wanted = nn.Sequential(
            nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 1)
        ).double()
    state = torch.get_rng_state()
    got = toy_network("tanh", 7)
    assert torch.equal(state, torch.get_rng_state())
    flat = [params.flatten(params.of(n)) for n in (got, wanted)]
    assert torch.equal(*flat)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_trained_networks_fit_better_than_they_began(activation):
    x, y = toy_regression()
    for seed in range(5):
        before, after = (
            F.mse_loss(toy_network(activation, seed, t)(x).squeeze(1), y)
            for t in (False, True)
        )
        assert after < before
    with pytest.raises(ValueError, match="no trained network of seed 5"):
        toy_network(activation, 5, trained=True)


@pytest.mark.parametrize("free", PAIRS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_loss_and_gradient_are_torchs(activation, free):
    net, (x, y) = toy_network(activation, 3), toy_regression()
    part = Slice.of(net, free, (x, y))
    generator = torch.Generator().manual_seed(0)
    points = 2 * torch.randn(4, 2, generator=generator, dtype=x.dtype)
    index = torch.randperm(1000, generator=generator)[:64]
    for chosen in (None, index):
        losses, gradients = part.gradient(points, chosen)
        at = slice(None) if chosen is None else chosen
        for p, point in enumerate(points):
            loss, g = by_torch(net, free, point, x[at], y[at])
            torch.testing.assert_close(losses[p], loss, rtol=1e-12, atol=0)
            torch.testing.assert_close(gradients[p], g, rtol=1e-10, atol=1e-13)
    torch.testing.assert_close(
        part.losses(points), part.gradient(points)[0], rtol=1e-14, atol=0
    )


@pytest.mark.full
def test_every_pair_of_parameters_can_be_free():
    net, (x, y) = toy_network("tanh", 2), toy_regression()
    point = torch.tensor([0.7, -0.4], dtype=x.dtype)
    x, y = x[::20], y[::20]
    assert len(PLACES) == 40
    for free in itertools.combinations(PLACES, 2):
        part = Slice.of(net, free, (x, y))
        loss, g = part.gradient(point[None])
        wanted, slope = by_torch(net, free, point, x, y)
        torch.testing.assert_close(loss[0], wanted, rtol=1e-12, atol=0)
        torch.testing.assert_close(g[0], slope, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_gradient_is_that_of_finite_differences(activation):
    part = Slice.of(toy_network(activation, 1))
    points = torch.tensor([[0.3, -2.0], [4.0, 1.5]], dtype=torch.float64)
    _, g = part.gradient(points)
    step = 1e-5 * torch.eye(2, dtype=torch.float64)
    rise = part.losses(points[:, None] + step)
    fall = part.losses(points[:, None] - step)
    torch.testing.assert_close(g, (rise - fall) / 2e-5, rtol=1e-7, atol=1e-9)


def test_blocks_change_nothing(monkeypatch):
    part = Slice.of(toy_network("relu", 0))
    points = torch.randn(33, 2, generator=torch.Generator().manual_seed(0))
    whole = part.gradient(points)
    monkeypatch.setattr(batched, "BLOCK", 3000)
    for a, b in zip(whole, part.gradient(points), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-13, atol=0)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_start_is_the_network_itself(activation):
    net, (x, y) = toy_network(activation, 0, trained=True), toy_regression()
    for free in PAIRS:
        part = Slice.of(net, free, (x, y))
        direct = F.mse_loss(net(x).squeeze(1), y)
        torch.testing.assert_close(part.losses(part.start), direct)


def test_surface_is_that_of_any_network():
    """The general way, centred where both parameters are zero."""
    free, (x, y) = ((1, 0, 0), (1, 2, 1)), toy_regression()
    net = toy_network("relu", 4)
    centre, _ = put(net, free, (0.0, 0.0))
    like = params.of(centre)
    directions = []
    for layer, row, col in free:
        unit = {k: torch.zeros_like(v) for k, v in like.items()}
        unit[f"{2 * layer}.weight"][row, col] = 1
        directions.append(landscape.Direction(unit, "one weight"))
    wanted = landscape.surface(
        centre,
        lambda out, batch: F.mse_loss(out.squeeze(1), batch[1]),
        (x, y),
        directions,
        extent=3.0,
        resolution=9,
        dtype="float64",
        way="slow",
    )
    got = Slice.of(net, free, (x, y)).surface(3.0, 9)
    np.testing.assert_allclose(got.alphas, wanted.alphas, atol=1e-12)
    np.testing.assert_allclose(got.losses, wanted.losses, rtol=1e-12)
    assert got.centre_loss == pytest.approx(wanted.centre_loss, rel=1e-12)
    assert got.losses[4, 4] == pytest.approx(got.centre_loss, rel=1e-12)
    assert got.directions == ["W2[1,1]", "W2[3,2]"]


def test_minimum_in_the_last_layer_is_least_squares():
    """There the slice is a parabola."""
    net, (x, y) = toy_network("tanh", 0), toy_regression()
    free = ((3, 0, 1), (3, 0, -1))
    part = Slice.of(net, free, (x, y))
    with torch.no_grad():
        h = net[:-1](x)
    rest = y - h[:, [0, 2]] @ net[-1].weight[0, [0, 2]].detach()
    design = torch.stack([h[:, 1], torch.ones(1000, dtype=x.dtype)], 1)
    wanted = torch.linalg.lstsq(design, rest[:, None]).solution[:, 0]
    assert wanted.abs().max() < 20
    point, loss = part.minimum(20.0, 41)
    torch.testing.assert_close(point, wanted, rtol=0, atol=1e-5)
    residual = (design @ wanted - rest).square().mean().item()
    assert loss == pytest.approx(residual, rel=1e-10)


def test_minimum_stays_in_the_window():
    part = Slice.of(toy_network("tanh", 0), ((3, 0, 1), (3, 0, -1)))
    window = (8.0, 9.0, 8.0, 9.0)
    point, loss = part.minimum(window, 11)
    assert (point >= 8).all()
    assert (point <= 9).all()
    assert loss <= part.surface(window, 11).losses.min()


def test_dict_is_json_and_enough_to_compute_the_loss():
    part = Slice.of(toy_network("sigmoid", 2), ((1, 0, 0), (1, 2, -1)))
    got = json.loads(json.dumps(part.to_dict(4.0, 5, start=(1.0, 2.0))))
    assert got["free"] == [[1, 0, 0], [1, 2, -1]]
    assert got["widths"] == [3, 3, 3, 3, 1]
    assert got["extent"] == [-4.0, 4.0, -4.0, 4.0]
    assert got["start"] == [1.0, 2.0]
    a, b = 2.0, -4.0  # column 3, row 0
    weights = [np.array(w) for w in got["weights"]]
    biases = [np.array(v) for v in got["biases"]]
    weights[1][0, 0], biases[1][2] = a, b
    h = np.array(got["x"])
    for i, (w, v) in enumerate(zip(weights, biases, strict=True)):
        h = h @ w.T + v
        h = 1 / (1 + np.exp(-h)) if i < 3 else h
    loss = np.mean((h[:, 0] - got["y"]) ** 2)
    assert got["grid"][0][3] == pytest.approx(loss, rel=1e-5)


def test_packed_grid_is_the_same():
    import base64

    part = Slice.of(toy_network("relu", 2))
    plain, packed = (part.to_dict(4.0, 7, packed=p) for p in (False, True))
    raw = base64.b64decode(packed["grid"])
    grid = np.frombuffer(raw, "<f4").reshape(packed["shape"])
    np.testing.assert_allclose(grid, plain["grid"], rtol=1e-5)


def test_the_model_is_only_read():
    net = toy_network("relu", 0)
    before = params.flatten(params.of(net)).clone()
    part = Slice.of(net)
    part.gradient(torch.ones(3, 2))
    part.surface(2.0, 5)
    assert torch.equal(before, params.flatten(params.of(net)))


@pytest.mark.parametrize(
    ("free", "says"),
    [
        (((1, 0, 0), (1, 0, 0)), "two different"),
        (((1, 0, 0),), "two different"),
        (((1, 0, 0), (4, 0, 0)), "no parameter at"),
        (((1, 0, 0), (1, 3, 0)), "no parameter at"),
        (((1, 0, 3), (1, 0, 0)), "no parameter at"),
        (((1, 0, -2), (1, 0, 0)), "no parameter at"),
    ],
)
def test_places_that_are_not_there(free, says):
    with pytest.raises(ValueError, match=says):
        Slice.of(toy_network(), free)


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Linear(3, 1), nn.GELU(), nn.Linear(1, 1)],
        [nn.Linear(3, 1), nn.ReLU(), nn.Linear(1, 1), nn.ReLU()],
        [nn.Linear(3, 3), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1)],
        [nn.Linear(3, 1), nn.ReLU(), nn.Linear(1, 1, bias=False)],
        [nn.Linear(3, 1)],
    ],
)
def test_other_networks_are_refused(layers):
    with pytest.raises(ValueError, match="linear layers with biases"):
        Slice.of(nn.Sequential(*layers))


def test_a_single_layer_and_strange_windows_are_refused():
    with pytest.raises(ValueError, match="linear layers with biases"):
        Slice.of(nn.Linear(3, 1))
    with pytest.raises(ValueError, match="one output"):
        Slice.of(
            nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2)),
            ((0, 0, 0), (0, 0, 1)),
        )
    with pytest.raises(ValueError, match="half width"):
        Slice.of(toy_network()).surface((1.0, 0.0, 0.0, 1.0))
    with pytest.raises(ValueError, match="did you mean 'relu'"):
        toy_network("relv")
