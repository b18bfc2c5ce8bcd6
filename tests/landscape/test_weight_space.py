"""PCA and t-SNE of checkpoints against scikit-learn and closed forms."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from dldna.landscape.paths.weight_space import (
    MixedRuns,
    clusters,
    natural_key,
    pca,
    random_walk,
    series_of,
    tsne,
)
from dldna.records import Record


def run(seed, epochs=15, lr=0.1):
    """Checkpoints of a small network after each epoch."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(10, 32), nn.Tanh(), nn.Linear(32, 3))
        x = torch.randn(300, 10)
        y = (x[:, :3] + x[:, 3:6] * x[:, 6:9]).argmax(1)
        made = []
        optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
        for _ in range(epochs):
            for i in torch.randperm(300).split(30):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x[i]), y[i]).backward()
                optimizer.step()
            state = model.state_dict()
            made.append({k: v.clone() for k, v in state.items()})
    return made


def flat(points):
    return np.stack(
        [torch.cat([v.detach().flatten() for v in p.values()]) for p in points]
    ).astype(np.float64)


NAMES = [f"ReLU-epoch{i}" for i in range(1, 16)]


def test_natural_order():
    shuffled = sorted(NAMES)  # 1, 10, 11, ..., 2, ...
    assert shuffled != NAMES
    assert sorted(shuffled, key=natural_key) == NAMES
    assert sorted(["b2", "a10", "A9", "7"], key=natural_key) == [
        "7",
        "A9",
        "a10",
        "b2",
    ]
    assert {series_of(n) for n in NAMES} == {"ReLU-epoch"}
    assert series_of("v2-epoch3.pth") == "v2-epoch.pth"


def test_rows_come_in_numeric_order():
    points = run(0)
    lexicographic = sorted(range(15), key=lambda i: NAMES[i])
    given = [points[i] for i in lexicographic]
    e = pca(given, [NAMES[i] for i in lexicographic])
    assert e.labels == NAMES
    assert [lexicographic[i] for i in e.order] == list(range(15))
    np.testing.assert_allclose(e.coords, pca(points, NAMES).coords)


def test_pca_equals_scikit_learn():
    decomposition = pytest.importorskip("sklearn.decomposition")
    points = run(1)
    e = pca(points, NAMES, k=3)
    theirs = decomposition.PCA(3)
    coords = theirs.fit_transform(flat(points))
    np.testing.assert_allclose(abs(e.coords), abs(coords), atol=1e-9)
    np.testing.assert_allclose(
        e.explained, theirs.explained_variance_ratio_, rtol=1e-9
    )
    full = pca(points, NAMES, k=14).coords
    wanted = np.linalg.norm(full[:, None] - full, axis=-1)
    np.testing.assert_allclose(e.distances, wanted, atol=1e-7)
    np.testing.assert_allclose(e.steps, np.diagonal(wanted, 1), atol=1e-7)


@pytest.mark.parametrize("scale", [2.0**-600, 1e-200, 1e200, 2.0**600])
@pytest.mark.parametrize("about", ["mean", "end"])
def test_pca_keeps_the_unit_of_the_weights(scale, about):
    g = torch.Generator().manual_seed(0)
    plain = [
        {"w": torch.randn(5, generator=g, dtype=torch.float64)}
        for _ in range(6)
    ]
    one = pca(plain, about=about)
    far = pca([{"w": scale * p["w"]} for p in plain], about=about)
    for name in ("coords", "distances", "steps", "null_coords"):
        np.testing.assert_allclose(
            getattr(far, name) / scale, getattr(one, name), atol=1e-9
        )
    for name in ("explained", "null_explained"):
        np.testing.assert_allclose(getattr(far, name), getattr(one, name))


def test_pca_about_the_last_keeps_it_at_the_origin():
    points = run(2)
    e = pca(points, NAMES, about="end")
    np.testing.assert_allclose(e.coords[-1], 0, atol=1e-7)
    m = flat(points)
    _, s, v = np.linalg.svd(m - m[-1], full_matrices=False)
    np.testing.assert_allclose(
        abs(e.coords), abs((m - m[-1]) @ v[:2].T), atol=1e-7
    )
    np.testing.assert_allclose(e.explained, (s**2 / (s**2).sum())[:2])


def test_null_model_has_the_known_shares():
    j = np.arange(1, 5)
    _, mean = random_walk(np.ones(799), 4)
    np.testing.assert_allclose(mean, 6 / (np.pi * j) ** 2, rtol=6e-3)
    _, last = random_walk(np.ones(799), 4, "end")
    np.testing.assert_allclose(last, 8 / (np.pi * (2 * j - 1)) ** 2, rtol=6e-3)


def test_null_model_equals_a_simulated_walk():
    generator = np.random.default_rng(0)
    steps = generator.uniform(0.2, 2.0, 30)
    moves = generator.standard_normal((30, 100_000))
    moves *= steps[:, None] / np.linalg.norm(moves, axis=1, keepdims=True)
    walk = np.concatenate([np.zeros((1, 100_000)), np.cumsum(moves, axis=0)])
    e = pca([{"w": torch.tensor(w)} for w in walk], k=3)
    np.testing.assert_allclose(e.steps, steps, rtol=1e-6)
    np.testing.assert_allclose(e.explained, e.null_explained, rtol=0.03)
    far = np.abs(e.null_coords).max()
    np.testing.assert_allclose(
        abs(e.coords), abs(e.null_coords), atol=0.05 * far
    )


@pytest.mark.full
def test_two_mixed_runs_are_reported():
    """Epochs 1 to 8 of one run and 9 to 15 of another."""
    for seed in range(5):
        one, two = run(2 * seed), run(2 * seed + 1)
        mixed = one[:8] + two[8:]
        with pytest.warns(MixedRuns, match="two training runs"):
            e = pca(mixed, NAMES)
        assert e.jumps.tolist() == [7]
        assert e.clusters.tolist() == [0] * 8 + [1] * 7
        late = [run(s, epochs=20)[5:] for s in (2 * seed, 2 * seed + 1)]
        zigzag = [late[i % 2][i] for i in range(15)]
        with pytest.warns(MixedRuns):
            e = pca(zigzag, NAMES)
        assert e.jumps.tolist() == list(range(14))


@pytest.mark.parametrize("lr", [0.01, 0.1, 0.5])
def test_one_run_is_not_reported(lr):
    for seed in range(5):
        e = pca(run(seed, lr=lr), NAMES)  # a warning would fail here
        assert e.jumps.tolist() == []
        assert e.clusters.max() == 0


def test_runs_with_names_of_their_own_are_not_reported():
    points, names = [], []
    for i, act in enumerate(("ReLU", "Tanh", "GELU")):
        points += run(i, epochs=5)
        names += [f"{act}-epoch{k}" for k in range(1, 6)]
    e = pca(points, names)
    assert e.jumps.tolist() == []
    assert sorted(set(e.series)) == ["GELU-epoch", "ReLU-epoch", "Tanh-epoch"]
    assert e.labels[:5] == [f"GELU-epoch{k}" for k in range(1, 6)]


def test_a_fast_first_step_is_no_second_run():
    x = np.array([0, 50, 51, 52.5, 53, 54])
    assert clusters(abs(x[:, None] - x)).max() == 0
    x = np.array([0, 1, 50, 51, 100, 101.5])
    names = clusters(abs(x[:, None] - x))
    assert names.tolist() == [0, 0, 1, 1, 2, 2]
    same = np.zeros((4, 4))
    assert clusters(same).tolist() == [0, 0, 0, 0]


def test_tsne_keeps_neighbours_and_is_seeded():
    points = [p for i in range(3) for p in run(i, epochs=6)]
    names = [f"{n}-epoch{k}" for n in "abc" for k in range(6)]
    first = tsne(points, names, perplexity=4)
    again = tsne(points, names, perplexity=4)
    np.testing.assert_array_equal(first.coords, again.coords)
    assert first.perplexity == 4
    assert first.coords.shape == first.null_coords.shape == (18, 2)
    d = np.linalg.norm(first.coords[:, None] - first.coords, axis=-1)
    np.fill_diagonal(d, np.inf)
    nearest = [first.series[i] for i in d.argmin(axis=1)]
    assert nearest == first.series
    assert tsne(points, names, k=1).coords.shape == (18, 1)


def test_perplexity_is_below_the_number_of_checkpoints():
    points = run(0)
    with pytest.raises(ValueError, match="below the number of checkpoints"):
        tsne(points, NAMES, perplexity=30)
    assert tsne(points, NAMES).perplexity == pytest.approx(14 / 3)


def test_models_are_taken_as_they_are():
    models = [
        nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)) for _ in range(4)
    ]
    e = pca(models)
    wanted = flat([dict(m.named_parameters()) for m in models])  # no buffers
    far = np.linalg.norm(wanted[0] - wanted[3])
    assert e.distances[0, 3] == pytest.approx(far, rel=1e-5)
    models[3][1].running_mean += 5
    states = pca([m.state_dict() for m in models])
    np.testing.assert_allclose(states.distances, e.distances)


def test_record_survives_a_file(tmp_path):
    e = pca(run(0), NAMES)
    back = Record.load(e.save(tmp_path / "e"))
    np.testing.assert_array_equal(back.coords, e.coords)
    assert back.labels == e.labels


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda p: pca(p[:2]), "at least 3"),
        (lambda p: pca(p, ["a", "b"]), "2 labels for 15"),
        (lambda p: pca(p, k=15), "at most 14 axes"),
        (lambda p: pca(p, about="first"), "Known: end, mean"),
        (lambda p: pca([*p, {"w": torch.zeros(2)}]), "another network"),
        (
            lambda p: pca([{k: v * np.nan for k, v in p[0].items()}, *p]),
            "NaN",
        ),
        (lambda p: tsne(p, k=4), "at most 3 axes"),
        (lambda p: tsne(p, perplexity=0), "greater than 0"),
        (lambda p: clusters(np.zeros((3, 3)), 1.0), "greater than 1"),
    ],
)
def test_bad_input_is_named(call, text):
    with pytest.raises(ValueError, match=text):
        call(run(0))
    with pytest.raises(TypeError, match="checkpoint must be"):
        pca([1, 2, 3])


def test_checkpoints_are_not_written_to():
    points = run(0)
    before = flat(points)
    state = torch.random.get_rng_state()
    numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedRuns)
        pca(points), tsne(points)
    np.testing.assert_array_equal(flat(points), before)
    assert torch.equal(torch.random.get_rng_state(), state)
    now = np.random.get_state()[1]  # noqa: NPY002
    np.testing.assert_array_equal(now, numpy_state)
