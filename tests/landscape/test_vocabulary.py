"""One word for one thing in all public calls; former words go on working."""

import inspect
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dldna import landscape, objective, records, training
from dldna.landscape import curves
from dldna.landscape.evaluate import choose
from dldna.landscape.paths import null, weight_space

DOUBLE = torch.float64


def net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


@pytest.fixture(scope="module")
def data():
    torch.manual_seed(1)
    return torch.randn(12, 3), torch.randint(2, (12,))


def measured(name, **fixed):
    call = getattr(landscape, name)
    return lambda data, **how: call(
        net(), F.cross_entropy, data, **fixed, **how
    )


def by_choose(data, **how):
    origin = dict(net().named_parameters())
    found = choose(
        net(), F.cross_entropy, [data], origin, [origin, origin], **how
    )
    return found(torch.ones(1, 2, dtype=DOUBLE))["loss"]


def to_line(data, **how):
    return landscape.line(
        net(), net(1), F.cross_entropy, data, resolution=3, **how
    )


def motion(data, **how):
    watcher = training.Dynamics(data, measure_every=1, max_products=5, **how)
    model = net()
    training.train(
        model,
        torch.optim.SGD(model.parameters(), 0.1),
        [data],
        epochs=1,
        callbacks=[watcher],
        progress=False,
    )
    return watcher.record()


# Each call that takes the word, as the word before and the word now.
CALLS = {
    "surface": measured("surface", resolution=3),
    "line": to_line,
    "band": measured("band", seeds=range(2), resolution=3),
    "cost": measured("cost", resolution=3),
    "choose": by_choose,
}
CURVATURE = {
    "Operator": measured("Operator"),
    "top_eigenpairs": measured("top_eigenpairs", k=1),
    "trace": measured("trace", products=6),
    "diagonal": measured("diagonal", products=2),
    "spectral_density": measured(
        "spectral_density", probes=1, steps=3, points=5
    ),
    "keskar_sharpness": measured("keskar_sharpness", steps=2),
    "sam_sharpness": measured("sam_sharpness", steps=2),
    "layer_spectra": measured("layer_spectra"),
    "gradient_noise": lambda data, **how: training.gradient_noise(
        net(), F.cross_entropy, [data, data], parts=3, **how
    ),
    "Objective": lambda data, **how: objective.Objective(
        net(), F.cross_entropy, data, **how
    ),
    "Dynamics": motion,
}
FORMER = [
    *[(k, "path", "way", "slow") for k in CALLS],
    *[(k, "precision", "dtype", "float64") for k in CALLS],
    *[(k, "mode", "statistics", "train") for k in CURVATURE],
]


def numbers(found):
    if isinstance(found, np.ndarray):
        return found
    if isinstance(found, landscape.Cost):
        return np.array([found.points, found.way == "slow"])
    if isinstance(found, objective.Objective):
        return np.array([found.loss()])
    if isinstance(found, dict):
        return np.concatenate([s.eigenvalues for s in found.values()])
    for name in ("losses", "eigenvalues", "value", "density", "data_loss"):
        if hasattr(found, name):
            return np.asarray(getattr(found, name))
    raise AssertionError(type(found))


@pytest.mark.parametrize(("call", "old", "new", "value"), FORMER)
def test_a_former_word_works_and_says_so_here(call, old, new, value, data):
    make = (CALLS | CURVATURE)[call]
    with pytest.warns(FutureWarning, match=rf"{old}=.*{new}=") as caught:
        before = make(data, **{old: value})
    told = [w for w in caught if w.category is FutureWarning]
    assert [w.filename for w in told] == [__file__]
    now = make(data, **{new: value})
    np.testing.assert_array_equal(numbers(before), numbers(now))


@pytest.mark.parametrize(("call", "old", "new", "value"), FORMER)
def test_both_words_at_once_are_refused(call, old, new, value, data):
    make = (CALLS | CURVATURE)[call]
    with pytest.raises(TypeError, match="give one of the two"):
        make(data, **{old: value, new: value})


@pytest.mark.parametrize("call", CALLS | CURVATURE)
def test_types_go_by_name_and_by_torchs_own(call, data):
    make = (CALLS | CURVATURE)[call]
    named, own = make(data, dtype="float64"), make(data, dtype=DOUBLE)
    np.testing.assert_array_equal(numbers(named), numbers(own))
    with pytest.raises(ValueError, match="did you mean 'float64'"):
        make(data, dtype="flaot64")


@pytest.mark.parametrize("call", CURVATURE)
def test_frozen_statistics_are_those_of_eval(call, data):
    make = CURVATURE[call]
    found = [
        numbers(make(data, statistics=word)) for word in ("frozen", "eval")
    ]
    np.testing.assert_array_equal(*found)
    with pytest.raises(ValueError, match="did you mean 'eval'"):
        make(data, statistics="evla")


def test_a_wide_model_is_computed_as_asked(data):
    x, y = data
    wide = net().double()
    for dtype in ("float32", "float64"):
        s = landscape.surface(
            wide, F.cross_entropy, (x.double(), y), resolution=3, dtype=dtype
        )
        assert s.provenance.dtype == dtype
        own = wide if dtype == "float64" else net()
        true = landscape.surface(
            own,
            F.cross_entropy,
            (x.to(own[0].weight.dtype), y),
            [
                {k: v.to(own[0].weight.dtype) for k, v in d.items()}
                for d in directions(wide)
            ],
            resolution=3,
            way="slow",
        )
        again = landscape.surface(
            wide,
            F.cross_entropy,
            (x.double(), y),
            directions(wide),
            resolution=3,
            dtype=dtype,
        )
        rtol = 1e-12 if dtype == "float64" else 1e-5
        np.testing.assert_allclose(again.losses, true.losses, rtol=rtol)
    assert wide[0].weight.dtype == DOUBLE
    default = landscape.surface(
        wide, F.cross_entropy, (x.double(), y), resolution=3
    )
    assert default.provenance.dtype == "float64"


def directions(model):
    torch.manual_seed(5)
    return [
        {k: 0.1 * torch.randn_like(p) for k, p in model.named_parameters()}
        for _ in "ab"
    ]


def test_batch_statistics_mean_the_same_in_surfaces_and_curvature(data):
    model = nn.Sequential(net(), nn.Dropout(0.5))
    for word in ("eval", "train"):
        s = landscape.surface(
            model, F.cross_entropy, data, resolution=3, statistics=word
        )
        f = objective.Objective(model, F.cross_entropy, data, statistics=word)
        assert s.centre_loss == pytest.approx(f.loss(), rel=1e-6)


def test_records_know_their_way_by_both_names(data, tmp_path):
    s = landscape.surface(
        net(), F.cross_entropy, data, resolution=3, way="slow"
    )
    assert s.way == "slow"
    with pytest.warns(FutureWarning, match="'way'"):
        assert s.path == "slow"
    with pytest.warns(FutureWarning, match="way="):
        by_hand = records.Surface(
            s.alphas, s.betas, s.losses, s.evaluated, 1.0, path="mlp"
        )
    assert by_hand.way == "mlp"
    cost = landscape.cost(net(), F.cross_entropy, data, resolution=3)
    with pytest.warns(FutureWarning, match="'way'"):
        assert cost.path == cost.way


def test_a_file_with_the_former_name_is_read(data, tmp_path, monkeypatch):
    s = landscape.surface(
        net(), F.cross_entropy, data, resolution=3, way="slow"
    )
    path = s.save(tmp_path / "s.npz")
    with np.load(path) as file:
        content = dict(file)
    head = content["__record__"].tobytes().replace(b'"way": ', b'"path": ', 1)
    content["__record__"] = np.frombuffer(head, dtype=np.uint8)
    np.savez(path, **content)
    assert b'"path": "slow"' in head
    assert records.Surface.load(path).way == "slow"


def test_components_are_about_the_end_in_every_call():
    points = [{"w": torch.tensor([t, t * t])} for t in (0.0, 1.0, 3.0)]
    now = weight_space.pca(points, about="end", k=1)
    with pytest.warns(FutureWarning, match="'end'"):
        before = weight_space.pca(points, about="last", k=1)
    np.testing.assert_array_equal(now.coords, before.coords)
    with pytest.raises(ValueError, match="Known: end, mean"):
        null.walk_shares(2, "nonsense")


WORDS = {"precision": "dtype", "mode": "statistics", "path": "way"}


def test_no_public_call_has_a_former_word():
    rooms = (landscape, curves, objective, training)
    for room in rooms:
        for name in room.__all__:
            thing = getattr(room, name)
            if not callable(thing):
                continue
            try:
                known = inspect.signature(thing).parameters
            except ValueError:
                continue
            for word in WORDS.keys() - {"path"}:
                assert word not in known, f"{name}({word}=)"
            if "path" in known:  # a file or a folder
                assert "Path" in str(known["path"].annotation), name


def test_a_curve_says_which_statistics_it_knows(data):
    curve = curves.segment(net(0), net(1))
    with pytest.raises(ValueError, match="Known: eval, frozen, recalibrate"):
        curves.walk(
            net(), curve, F.cross_entropy, data, 3, statistics="interpolate"
        )


def test_the_words_of_now_are_silent(data):
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        CALLS["surface"](data, way="slow", dtype="float64")
