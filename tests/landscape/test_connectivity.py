"""Curves and permutations against closed forms, torch and brute force."""

import copy
import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from dldna import params
from dldna.landscape.curves import (
    KINDS,
    Curve,
    barrier,
    check_spec,
    coefficients,
    fit_curve,
    match_weights,
    mlp_spec,
    permute,
    plane_through,
    segment,
    spec_of,
    walk,
)
from dldna.records import Line

CE = nn.CrossEntropyLoss()


def mlp(seed, width=32, norm=False, act=nn.ReLU):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = []
        for n_in in (12, width):
            layers += [nn.Linear(n_in, width)]
            layers += [nn.BatchNorm1d(width)] if norm else []
            layers += [act()]
        return nn.Sequential(*layers, nn.Linear(width, 4))


@pytest.fixture(scope="module")
def data():
    """Four noisy, curved classes in 12 dimensions, in four batches."""
    g = torch.Generator().manual_seed(0)
    y = torch.arange(800) % 4
    angle = y * 1.57 + torch.randn(800, generator=g) * 0.4
    x = torch.randn(800, 12, generator=g) * 0.6
    x[:, 0] += 1.5 * angle.cos() + 0.3 * x[:, 2]
    x[:, 1] += 1.5 * angle.sin() + x[:, 3].square()
    return [(x[i], y[i]) for i in torch.arange(800).split(200)]


TRAINED = {}


def trained(seed, data, norm=False):
    """A network of its own each time, trained once."""
    if (seed, norm) not in TRAINED:
        TRAINED[seed, norm] = train(mlp(seed, norm=norm), data)
    return copy.deepcopy(TRAINED[seed, norm])


def train(model, data):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(60):
        for x, y in data:
            optimizer.zero_grad()
            CE(model(x), y).backward()
            optimizer.step()
    return model.eval()


@pytest.fixture(scope="module")
def pairs(data):
    return [(trained(2 * i, data), trained(2 * i + 1, data)) for i in range(5)]


def direct_loss(model, data):
    with torch.no_grad():
        return float(
            torch.stack([CE(model(x), y).double() for x, y in data]).mean()
        )


def everything(model):
    state = {k: v.clone() for k, v in model.state_dict().items()}
    modes = [m.training for m in model.modules()]
    return state, modes, torch.random.get_rng_state()


def assert_unmoved(model, before):
    state, modes, rng = before
    for k, v in model.state_dict().items():
        assert torch.equal(v, state[k])
    assert [m.training for m in model.modules()] == modes
    assert torch.equal(torch.random.get_rng_state(), rng)
    assert all(p.requires_grad for p in model.parameters())
    assert all(p.grad is None for p in model.parameters())


# Curves


def test_curves_are_garipovs():
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    bezier = torch.stack([(1 - t) ** 2, 2 * t * (1 - t), t**2], 1)
    torch.testing.assert_close(coefficients("bezier", t, 3), bezier)
    first = torch.stack([2 * (0.5 - t), 2 * t, 0 * t], 1)
    second = torch.stack([0 * t, 2 * (1 - t), 2 * (t - 0.5)], 1)
    chain = torch.where((t <= 0.5)[:, None], first, second)
    torch.testing.assert_close(coefficients("chain", t, 3), chain)
    for kind, n in itertools.product(KINDS, (2, 5)):
        rows = coefficients(kind, t, n)
        torch.testing.assert_close(rows.sum(1), torch.ones_like(t))
        assert (rows >= 0).all()


def test_ends_are_the_networks_bit_by_bit():
    a, b, c = (params.of(mlp(seed)) for seed in range(3))
    for kind in KINDS:
        curve = Curve([a, c, b], kind)
        for t, end in ((0.0, a), (1.0, b)):
            assert all(torch.equal(curve.at(t)[k], end[k]) for k in end)


def test_walk_equals_the_networks_own_losses(data):
    a, b = mlp(0).eval(), mlp(1).eval()
    other = mlp(5).train()
    before = everything(other)
    line = walk(other, segment(a, b), CE, data, 5, metrics="accuracy")
    assert_unmoved(other, before)
    assert line.losses[0] == pytest.approx(direct_loss(a, data), rel=1e-6)
    assert line.losses[-1] == pytest.approx(direct_loss(b, data), rel=1e-6)
    middle = mlp(7).eval()
    with torch.no_grad():
        for p, u, v in zip(
            middle.parameters(), a.parameters(), b.parameters(), strict=True
        ):
            p.copy_((u + v) / 2)
    assert line.losses[2] == pytest.approx(direct_loss(middle, data), rel=1e-5)
    right = sum((middle(x).argmax(1) == y).sum() for x, y in data) / 800
    assert line.metrics["accuracy"][2] == pytest.approx(float(right))
    far = params.norm(params.sub(params.of(a), params.of(b)))
    np.testing.assert_allclose(
        line.metrics["length"], np.linspace(0, far, 5), rtol=1e-6
    )


def test_length_of_a_chain():
    a, b, c = (params.of(mlp(seed)) for seed in range(3))
    way = sum(params.norm(params.sub(c, end)) for end in (a, b))
    x = torch.zeros(2, 12), torch.zeros(2, dtype=torch.long)
    line = walk(mlp(0), Curve([a, c, b], "chain"), CE, x, 3)
    assert line.metrics["length"][-1] == pytest.approx(way, rel=1e-6)


def whole(data):
    """All batches in one."""
    if isinstance(data[0], torch.Tensor):
        return data
    return tuple(torch.cat(t) for t in zip(*data, strict=True))


def test_statistics_are_recomputed_along_the_way(data):
    a, b = (trained(seed, data, norm=True) for seed in (0, 1))
    line = walk(a, segment(a, b), CE, data, 5)
    between = copy.deepcopy(a)
    with torch.no_grad():
        for p, q in zip(between.parameters(), b.parameters(), strict=True):
            p.copy_((p + q) / 2)
    update_bn([whole(data)], between)
    assert line.losses[2] == pytest.approx(
        direct_loss(between.eval(), data), rel=1e-5
    )
    frozen = walk(a, segment(a, b), CE, data, 5, statistics="eval")
    assert frozen.losses[-1] > 2 * line.losses[-1]
    assert line.provenance.notes["statistics"] == "recalibrate"


def test_barrier():
    t = np.linspace(0, 1, 101)
    hill = Line(t, 2 + t + np.sin(np.pi * t))
    assert barrier(hill) == pytest.approx(1.0)
    assert barrier(Line(t, 2 + t - np.sin(np.pi * t))) == 0
    assert np.isnan(barrier(Line(t, np.where(t == 0.5, np.nan, 1.0))))
    wide = np.linspace(-1, 2, 7)  # only what lies between counts
    assert barrier(Line(wide, wide**2)) == 0
    with pytest.raises(ValueError, match="both ends"):
        barrier(Line(t[1:], t[1:]))


# Fitting


@pytest.mark.parametrize("norm", [False, True])
def test_one_step_is_gradient_descent_on_the_bend(data, norm):
    """With batch normalisation the batch's own statistics are used."""
    a, b = (params.of(mlp(seed, norm=norm)) for seed in (0, 1))
    model = mlp(9, norm=norm).train()
    curve = fit_curve(
        model,
        a,
        b,
        CE,
        data[:1],
        steps=1,
        seed=4,
        optimizer=lambda p: torch.optim.SGD(p, lr=0.5),
    )
    t = float(
        torch.rand(
            1, generator=torch.Generator().manual_seed(4), dtype=torch.float64
        )
    )
    middle = {k: (a[k] + b[k]) / 2 for k in a}
    at = {
        k: (1 - t) ** 2 * a[k] + 2 * t * (1 - t) * middle[k] + t**2 * b[k]
        for k in a
    }
    at = {k: v.requires_grad_() for k, v in at.items()}
    x, y = data[0]
    loss = CE(torch.func.functional_call(model, at, x), y)
    loss.backward()
    assert curve.losses[0] == pytest.approx(float(loss.detach()), rel=1e-5)
    for k, bend in curve.bends[0].items():
        wanted = middle[k] - 0.5 * 2 * t * (1 - t) * at[k].grad
        torch.testing.assert_close(bend, wanted, rtol=1e-4, atol=1e-6)


def test_a_curve_fitted_to_sums_is_that_of_the_mean(data):
    a, b = mlp(0, 6), mlp(1, 6)
    losses = nn.CrossEntropyLoss(), nn.CrossEntropyLoss(reduction="sum")
    mean, summed = (
        fit_curve(a, a, b, loss, data, steps=10).at(0.5) for loss in losses
    )
    for name, value in mean.items():
        torch.testing.assert_close(summed[name], value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm", [False, True])
def test_fit_leaves_everything_where_it_was(data, kind, norm):
    a, b, model = (mlp(seed, norm=norm) for seed in range(3))
    before = [everything(m) for m in (a, b, model)]
    options = {"kind": kind, "bends": 2, "steps": 5}
    first = fit_curve(model, a, b, CE, data, seed=1, **options)
    again = fit_curve(model, a, b, CE, data, seed=1, **options)
    other = fit_curve(model, a, b, CE, data, seed=2, **options)
    for m, was in zip((a, b, model), before, strict=True):
        assert_unmoved(m, was)
    for end, m in ((first.points[0], a), (first.points[-1], b)):
        assert all(torch.equal(end[k], v) for k, v in params.of(m).items())
    np.testing.assert_array_equal(first.losses, again.losses)
    assert (first.losses != other.losses).any()
    assert len(first.points) == 4
    assert not any(v.requires_grad for p in first.points for v in p.values())


def test_a_diverging_fit_says_so(data):
    a, b = mlp(0), mlp(1)
    with pytest.raises(FloatingPointError, match="learning rate"):
        fit_curve(
            a,
            a,
            b,
            lambda output, target: output.square().mean() * 1e30,
            data,
            optimizer=lambda p: torch.optim.SGD(p, lr=1e10),
        )


# Permutations


@pytest.mark.parametrize(
    ("seed", "norm"),
    [(0, False), (1, False), (2, False), (3, False), (0, True), (1, True)],
)
def test_a_permuted_copy_is_recovered(data, seed, norm):
    model = trained(seed, data, norm=norm)
    spec = mlp_spec(model)
    generator = torch.Generator().manual_seed(seed)
    order = {
        g: torch.randperm(32, generator=generator)
        for g in ("hidden1", "hidden2")
    }
    state = model.state_dict()
    shuffled = permute(state, spec, order)
    far = walk(model, segment(model, shuffled), CE, data)
    match = match_weights(state, shuffled, spec)
    back = match.apply(shuffled)
    assert all(torch.equal(back[k], state[k]) for k in state)
    near = walk(model, segment(model, back), CE, data)
    assert barrier(far) > 0.05
    assert barrier(near) < 1e-6
    assert match.after > match.before


@pytest.mark.full
def test_two_networks_before_and_after_alignment(data, pairs):
    """Over five pairs: alignment lowers every barrier, a curve too."""
    rows = []
    for i, (a, b) in enumerate(pairs):
        spec = mlp_spec(a)
        pa, pb = params.of(a), params.of(b)
        aligned = match_weights(pa, pb, spec, tries=3).apply(pb)
        curve = fit_curve(a, a, b, CE, data, seed=i, steps=200)
        rows.append(
            [
                barrier(walk(a, way, CE, data))
                for way in (segment(a, b), segment(pa, aligned), curve)
            ]
        )
        line = walk(a, segment(pa, aligned), CE, data, 2)
        assert line.losses[1] == pytest.approx(direct_loss(b, data), rel=1e-5)
    straight, matched, curved = np.array(rows).T
    print(np.round(rows, 4))
    assert (matched < 0.8 * straight).all()
    assert (curved < 0.5 * straight).all()
    assert np.mean(matched) < np.mean(straight) / 2


def test_one_layer_is_matched_best_of_all():
    g = torch.Generator().manual_seed(0)
    spec = {"u": ("h", None), "b": ("h",), "v": (None, "h")}
    for _ in range(5):
        a, b = (
            {
                "u": torch.randn(5, 3, generator=g),
                "b": torch.randn(5, generator=g),
                "v": torch.randn(2, 5, generator=g),
            }
            for _ in range(2)
        )
        found = match_weights(a, b, spec)
        best = max(
            params.dot(a, permute(b, spec, {"h": torch.tensor(order)}))
            for order in itertools.permutations(range(5))
        )
        assert found.after == pytest.approx(best, rel=1e-6)
        same = params.dot(a, found.apply(b))
        assert same == pytest.approx(found.after, rel=1e-6)


def test_two_layers_reach_the_best_with_tries():
    g = torch.Generator().manual_seed(1)
    spec = {"u": ("h", None), "v": ("k", "h"), "w": (None, "k")}
    shapes = {"u": (4, 2), "v": (4, 4), "w": (2, 4)}
    orders = [torch.tensor(o) for o in itertools.permutations(range(4))]
    once = 0
    for seed in range(5):
        a, b = (
            {k: torch.randn(s, generator=g) for k, s in shapes.items()}
            for _ in range(2)
        )
        best = max(
            params.dot(a, permute(b, spec, {"h": h, "k": k}))
            for h in orders
            for k in orders
        )
        found = match_weights(a, b, spec, tries=40, seed=seed)
        assert found.after == pytest.approx(best, rel=1e-6)
        once += match_weights(a, b, spec).after < best - 1e-6
    assert once > 0  # one descent alone ends in a local optimum


# a group on two axes of one tensor, as skip connections and recurrent
# layers have it; with others beside it
TWICE = {
    "alone": ({"w": ("h", "h")}, {"w": (4, 4)}),
    "recurrent": (
        {"in": ("h", None), "w": ("h", "h"), "b": ("h",), "out": (None, "h")},
        {"in": (4, 2), "w": (4, 4), "b": (4,), "out": (2, 4)},
    ),
    "residual": (
        {"u": ("h", None), "a": ("k", "h", None), "b": ("h", "k", None),
         "c": ("h", "h", None)},
        {"u": (4, 2), "a": (3, 4, 2), "b": (4, 3, 2), "c": (4, 4, 3)},
    ),
    "apart": (
        {"w": ("h", "k", "h"), "v": ("k", None)},
        {"w": (4, 3, 4), "v": (3, 2)},
    ),
    "three axes": ({"w": ("h", "h", "h")}, {"w": (4, 4, 4)}),
}  # fmt: skip


def _orders(spec, shapes):
    """All permutations of all groups."""
    sizes = {
        group: n
        for name, axes in spec.items()
        for group, n in zip(axes, shapes[name], strict=True)
        if group
    }
    every = [
        [torch.tensor(o) for o in itertools.permutations(range(n))]
        for n in sizes.values()
    ]
    for chosen in itertools.product(*every):
        yield dict(zip(sizes, chosen, strict=True))


@pytest.mark.parametrize("kind", TWICE)
@pytest.mark.parametrize("draw", ["whole", "normal"])
def test_a_group_on_two_axes_never_falls_and_reaches_the_best(kind, draw):
    spec, shapes = TWICE[kind]
    g = torch.Generator().manual_seed(2)
    reached = 0
    for seed in range(5):
        a, b = (
            {
                k: torch.randint(-2, 3, s, generator=g).double()
                if draw == "whole"
                else torch.randn(s, generator=g, dtype=torch.float64)
                for k, s in shapes.items()
            }
            for _ in range(2)
        )
        values = [
            (params.dot(a, permute(b, spec, o)), o)
            for o in _orders(spec, shapes)
        ]
        best = max(v for v, _ in values)
        once = match_weights(a, b, spec, seed=seed)
        assert once.after >= once.before - 1e-9
        assert once.after == pytest.approx(
            params.dot(a, once.apply(b)), abs=1e-9
        )
        assert once.sweeps < 100
        if kind != "three axes":  # no exchange of two units helps
            for value, order in values:
                away = [
                    int((order[k] != once.permutations[k]).sum())
                    for k in order
                ]
                if sum(away) == 2:
                    assert value <= once.after + 1e-9
        many = match_weights(a, b, spec, tries=12, seed=seed)
        reached += many.after >= best - 1e-9
        assert many.after >= once.after - 1e-9
    assert reached >= (4 if kind != "three axes" else 2)  # of 5


def test_the_smallest_case_that_fell():
    a = torch.tensor([[1.0, -1, 1], [-1, 0, -1], [0, 0, 0]])
    b = torch.tensor([[-1.0, 1, 1], [-1, -1, 0], [1, -1, -1]])
    found = match_weights({"w": a}, {"w": b}, {"w": ("h", "h")})
    assert (found.before, found.after) == (0, 2)


class Residual(nn.Module):
    """A convolution, a skip connection and a linear layer."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 6, 3, padding=1)
        self.inner = nn.Conv2d(6, 6, 3, padding=1)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        x = torch.relu(self.first(x))
        x = x + torch.tanh(self.inner(x))
        return self.head(x.mean((2, 3)))


RESIDUAL = {
    "first.weight": ("c", None, None, None),
    "first.bias": ("c",),
    "inner.weight": ("c", "c", None, None),
    "inner.bias": ("c",),
    "head.weight": (None, "c"),
}


def test_a_spec_by_hand():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, x = Residual(), torch.randn(2, 1, 5, 5)
    check_spec(model, RESIDUAL, x)
    state = params.of(model)
    order = {"c": torch.tensor([3, 0, 5, 1, 4, 2])}
    shuffled = permute(state, RESIDUAL, order)
    back = match_weights(state, shuffled, RESIDUAL, tries=5).apply(shuffled)
    assert all(torch.equal(back[k], state[k]) for k in state)
    wrong = RESIDUAL | {"inner.weight": ("d", "c", None, None)}
    with pytest.raises(ValueError, match="changes the network's outputs"):
        check_spec(model, wrong, x)
    lacking = {k: v for k, v in RESIDUAL.items() if k != "first.bias"}
    with pytest.raises(ValueError, match="axis is missing"):
        check_spec(model, lacking, x)
    found = spec_of(model, x)
    named = {"hidden1": "c", None: None}
    assert {
        k: tuple(named[g] for g in axes)
        for k, axes in found.items()
        if any(axes)
    } == RESIDUAL


class Own(nn.Module):
    """A reader's own activation: no parameters, elementwise."""

    def forward(self, x):
        return x * torch.sigmoid(x)


@pytest.mark.parametrize("act", [nn.Tanh, nn.GELU, nn.PReLU, Own])
def test_spec_of_a_perceptron(act):
    model = nn.Sequential(nn.Flatten(), mlp(0, act=act), nn.Dropout())
    before = everything(model)
    spec = mlp_spec(model)
    assert_unmoved(model, before)
    assert spec["1.0.weight"] == ("hidden1", None)
    assert spec["1.2.weight"] == ("hidden2", "hidden1")
    assert spec["1.2.bias"] == ("hidden2",)
    assert spec["1.4.weight"] == (None, "hidden2")
    assert spec["1.4.bias"] == (None,)


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Sigmoid()), "no hidden"),
        (nn.Sequential(nn.Conv1d(1, 2, 3)), "give inputs"),
    ],
)
def test_networks_without_hidden_units(model, text):
    with pytest.raises(ValueError, match=text):
        mlp_spec(model)


def test_layers_out_of_order_do_not_matter():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.b, self.a = nn.Linear(4, 4), nn.Linear(4, 4)
            self.c = nn.Linear(4, 4)

        def forward(self, x):
            return self.c(self.b(torch.relu(self.a(x)).square()).tanh())

    spec = mlp_spec(Backwards())
    assert spec["a.weight"] == ("hidden2", None)
    assert spec["b.weight"] == ("hidden1", "hidden2")
    assert spec["c.weight"] == (None, "hidden1")


def test_plane_through_three_points():
    a, b, c = (params.of(mlp(seed)) for seed in range(3))
    plane = plane_through(a, b, c)
    for point, corner in zip((a, b, c), plane.notes["corners"], strict=True):
        coords, off = plane.project(point)
        assert off < 1e-4
        np.testing.assert_allclose(coords, corner, atol=1e-5)
        back = params.sub(plane.point(corner), point)
        assert params.norm(back) < 1e-4
    u, v = plane.vectors
    assert params.norm(u) == pytest.approx(1, rel=1e-6)
    assert params.norm(v) == pytest.approx(1, rel=1e-6)
    assert params.dot(u, v) == pytest.approx(0, abs=1e-6)
    far = params.norm(params.sub(a, b))
    np.testing.assert_allclose(
        plane.notes["corners"][:2], [[0, 0], [far, 0]], rtol=1e-5, atol=1e-5
    )
    with pytest.raises(ValueError, match="span"):
        plane_through(a, b, params.add(a, params.sub(b, a), scale=2.0))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda m, d: fit_curve(m, m, m, CE, d, kind="bezir"), "'bezier'"),
        (lambda m, d: fit_curve(m, m, m, CE, d, bends=0), "bends"),
        (lambda m, d: fit_curve(m, m, m, CE, d, steps=0), "steps"),
        (lambda m, d: fit_curve(m, m, mlp(0, 8), CE, d), "shape"),
        (lambda m, d: walk(m, segment(m, m), CE, d, 1), "points"),
        (lambda m, d: walk(m, segment(m, m), CE, []), "empty"),
        (lambda m, d: walk(mlp(0, 8), segment(m, m), CE, d), "shape"),
        (
            lambda m, d: match_weights(
                params.of(m), params.of(mlp(0, 8)), mlp_spec(m)
            ),
            "shape",
        ),
        (
            lambda m, d: match_weights(
                params.of(m), params.of(m), {"nothing": ("h",)}
            ),
            "names no parameter",
        ),
    ],
)
def test_bad_input_is_named(data, call, text):
    with pytest.raises(ValueError, match=text):
        call(mlp(0), data)
