"""Convexity maps are held to whole Hessians, at every point of the plane."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dldna import landscape, params, plotting
from dldna.landscape.curvature import serpentine
from dldna.landscape.curvature.extremes import extremes, predicted
from dldna.records import ConvexityMap


def net(kind="plain"):
    torch.manual_seed(0)
    first = nn.Linear(4, 5)
    middle = [nn.BatchNorm1d(5)] if kind == "norm" else []
    return nn.Sequential(first, *middle, nn.Tanh(), nn.Linear(5, 3)).double()


def batch():
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(30, 4, generator=draw, dtype=torch.float64)
    return x, torch.randint(0, 3, (30,), generator=draw)


def calibrated(model, x):
    """Running statistics that are those of the data."""
    norm = model[1]
    before = model[0](x)
    norm.running_mean.copy_(before.mean(0))
    norm.running_var.copy_(before.var(0))


def dense(model, point, statistics="eval", names=None):
    """The ends of the whole Hessian, by differentiating twice."""
    model, (x, y) = copy.deepcopy(model).eval(), batch()
    model.load_state_dict(point, strict=False)
    if statistics == "train":
        model[1].train()
    if statistics == "recalibrate":
        with torch.no_grad():
            calibrated(model, x)
    w = {k: p.detach() for k, p in model.named_parameters()}
    w = {k: p for k, p in w.items() if names is None or k in names}

    def loss(flat):
        at = params.unflatten(flat, w)
        return F.cross_entropy(torch.func.functional_call(model, at, (x,)), y)

    flat = torch.cat([p.flatten() for p in w.values()])
    whole = torch.autograd.functional.hessian(loss, flat)
    return torch.linalg.eigvalsh(whole)[[0, -1]].numpy()


def plane_of(model, names=None):
    draw = torch.Generator().manual_seed(0)
    like = params.of(model)
    pair = [params.randn_like(like, draw) for _ in range(2)]
    for direction in pair:
        for k in like if names is None else set(like) - set(names):
            direction[k] *= names is None
    return landscape.Plane(like, [landscape.Direction(d) for d in pair])


def oracle(model, plane, found, **options):
    """(A, B, 2) ends of whole Hessians."""
    return np.array(
        [
            [dense(model, plane.point([a, b]), **options) for b in found.betas]
            for a in found.alphas
        ]
    )


def held(model, resolution, statistics="eval", names=None, **options):
    plane = plane_of(model, names)
    found = landscape.convexity_map(
        model, F.cross_entropy, batch(), plane, resolution=resolution,
        tol=1e-4, statistics=statistics, params=names, **options,
    )  # fmt: skip
    right = oracle(model, plane, found, statistics=statistics, names=names)
    got = np.stack([found.smallest, found.largest], -1)
    size = np.abs(right).max(-1, keepdims=True)
    assert (np.abs(got - right) <= 1e-6 * size).all()
    np.testing.assert_allclose(
        found.ratio, np.abs(right[..., 0] / right[..., 1]), atol=1e-6
    )
    assert found.provenance.notes["not converged"] == 0
    return found


def test_both_ends_are_those_of_whole_hessians():
    held(net(), (2, 3))


CASES = {
    "frozen statistics": ("norm", {}),
    "statistics of the batch": ("norm", {"statistics": "train"}),
    "recalibrated": ("norm", {"statistics": "recalibrate"}),
    "one layer": ("plain", {"names": ["2.weight"]}),
    "a finer grid": ("plain", {"resolution": 7}),
}


@pytest.mark.full
@pytest.mark.parametrize("case", CASES)
def test_and_so_they_are(case):
    kind, options = CASES[case]
    model = net(kind)
    if kind == "norm":
        with torch.no_grad():
            calibrated(model, batch()[0])
    held(model, options.pop("resolution", 3), **options)


@pytest.mark.full
def test_differences_of_gradients_give_the_same():
    model, data = net(), batch()
    options = {"resolution": 2, "tol": 1e-3, "directions": plane_of(model)}
    one, two = (
        landscape.convexity_map(model, F.cross_entropy, data, way=w, **options)
        for w in ("reverse", "difference")
    )
    np.testing.assert_allclose(one.largest, two.largest, rtol=1e-5)


@pytest.mark.full
def test_between_two_networks_running_statistics_move_along():
    one, two = net("norm"), net("norm")
    with torch.no_grad():
        for p in two.parameters():
            p.mul_(1.3)
        for model in (one, two):
            calibrated(model, batch()[0])
    third = copy.deepcopy(two)
    with torch.no_grad():
        third[0].weight.add_(0.3)
    found = landscape.convexity_map(
        one, F.cross_entropy, batch(), "checkpoints", others=[two, third],
        resolution=2, extent=(0, 1), tol=1e-4,
    )  # fmt: skip
    np.testing.assert_allclose(
        [found.smallest[1, 0], found.largest[1, 0]],
        dense(two, dict(two.named_parameters())), rtol=1e-5,
    )  # fmt: skip


@pytest.mark.full
def test_warm_starts_find_what_cold_ones_do_with_fewer_products():
    model = net()
    warm, cold = (
        landscape.convexity_map(
            model, F.cross_entropy, batch(), plane_of(model), 0.1, 6,
            tol=0.1, warm=w,
        )
        for w in (True, False)
    )  # fmt: skip
    right = oracle(model, plane_of(model), warm)
    got = np.stack([warm.smallest, warm.largest], -1)
    np.testing.assert_allclose(got, right, rtol=0.1)
    # Rayleigh quotients lie within the spectrum
    assert (got[..., 0] >= right[..., 0] - 1e-12).all()
    assert (got[..., 1] <= right[..., 1] + 1e-12).all()
    assert warm.products.sum() < 0.8 * cold.products.sum()
    assert warm.products.sum() == warm.provenance.notes["search_products"]
    assert warm.provenance.notes["looked again"] == 1


@pytest.mark.full
def test_an_interrupted_map_goes_on_and_is_the_same(tmp_path, monkeypatch):
    model, data = net(), batch()
    given = model, F.cross_entropy, data, plane_of(model)
    whole = landscape.convexity_map(*given, resolution=4)
    row = serpentine.Serpentine.row

    def stopped(self, i, tick):
        if i == 2:
            raise KeyboardInterrupt
        return row(self, i, tick)

    monkeypatch.setattr(serpentine.Serpentine, "row", stopped)
    with pytest.raises(KeyboardInterrupt):
        landscape.convexity_map(*given, resolution=4, out=tmp_path)
    rows = []

    def counted(self, i, tick):
        rows.append(i)
        return row(self, i, tick)

    monkeypatch.setattr(serpentine.Serpentine, "row", counted)
    found = landscape.convexity_map(*given, resolution=4, out=tmp_path)
    assert rows == [2, 3]
    for name in serpentine.VALUES:
        np.testing.assert_array_equal(
            getattr(found, name), getattr(whole, name)
        )
    kept = ConvexityMap.load(tmp_path / "convexity.npz")
    np.testing.assert_array_equal(kept.ratio, whole.ratio)
    for other in ({"tol": 0.05}, {"seed": 3}, {"max_products": 9}):
        with pytest.raises(ValueError, match="tolerance or start"):
            landscape.convexity_map(
                *given, resolution=4, out=tmp_path, **other
            )


@pytest.mark.full
def test_what_is_not_finite_stays_so_and_the_walk_goes_on():
    class Root(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.tensor([1.0, 1.0]))

        def forward(self, x):
            return (self.w[0] + 0.5).sqrt() * x + self.w[1] ** 2

    x = torch.ones(4)
    found = landscape.convexity_map(
        Root(), lambda y, batch: y.mean(), (x, x),
        [torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])], 2.0, 5,
    )  # fmt: skip
    lost = np.isnan(found.largest)
    assert lost[:1].all()
    assert not lost[1:].any()
    np.testing.assert_allclose(found.largest[1:], 2, rtol=1e-5)
    a = found.alphas[1:, None] + np.zeros((1, 5)) + 1.5
    np.testing.assert_allclose(found.smallest[1:], -0.25 * a**-1.5, rtol=1e-4)
    ax = plotting.convexity(found)
    assert "5 points not finite" in ax.get_title()
    assert "5 values are not finite" in plotting.alt_text(found)
    mesh = ax.collections[0]
    np.testing.assert_array_equal(
        np.asarray(mesh.get_array())[1:], found.ratio[1:]
    )


@pytest.mark.full
def test_a_path_is_projected_onto_the_map(tmp_path):
    model, data = net(), batch()
    with landscape.Recorder(tmp_path / "run") as recorder:
        for step in range(3):
            recorder.record(model, step)
            with torch.no_grad():
                for k, p in enumerate(model.parameters()):
                    p.add_(0.1 * (1 + step) ** k)
        recorder.record(model, 3)
    path = landscape.Trajectory(tmp_path / "run")
    found = landscape.convexity_map(
        model, F.cross_entropy, data, "pca", "path", 2, trajectory=path
    )
    right = landscape.surface(
        model, F.cross_entropy, data, "pca", "path", 2, trajectory=path
    )
    np.testing.assert_array_equal(found.path_coords, right.path_coords)
    np.testing.assert_array_equal(found.path_distance, right.path_distance)
    line = plotting.convexity(found).lines[-1]
    np.testing.assert_array_equal(line.get_xydata(), found.path_coords)


WRONG = {
    "tol": ({"tol": 0}, "tol"),
    "way": ({"way": "reserve"}, "did you mean 'reverse'"),
    "dtype": ({"dtype": "bfloat16"}, "too few digits"),
    "max_products": ({"max_products": 1}, "max_products"),
    "statistics": ({"statistics": "evla"}, "did you mean 'eval'"),
}


@pytest.mark.full
@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_said(case):
    options, words = WRONG[case]
    with pytest.raises(ValueError, match=words):
        landscape.convexity_map(
            net(), F.cross_entropy, batch(), resolution=2, **options
        )


def matrix(n=120, seed=0):
    draw = torch.Generator().manual_seed(seed)
    q, _ = torch.linalg.qr(torch.randn(n, n, generator=draw).double())
    values = torch.randn(n, generator=draw).double().sort().values
    values[0], values[-1] = -4.0, 9.0
    return q @ torch.diag(values) @ q.T, draw


@pytest.mark.full
@pytest.mark.parametrize("basis", [6, 20, 200])
def test_the_two_ends_of_a_matrix(basis):
    a, draw = matrix()
    start = torch.randn(1, 120, generator=draw).double()
    found = extremes(lambda v: a @ v, start, 1e-6, basis=basis)
    np.testing.assert_allclose(found.values, [-4, 9], rtol=1e-9)
    gaps = a @ found.vectors.T - found.vectors.T * found.values
    np.testing.assert_allclose(gaps.norm(dim=0), found.residuals, atol=1e-9)
    assert found.converged


@pytest.mark.full
def test_a_search_says_when_it_gave_up_and_survives_exhausted_spaces():
    a, draw = matrix()
    start = torch.randn(1, 120, generator=draw).double()
    found = extremes(lambda v: a @ v, start, 1e-9, max_products=5)
    assert (found.products, found.converged) == (5, False)
    for size in (0.0, 2.0):  # every space is invariant
        flat = extremes(lambda v, s=size: s * v, start, 1e-6, least=4)
        assert flat.values.tolist() == [pytest.approx(size)] * 2
        assert flat.converged


def test_a_prediction_is_exact_for_bilinear_vectors():
    draw = torch.Generator().manual_seed(0)
    base, da, db = torch.randn(3, 2, 9, generator=draw).double()
    at = [base + a * da / 9 + b * db / 9 for a, b in ((0, 1), (1, 0), (0, 0))]
    want = base + da / 9 + db / 9
    want /= want.norm(dim=1, keepdim=True)
    found = predicted(at[0], (-at[1], at[2]))
    np.testing.assert_allclose(found, want, atol=1e-12)
    strange = torch.randn(2, 9, generator=draw).double()
    strange -= (strange * at[0]).sum(1, keepdim=True) * at[0]
    assert predicted(at[0], (0 * strange, at[2])) is not at[0]
    torch.testing.assert_close(predicted(at[0], (0 * strange, at[2])), at[0])
