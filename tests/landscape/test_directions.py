"""Directions against Li et al.'s definition, eigenvectors and NumPy."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from dldna import params
from dldna.landscape import (
    DIRECTIONS,
    Direction,
    Plane,
    Recorder,
    Trajectory,
    choose_directions,
    entry_normalise,
    filter_normalise,
    layer_normalise,
    orthogonalise,
    surface,
    top_eigenpairs,
)
from dldna.landscape.space import named
from dldna.landscape.space.directions import Given, full_gradient
from dldna.landscape.space.plane import gram_matrix, least_squares


@pytest.fixture
def net():
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(),
        nn.Linear(4 * 16, 3),
    )  # fmt: skip


def li_reference(direction, weights):
    """The authors' rule, written as their paper writes it, in loops."""
    out = {}
    for name, w in weights.items():
        d = direction[name].clone()
        if d.dim() <= 1:
            d.fill_(0)
        else:
            for j in range(len(d)):
                d[j] *= w[j].norm() / (d[j].norm() + 1e-10)
        out[name] = d
    return out


def test_the_papers_rule_filter_by_filter(net):
    w = params.of(net)
    drawn = params.randn_like(w, torch.Generator().manual_seed(0))
    got, want = filter_normalise(drawn, w), li_reference(drawn, w)
    for name in w:
        torch.testing.assert_close(got[name], want[name])
    assert (got["0.bias"] == 0).all()
    assert (got["1.weight"] == 0).all()


def test_the_worked_example():
    w = {"w": torch.tensor([[3.0, 4.0], [0.0, 2.0]])}
    d = {"w": torch.tensor([[1.0, 0.0], [1.0, 1.0]])}
    r, s = 2**0.5, 3.1091264
    want = torch.tensor([[5.0, 0.0], [r, r]])
    torch.testing.assert_close(filter_normalise(d, w)["w"], want)
    want = torch.tensor([[s, 0.0], [s, s]])
    torch.testing.assert_close(layer_normalise(d, w)["w"], want)


def test_vectors_can_be_included(net):
    w = params.of(net)
    drawn = params.randn_like(w, torch.Generator().manual_seed(0))
    copied = filter_normalise(drawn, w, "copy")
    assert torch.equal(copied["1.weight"], w["1.weight"])
    scaled = filter_normalise(drawn, w, "normalise")
    torch.testing.assert_close(scaled["1.weight"].norm(), w["1.weight"].norm())
    with pytest.raises(ValueError, match="did you mean 'copy'"):
        filter_normalise(drawn, w, "cpoy")


def test_a_filter_of_zeros_gets_no_direction():
    w = {"w": torch.tensor([[0.0, 0.0], [1.0, 0.0]])}
    d = {"w": torch.ones(2, 2)}
    assert filter_normalise(d, w)["w"][0].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("scale", [1e-30, 1e30, 1e36])
@pytest.mark.parametrize("vectors", ["zero", "normalise"])
@pytest.mark.parametrize("rule", [filter_normalise, layer_normalise])
def test_lengths_beyond_the_range_of_squares(rule, vectors, scale):
    g = torch.Generator().manual_seed(0)
    w, d = (
        {"w": torch.randn(3, 4, generator=g), "b": torch.randn(3, generator=g)}
        for _ in range(2)
    )
    w["w"][1] = 0
    one = rule(d, w, vectors)
    far = rule(d, {k: scale * v for k, v in w.items()}, vectors)
    for name in w:
        torch.testing.assert_close(far[name] / scale, one[name])
    if scale > 1:  # shorter than 1e-10 a direction counts as nothing
        far = rule({k: scale * v for k, v in d.items()}, w, vectors)
        for name in w:
            torch.testing.assert_close(far[name], one[name])


class Twins(nn.Module):
    """A convolution before normalisation, then ReLU layers."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.next = nn.Conv2d(4, 5, 3)
        self.one, self.two = nn.Linear(5, 6), nn.Linear(6, 3)

    def forward(self, x):
        x = torch.relu(self.norm(self.conv(x)))
        x = torch.relu(self.next(x)).mean((2, 3))
        return self.two(torch.relu(self.one(x)))


def _twin(net, kind):
    """The same function by other weights, in eval mode."""
    g = torch.Generator().manual_seed(3)
    n = 4 if kind in ("filters", "gain") else 6
    a = torch.exp(2 * torch.rand(n, generator=g) - 1)
    twin = copy.deepcopy(net)
    with torch.no_grad():
        if kind in ("layer", "units"):
            a = a[:1].expand(6) if kind == "layer" else a
            twin.one.weight.mul_(a[:, None])
            twin.one.bias.mul_(a)
            twin.two.weight.div_(a)
        elif kind == "filters":
            twin.conv.weight.mul_(a[:, None, None, None])
            twin.norm.running_mean.mul_(a)
            twin.norm.running_var.mul_(a**2)
        else:
            twin.norm.weight.mul_(a)
            twin.norm.bias.mul_(a)
            twin.next.weight.div_(a[:, None, None])
    return twin


TWINS = ("layer", "units", "filters", "gain")
UNDONE = {
    "random-raw": (),
    "random-layer": ("layer",),
    "random": ("layer", "filters"),
    "random-entry": TWINS,
}


@pytest.mark.parametrize("name", UNDONE)
@pytest.mark.parametrize("kind", TWINS)
def test_what_each_normalisation_undoes(name, kind):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net = Twins().double()
        x, y = torch.randn(40, 1, 7, 7).double(), torch.randint(3, (40,))
        net.train()(x)
        net.norm.eps = 1e-12  # a scale of the filters is undone exactly
        with torch.no_grad():
            net.norm.weight.uniform_(0.5, 2)
            net.norm.bias.normal_()
        net.eval()
    twin = _twin(net, kind)
    torch.testing.assert_close(twin(x), net(x), rtol=1e-6, atol=1e-8)
    pictures = [
        surface(
            m, nn.CrossEntropyLoss(), (x, y), name, 2.0, resolution=5, seed=2
        ).losses
        for m in (net, twin)
    ]
    ratio = float(np.exp(np.abs(np.log(pictures[0] / pictures[1])).max()))
    if kind in UNDONE[name]:
        assert ratio < 1.001
    else:
        assert ratio > 1.02


def test_entries_at_zero_stand_still():
    w = {"w": torch.tensor([[0.0, -2.0]]), "b": torch.tensor([3.0])}
    d = {"w": torch.tensor([[5.0, 5.0]]), "b": torch.tensor([2.0])}
    assert entry_normalise(d, w)["w"].tolist() == [[0, 10]]
    assert entry_normalise(d, w)["b"].tolist() == [0]
    assert entry_normalise(d, w, "copy")["b"].tolist() == [3]
    assert entry_normalise(d, w, "normalise")["b"].tolist() == [6]


@pytest.mark.parametrize(
    "name", ["random", "random-layer", "random-entry", "random-raw"]
)
def test_a_seed_decides_and_the_global_generator_does_not(net, name):
    def draw(seed):
        found = choose_directions(name, Given(net, seed=seed), 2)
        return [params.flatten(d.vector) for d in found]

    before = torch.random.get_rng_state()
    first = draw(5)
    assert torch.equal(before, torch.random.get_rng_state())
    torch.randn(7)
    again, other = draw(5), draw(6)
    assert all(map(torch.equal, first, again))
    assert not torch.equal(first[0], other[0])
    assert not torch.equal(first[0], first[1])


def test_gradient_matches_backward(net):
    x, y = torch.randn(10, 1, 6, 6), torch.randint(3, (10,))
    loss = nn.CrossEntropyLoss()
    twin = copy.deepcopy(net).eval()
    loss(twin(x), y).backward()
    want = {k: p.grad for k, p in twin.named_parameters()}
    data = [(x[:4], y[:4]), (x[4:], y[4:])]
    got = full_gradient(net, loss, data)
    for name, g in want.items():
        torch.testing.assert_close(got[name], g)
    assert all(p.grad is None for p in net.parameters())
    given = Given(net, loss, data)
    [d] = choose_directions("gradient", given, 1)
    assert params.norm(d.vector) == pytest.approx(1, abs=1e-5)
    with pytest.raises(ValueError, match="there is one gradient"):
        choose_directions("gradient", given, 2)
    both = choose_directions(("gradient", "random"), given, 2)
    assert [b.name for b in both] == [
        "gradient",
        "random, filter-normalised",
    ]


def test_towards_checkpoints_coordinate_one_is_the_checkpoint(net):
    other = copy.deepcopy(net)
    with torch.no_grad():
        for p in other.parameters():
            p.add_(torch.randn_like(p))
    third = {k: v * 2 for k, v in net.state_dict().items()}
    given = Given(net, others=[other, third])
    plane = Plane(given.origin, choose_directions("checkpoints", given, 2))
    for name, value in plane.point([1, 0]).items():
        torch.testing.assert_close(value, other.state_dict()[name])
    coords, distance = plane.project(params.of(other))
    assert coords.numpy() == pytest.approx([1, 0], abs=1e-6)
    assert distance < 1e-5
    with pytest.raises(ValueError, match="with 2 model"):
        choose_directions("checkpoints", Given(net, others=[other]), 2)
    with pytest.raises(ValueError, match="another network"):
        choose_directions("checkpoints", Given(net, others=[{"a": 1}]), 1)


def test_projection_is_least_squares_for_oblique_directions():
    generator = np.random.default_rng(0)
    basis = generator.normal(size=(3, 40))
    basis[1] += 3 * basis[0]
    target = generator.normal(size=40)
    want, rest, *_ = np.linalg.lstsq(basis.T, target, rcond=None)
    directions = [Direction({"w": torch.from_numpy(b)}) for b in basis]
    origin = {"w": torch.zeros(40, dtype=torch.float64)}
    plane = Plane(origin, directions)
    coords, distance = plane.project({"w": torch.from_numpy(target)})
    np.testing.assert_allclose(coords.numpy(), want, rtol=1e-10)
    assert distance == pytest.approx(np.sqrt(rest[0]), rel=1e-10)
    dots = basis @ target / (basis**2).sum(1)
    assert not np.allclose(dots, want, rtol=0.1)


def test_parallel_directions_are_refused():
    d = {"w": torch.tensor([1.0, 2.0])}
    with pytest.raises(ValueError, match="parallel"):
        least_squares([d, params.scale(d, -2.0)], d)
    with pytest.raises(ValueError, match="zero everywhere"):
        least_squares([d, params.scale(d, 0.0)], d)
    with pytest.raises(ValueError, match="span"):
        orthogonalise([Direction(d), Direction(params.scale(d, 3.0))])


def test_orthogonalised_directions_span_the_same_plane(net):
    given = Given(net, seed=1)
    plain = choose_directions("random", given, 2)
    right = choose_directions("random", Given(net, seed=1), 2, True)
    gram = gram_matrix([d.vector for d in right])
    assert abs(gram[0, 1]) < 1e-5 * gram[0, 0]
    plane = Plane(given.origin, right)
    point = params.add(given.origin, plain[1].vector)
    assert plane.project(point)[1] < 1e-4
    assert "perpendicular" in right[1].done


def test_own_directions_in_every_shape(net):
    w = params.of(net)
    drawn = params.randn_like(w, torch.Generator().manual_seed(0))
    flat = params.flatten(drawn)
    ways = [drawn, flat, flat.numpy(), list(drawn.values())]
    for way in ways:
        [got] = choose_directions([way], Given(net), 1)
        assert torch.equal(params.flatten(got.vector), flat)
    assert torch.equal(
        params.flatten(choose_directions(flat, Given(net), 1)[0].vector), flat
    )


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("hesian", "did you mean 'hessian'"),
        ("pca", "needs trajectory"),
        ([torch.zeros(5), torch.zeros(5)], "shape"),
        ([torch.ones(243)], "2 direction"),
        (["random"] * 3, "2 direction"),
        ([[torch.ones(3)], "random"], "must hold 6 tensors"),
        ([{"a": torch.ones(3)}, "random"], "unknown parameter .a.:"),
    ],
)
def test_bad_directions_are_named(net, bad, says):
    with pytest.raises(ValueError, match=says):
        choose_directions(bad, Given(net), 2)


def test_directions_that_lead_nowhere_are_refused(net):
    n = params.count(params.of(net))
    with pytest.raises(ValueError, match="NaN or infinity"):
        choose_directions([torch.full((n,), torch.nan)], Given(net), 1)
    with pytest.raises(ValueError, match="zero everywhere"):
        choose_directions([torch.zeros(n)], Given(net), 1)
    only_biases = nn.BatchNorm1d(3)
    with pytest.raises(ValueError, match="two or more axes"):
        choose_directions("random", Given(only_biases), 1)


def test_every_way_is_described():
    assert all(way.__doc__ for way in DIRECTIONS.values())
    source = Path(named.__file__).read_text(encoding="utf-8")
    listed = source.split("DIRECTIONS: dict", 1)[1]
    for name in DIRECTIONS:
        assert f'- "{name}": ' in listed, "add what it is to the list"


@pytest.mark.parametrize("name", DIRECTIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_way_gives_a_direction_and_touches_nothing(
    name, dtype, tmp_path
):
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Tanh(), nn.Linear(3, 2)
    ).to(dtype)
    other = copy.deepcopy(net)
    with torch.no_grad():
        for p in other.parameters():
            p.add_(torch.randn_like(p), alpha=0.1)
    recorder = Recorder(tmp_path / "run")
    with recorder:
        for step, share in enumerate((0.0, 0.3, 1.0)):
            at = copy.deepcopy(net)
            for p, q in zip(at.parameters(), other.parameters(), strict=True):
                p.data.add_(torch.sin(p + q).detach() * (1 - share))
            recorder.record(at, step)
    given = Given(
        net,
        nn.CrossEntropyLoss(),
        [(torch.randn(8, 4, dtype=dtype), torch.arange(8) % 2)],
        trajectory=Trajectory(tmp_path / "run"),
        others=[other],
    )
    before = copy.deepcopy(net.state_dict())
    state = torch.get_rng_state()
    [found] = choose_directions(name, given, 1)
    assert torch.equal(torch.get_rng_state(), state)
    for key, value in net.state_dict().items():
        assert torch.equal(value, before[key])
    assert all(p.grad is None for p in net.parameters())
    origin = params.of(net)
    assert found.vector.keys() == origin.keys()
    for key, value in found.vector.items():
        assert value.shape == origin[key].shape
        assert value.dtype == dtype
        assert bool(value.isfinite().all())
    assert params.norm(found.vector) > 0
    assert found.name
    assert found.done


def test_hessian_plane_keeps_what_its_eigenpairs_are_worth():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    x, y = torch.randn(40, 4), torch.randint(0, 2, (40,))
    loss = nn.CrossEntropyLoss()
    found = surface(
        net, loss, (x, y), "hessian", resolution=3, extent=0.1, pairs=3
    )
    notes = found.provenance.notes["hessian"]
    alone = top_eigenpairs(net, loss, (x, y), 3)
    np.testing.assert_allclose(notes["eigenvalues"], alone.eigenvalues)
    np.testing.assert_allclose(notes["errors"], alone.errors)
    assert max(notes["residuals"]) <= 1e-3
    assert len(notes["residuals"]) == 3
