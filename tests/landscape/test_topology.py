"""Topology of grids against gudhi, SciPy, closed forms and fixed numbers."""

import numpy as np
import pytest

from dldna.landscape.shape import topology
from dldna.landscape.shape.topology import (
    bottleneck,
    critical_points,
    diagram,
    merge_tree,
    persistent_points,
    refine,
    significant,
    simplify,
    stability,
    wasserstein,
    way_out,
)
from dldna.records import Record, Surface

gudhi = pytest.importorskip("gudhi")

INF = np.inf
VALLEYS = [[5, 5, 5, 5, 5], [5, 0, 4, 1, 5], [5, 5, 5, 5, 5]]
RING = [[1, 1, 1], [1, 7, 1], [1, 1, 1]]


def double_well(n=41):
    x = np.linspace(-2, 2, n)
    return x, (x[:, None] ** 2 - 1) ** 2 + 0.3 * x[:, None] + x**2


def himmelblau(n=101):
    x = np.linspace(-5, 5, n)
    u, v = x[:, None], x[None, :]
    return x, (u**2 + v - 11) ** 2 + (u + v**2 - 7) ** 2


def surface_of(x, z):
    return Surface(
        alphas=x,
        betas=x,
        losses=z,
        evaluated=np.isfinite(z),
        centre_loss=float("nan"),
    )


def random_grid(i):
    """A grid of 2 to 12 points a side: rough, tied or smooth."""
    generator = np.random.default_rng(i)
    shape = generator.integers(2, 13, size=2)
    kind = i % 3
    if kind == 0:
        return generator.standard_normal(shape)
    if kind == 1:
        return generator.integers(0, 4, size=shape).astype(float)
    return np.cumsum(np.cumsum(generator.standard_normal(shape), 0), 1)


def test_two_valleys():
    d = diagram(VALLEYS)
    assert d.h0.tolist() == [[0, INF], [1, 4]]
    assert d.h1.tolist() == []


def test_ring():
    d = diagram(RING)
    assert d.h0.tolist() == [[1, INF]]
    assert d.h1.tolist() == [[1, 7]]


def test_double_well():
    x, z = double_well()
    tree = merge_tree(surface_of(x, z))
    np.testing.assert_allclose(tree.births, [-0.3, 0.3], atol=1e-12)
    np.testing.assert_allclose(tree.deaths, [INF, 1.0101], atol=1e-12)
    np.testing.assert_allclose(tree.minima_at, [[-1, 0], [1, 0]], atol=1e-12)
    np.testing.assert_allclose(tree.saddles_at[1], [0.1, 0], atol=1e-12)
    assert tree.parents.tolist() == [-1, 0]
    values = [
        refine(surface_of(x, z), tree.minima[0]).value,
        refine(surface_of(x, z), tree.minima[1]).value,
        refine(surface_of(x, z), tree.saddles[1]).value,
    ]
    np.testing.assert_allclose(values, [-0.30543, 0.29415, 1.01128], atol=2e-3)
    assert refine(surface_of(x, z), tree.saddles[1]).kind == "saddle"


def test_himmelblau_bars():
    d = diagram(himmelblau()[1])
    np.testing.assert_allclose(
        d.h0,
        [[0, INF], [0.0277, 104.03], [0.0397, 67.73], [0.0477, 13.32]],
        rtol=5e-4,
        atol=5e-5,
    )
    np.testing.assert_allclose(d.h1, [[178.33, 181.60]], atol=6e-3)


def test_himmelblau_counts():
    points = critical_points(himmelblau(41)[1])
    assert [
        len(p) for p in (points.minima, points.saddles, points.maxima)
    ] == [
        4,
        4,
        1,
    ]
    assert points.multiplicity.tolist() == [1, 1, 1, 1]


def test_himmelblau_refined():
    x, z = himmelblau(201)
    surface = surface_of(x, z)
    tree = merge_tree(z)
    assert len(critical_points(z).minima) == 5  # one is not there
    real = tree.minima[tree.persistence > 1]
    found = np.array(sorted(refine(surface, i).at for i in real))
    exact = [
        [-3.779310, -3.283186],
        [-2.805118, 3.131313],
        [3.0, 2.0],
        [3.584428, -1.848127],
    ]
    np.testing.assert_allclose(found, exact, atol=2e-3)
    assert all(refine(surface, i).kind == "minimum" for i in real)


def test_refined_curvature_is_that_of_the_loss():
    x, y = np.linspace(-1, 1, 9), np.linspace(-3, 3, 13)
    u, v = x[:, None] - 0.1, y[None, :] + 0.2
    surface = Surface(
        alphas=x,
        betas=y,
        losses=7 + 2 * u**2 + u * v - 3 * v**2,
        evaluated=np.ones((9, 13), dtype=bool),
        centre_loss=7.0,
    )
    r = refine(surface, (4, 6))
    np.testing.assert_allclose(r.at, [0.1, -0.2], atol=1e-12)
    wanted = np.linalg.eigvalsh([[4, 1], [1, -6]])
    np.testing.assert_allclose(r.eigenvalues, wanted)
    assert (r.kind, r.inside) == ("saddle", True)
    assert r.value == pytest.approx(7)
    assert not refine(surface, (1, 1)).inside


def test_white_noise_has_many_critical_points():
    counts = []
    for seed in range(40):
        z = np.random.default_rng(seed).standard_normal((25, 25))
        p = critical_points(z)
        counts.append(
            [len(p.minima), int(p.multiplicity.sum()), len(p.maxima)]
        )
    share = np.mean(counts, axis=0) / 23**2
    # A vertex is the lowest of 7 with probability 1/7; the rest by Euler.
    np.testing.assert_allclose(share, [1 / 7, 2 / 7, 1 / 7], rtol=0.02)


def test_monkey_saddle():
    x = np.linspace(-1, 1, 21)
    u, v = x[:, None], x[None, :]
    turn = np.exp(-1j * np.pi / 6)  # no direction of the ring is level
    p = critical_points(np.real(turn * (u + 1j * v) ** 3))
    assert p.saddles.tolist() == [[10, 10]]
    assert p.multiplicity.tolist() == [2]


def test_six_neighbours_agree_with_the_link_rule():
    """On a torn-off plateau the two definitions of a minimum agree."""
    for i in range(60):
        z = np.full((12, 11), 9.0)
        z[1:-1, 1:-1] = np.random.default_rng(i).random((10, 9))
        tree = merge_tree(z, neighbours=6)
        assert sorted(map(tuple, tree.minima)) == sorted(
            map(tuple, critical_points(z).minima)
        )


def test_vertices_are_not_cells():
    """gudhi's two ways to read a grid differ; ours names both."""
    z = np.array([[0.0, 9.0], [9.0, 1.0]])
    cells = gudhi.CubicalComplex(top_dimensional_cells=z)
    cells.compute_persistence()
    assert cells.persistence_intervals_in_dimension(0).tolist() == [[0, INF]]
    assert diagram(z, "gudhi").h0.tolist() == [[0, INF], [1, 9]]
    assert diagram(z).h0.tolist() == [[0, INF], [1, 9]]
    assert merge_tree(z, neighbours=8).births.tolist() == [0]


@pytest.mark.full
def test_thousand_random_grids_equal_gudhi():
    for i in range(1000):
        z = random_grid(i)
        ours, theirs = diagram(z), diagram(z, "gudhi")
        for a, b in ((ours.h0, theirs.h0), (ours.h1, theirs.h1)):
            assert sorted(a.tolist()) == sorted(b.tolist()), i


def test_eight_neighbours_equal_gudhi_cells():
    for i in range(200):
        z = random_grid(i)
        cells = gudhi.CubicalComplex(top_dimensional_cells=z)
        cells.compute_persistence()
        theirs = cells.persistence_intervals_in_dimension(0).tolist()
        tree = merge_tree(z, neighbours=8)
        ours = np.stack([tree.births, tree.deaths], 1).tolist()
        assert sorted(ours) == sorted(theirs), i


def test_components_at_every_level_equal_scipy():
    """Bars alive at a level are the components that SciPy labels."""
    label = pytest.importorskip("scipy.ndimage").label
    for i in range(30):
        z = random_grid(i)
        h0 = diagram(z).h0
        for level in np.unique(z):
            alive = (h0[:, 0] <= level) & (h0[:, 1] > level)
            assert alive.sum() == label(z <= level)[1]


def test_thousand_pairs_are_stable():
    slack = 1e-12
    moved = 0
    for i in range(1000):
        f = random_grid(i)
        noise = np.random.default_rng(10_000 + i).uniform(-1, 1, f.shape)
        s = stability(f, f + noise)
        assert s.bottleneck_h0 <= s.sup + slack
        assert s.bottleneck_h1 <= s.sup + slack
        assert s.sure[0] >= 1
        moved += s.bottleneck_h0 > s.sup / 2
    assert moved > 500  # the bound is nearly reached: it says something


def test_bars_beyond_twice_the_noise_are_real():
    """Batch noise makes minima; the bars above 2 sup are the true ones."""
    _, z = himmelblau(61)
    noisy = z + np.random.default_rng(0).uniform(-4, 4, z.shape)
    s = stability(z, noisy)
    assert s.minima[0] == 4
    assert s.minima[1] > 20
    assert s.sure == (4, 4)
    assert len(significant(diagram(noisy), s.sup).h0) == 4


def test_distances():
    a, b = [[0, 4], [1, 3]], [[0, 4.2]]
    assert bottleneck(a, b) == pytest.approx(1.0, abs=1e-12)
    assert wasserstein(a, b) == pytest.approx(1.2, abs=1e-12)
    assert wasserstein(a, b, order=2) == pytest.approx(np.sqrt(1.04))
    assert bottleneck(a, a) == 0
    # Bars without an end are matched by birth, and only with each other.
    assert bottleneck([[0, INF], *a], [[0.5, INF], *a]) == 0.5
    assert wasserstein([[0, INF], *a], [[0.5, INF], *b]) == pytest.approx(1.7)
    assert bottleneck([[0, INF]], [[0, 5]]) == INF
    assert wasserstein([[0, INF]], [[0, 5]]) == INF


def test_bottleneck_equals_brute_force():
    from itertools import permutations

    generator = np.random.default_rng(0)
    for _ in range(40):
        a, b = (
            np.sort(generator.random((generator.integers(1, 4), 2)), axis=1)
            for _ in range(2)
        )
        half_a, half_b = (np.ptp(d, axis=1) / 2 for d in (a, b))
        cost = np.zeros((len(a) + len(b),) * 2)
        cost[: len(a), : len(b)] = np.abs(a[:, None] - b).max(-1)
        cost[: len(a), len(b) :] = half_a[:, None]
        cost[len(a) :, : len(b)] = half_b
        best = min(
            cost[range(len(cost)), p].max()
            for p in permutations(range(len(cost)))
        )
        assert bottleneck(a, b) == pytest.approx(best, abs=1e-9)


def _bars(generator, n):
    births = generator.normal(size=n)
    return np.column_stack([births, births + generator.exponential(size=n)])


def _cheapest(a, b, order):
    """The Wasserstein distance over all matchings, in logarithms."""
    from itertools import permutations

    half_a, half_b = (np.ptp(d, axis=1) / 2 for d in (a, b))
    cost = np.zeros((len(a) + len(b),) * 2)
    cost[: len(a), : len(b)] = np.abs(a[:, None] - b).max(-1)
    cost[: len(a), len(b) :] = half_a[:, None]
    cost[len(a) :, : len(b)] = half_b
    found = []
    for p in permutations(range(len(cost))):
        moves = cost[range(len(cost)), p]
        top = moves.max()
        found.append(top * ((moves / top) ** order).sum() ** (1 / order))
    return min(found)


@pytest.mark.parametrize("order", [1.0, 1.5, 2.0, 3.0, 20.0, 500.0])
def test_wasserstein_keeps_the_unit_of_the_loss(order):
    generator = np.random.default_rng(1)
    for i in range(4):
        a, b = (_bars(generator, n) for n in (i, 3))
        best = _cheapest(a, b, order)
        for scale in (1e-150, 1e-9, 1e-4, 1.0, 1e3, 1e150):
            found = wasserstein(scale * a, scale * b, order=order)
            assert found == pytest.approx(scale * best, rel=1e-9)
            never = [[scale * 2.0, INF]]
            both = wasserstein(
                [*(scale * a), *never], [*(scale * b), [0, INF]], order=order
            )
            top = max(best, 2.0)
            whole = (best / top) ** order + (2.0 / top) ** order
            assert both == pytest.approx(
                scale * top * whole ** (1 / order), rel=1e-9
            )


def test_wasserstein_equals_gudhis():
    module = pytest.importorskip("gudhi.wasserstein")
    generator = np.random.default_rng(0)
    for order in (1.0, 2.0, 3.0):
        a, b = (_bars(generator, n) for n in (40, 25))
        expected = module.wasserstein_distance(
            a, b, order=order, internal_p=np.inf
        )
        assert wasserstein(a, b, order=order) == pytest.approx(expected)
    assert wasserstein(a, a, order=3) == 0
    assert wasserstein([], [], order=2) == 0
    assert wasserstein([], [[0, 4]], order=2) == 2


@pytest.mark.parametrize("distance", [bottleneck, wasserstein])
@pytest.mark.parametrize(
    ("bars", "text"),
    [
        ([[0, 1, 2], [3, 4, 5]], r"shape \(n, 2\), not \(2, 3\)"),
        ([0, 1], r"not \(2,\)"),
        ([[[0, 1]]], r"not \(1, 1, 2\)"),
        (np.zeros((0, 3)), r"not \(0, 3\)"),
        (3.0, r"not \(\)"),
        ([[2, 1]], r"\[2.0, 1.0\] is not"),
        ([[0, 1], [0, -INF]], r"\[0.0, -inf\] is not"),
        ([[-INF, 1]], "finite birth"),
        ([[INF, INF]], "finite birth"),
        ([[0, np.nan]], "NaN"),
    ],
)
def test_what_are_no_bars_is_refused(distance, bars, text):
    for pair in ((bars, [[0, 1]]), ([[0, 1]], bars)):
        with pytest.raises(ValueError, match=text):
            distance(*pair)


def test_persistent_points_are_critical_points_on_plateaus_too():
    grids = [random_grid(i) for i in range(120)]
    for z in (z for z in grids if min(z.shape) > 2):
        every, kept = critical_points(z), persistent_points(z, 0.0)
        for kind in ("minima", "saddles", "maxima"):
            known = set(map(tuple, getattr(every, kind).tolist()))
            assert known >= set(map(tuple, getattr(kept, kind).tolist()))


def test_simplify_keeps_the_long_bars():
    for i in range(150):
        z = random_grid(i)
        threshold = np.ptp(z) / 4
        g = simplify(z, threshold)
        h0 = diagram(z).h0
        wanted = h0[h0[:, 1] - h0[:, 0] > threshold]
        np.testing.assert_array_equal(diagram(g).h0, wanted)
        assert (g >= z).all()
        assert (g - z).max() <= threshold + 1e-12
    np.testing.assert_array_equal(simplify(z, 0.0), z)


def test_simplify_fills_pits_only():
    x, z = double_well()
    g = simplify(surface_of(x, z), 0.8)
    assert len(diagram(g).h0) == 1
    inside = (x[:, None] > 0.1) & (z < 1.0101)
    np.testing.assert_array_equal(g[~inside], z[~inside])
    np.testing.assert_allclose(g[inside], 1.0101)


def test_way_out_is_a_mountain_pass():
    for i in range(60):
        z = random_grid(i)
        tree = merge_tree(z)
        for branch in np.flatnonzero(tree.parents >= 0):
            path = way_out(z, tree, branch).astype(int)
            along = z[tuple(path.T)]
            assert along.max() == tree.deaths[branch]
            assert along[0] == tree.births[branch]
            assert along[-1] <= along[0]
            assert (np.abs(np.diff(path, axis=0)).sum(axis=1) == 1).all()
    with pytest.raises(ValueError, match="no saddle"):
        way_out(z, tree, 0)


def test_holes_are_walls_and_are_counted():
    z = np.array([[0, np.nan, 1], [3, np.inf, 1], [1, np.inf, 2.0]])
    d = diagram(z)
    assert (d.nan, d.infinite) == (1, 2)
    assert d.h0.tolist() == [[0, INF], [1, INF], [1, 3]]
    ring = np.array(RING, dtype=float)
    ring[1, 1] = np.nan
    assert diagram(ring).h1.tolist() == [[1, INF]]
    filled = simplify(z, 2.5)
    np.testing.assert_array_equal(np.isnan(filled), np.isnan(z))
    assert filled[2, 0] == 3
    assert critical_points(ring).skipped == 1
    with pytest.raises(ValueError, match="-inf"):
        diagram([[0, -np.inf], [1, 2]])
    with pytest.raises(ValueError, match="single finite"):
        merge_tree(np.full((3, 3), np.nan))
    with pytest.raises(ValueError, match="holes"):
        stability(z, np.nan_to_num(z))


def test_random_holes_equal_gudhi():
    for i in range(200):
        z = random_grid(i)
        hole = np.random.default_rng(i).random(z.shape) < 0.2
        z[hole] = np.nan if i % 2 else np.inf
        if not np.isfinite(z).any():
            continue
        ours, theirs = diagram(z), diagram(z, "gudhi")
        for a, b in ((ours.h0, theirs.h0), (ours.h1, theirs.h1)):
            assert sorted(a.tolist()) == sorted(b.tolist()), i


def test_records_survive_a_file(tmp_path):
    for made in (diagram(RING), merge_tree(VALLEYS), critical_points(RING)):
        back = Record.load(made.save(tmp_path / "record"))
        assert type(back) is type(made)
        for name in ("h0", "births", "minima", "parents", "saddles"):
            if hasattr(made, name):
                np.testing.assert_array_equal(
                    getattr(back, name), getattr(made, name)
                )


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: diagram([1, 2, 3]), "surface of at least"),
        (lambda: diagram(RING, "gudi"), "did you mean 'gudhi'"),
        (lambda: merge_tree(RING, neighbours=5), "4, 6 or 8"),
        (lambda: critical_points([[1, 2], [3, 4]]), "at least 3 x 3"),
        (lambda: simplify(RING, -1), "threshold"),
        (lambda: refine(RING, (0, 1)), "not inside"),
        (lambda: bottleneck([[0, 1]], [[0, 1]], 2), "0 or 1"),
        (lambda: wasserstein([[0, 1]], [[0, 1]], order=0.5), "at least 1"),
        (lambda: stability(RING, VALLEYS), "differ"),
        (lambda: significant(diagram(RING), -1.0), "error"),
    ],
)
def test_bad_input_is_named(call, text):
    with pytest.raises(ValueError, match=text):
        call()


def test_public_names():
    assert all(hasattr(topology, name) for name in topology.__all__)
