"""What a record says of its origin is true, kept, or not said."""

import dataclasses
import importlib
import pkgutil

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import dldna
from dldna import init, landscape, models, records, training
from dldna.data import Loader, load
from dldna.landscape import curves
from dldna.landscape.paths import weight_space
from dldna.landscape.shape import scales, wells
from dldna.landscape.shape import topology as shape
from dldna.model_page import Series
from dldna.model_page.sample_losses import sample_losses
from dldna.objective import Objective
from dldna.records.base import ROOMS
from dldna.stored import surface_of

SAMPLES, FEATURES, CLASSES = 12, 4, 3
DOUBLE = torch.float64


def net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(FEATURES, 5), nn.Tanh(), nn.Linear(5, CLASSES)
    ).double()


class Named(list):
    """Batches with a name of their own."""

    name = "twelve points"


@pytest.fixture(scope="module")
def data():
    torch.manual_seed(1)
    x = torch.randn(SAMPLES, FEATURES, dtype=DOUBLE)
    y = torch.randint(CLASSES, (SAMPLES,))
    return Named([(x[:8], y[:8]), (x[8:], y[8:])])


TRUTH = {
    "model": "Sequential",
    "n_params": (FEATURES + 1) * 5 + 6 * CLASSES,
    "data": Named.name,
    "n_samples": SAMPLES,
    "loss": "cross_entropy",
    "device": "cpu",
    "dtype": "float64",
}
UNKNOWN = {None, ""}


def of_call(call, *first, **options):
    return lambda data: call(net(), *first, F.cross_entropy, data, **options)


def curve():
    return curves.segment(net(0), net(1))


def trained(data, **options):
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    return training.train(
        model, optimizer, data, epochs=1, progress=False, **options
    )


def motion(data):
    watcher = training.Dynamics(data, measure_every=1, max_products=5)
    trained(data, callbacks=[watcher])
    return watcher.record()


def whole(data):
    return tuple(torch.cat(parts) for parts in zip(*data, strict=True))


def swept(data):
    return training.sweep(
        net, whole(data), "sgd", [{"lr": 0.1}, {"lr": 0.2}], [3, 5],
        steps=2, batch_size=8,
    )  # fmt: skip


def small(seed):
    return models.make(
        "mlp", seed=seed, in_shape=(2,), num_classes=3, hidden=[4]
    )


def arena(_):
    return training.arena(
        small, load("blobs"), ["SGD"], budget=2, seeds=2, epochs=1
    )


def part():
    return landscape.Slice.of(landscape.toy_network("tanh"))


def pca(_):
    return weight_space.pca([net(s) for s in range(4)])


# Results of a model: how each is made, and which facts it cannot know.
MADE = {
    "surface": (of_call(landscape.surface, resolution=3), ()),
    "convexity map": (of_call(landscape.convexity_map, resolution=2), ()),
    "line": (
        lambda data: landscape.line(
            net(), net(1), F.cross_entropy, data, resolution=5
        ),
        (),
    ),
    "band": (of_call(landscape.band, seeds=range(2), resolution=3), ()),
    "walk": (
        lambda data: curves.walk(net(), curve(), F.cross_entropy, data, 3),
        (),
    ),
    "fit_curve": (
        lambda data: curves.fit_curve(
            net(), net(), net(1), F.cross_entropy, data, steps=2
        ),
        (),
    ),
    "top_eigenpairs": (of_call(landscape.top_eigenpairs, k=1), ()),
    "trace": (of_call(landscape.trace, products=6), ()),
    "diagonal": (of_call(landscape.diagonal, products=3), ()),
    "spectral_density": (
        of_call(landscape.spectral_density, probes=1, steps=4, points=9),
        (),
    ),
    "keskar_sharpness": (of_call(landscape.keskar_sharpness, steps=2), ()),
    "sam_sharpness": (of_call(landscape.sam_sharpness, steps=2), ()),
    "layer_spectra": (
        lambda data: next(
            iter(
                landscape.layer_spectra(net(), F.cross_entropy, data).values()
            )
        ),
        ("n_params",),  # those of one layer
    ),
    "train": (trained, ()),
    "dynamics": (motion, ("data",)),
    "propagate": (
        lambda data: init.propagate(net(), data[0], F.cross_entropy),
        ("data", "n_samples"),  # of one batch
    ),
    "range test": (
        lambda data: training.lr_range(
            (model := net()),
            torch.optim.Adam(model.parameters()),
            data,
            steps=3,
            progress=False,
        ),
        ("n_samples",),  # it may see a part of them, or some twice
    ),
    "flow": (of_call(training.gradient_flow, lr=0.1, steps=2), ()),
    "projected descent": (
        of_call(training.projected_descent, lr=0.1, steps=1, k=1),
        (),
    ),
    "sweep": (swept, ("data",)),
    "one run of a sweep": (lambda data: swept(data).history(1, 1), ("data",)),
    "pca": (pca, ("data", "n_samples", "loss", "device", "dtype")),
}
OTHER = {
    "arena": (
        arena,
        {
            "model": type(small(0)).__name__,
            "data": "blobs",
            "loss": "cross_entropy",
            "device": "cpu",
            "dtype": "float32",
        },
    ),
    "slice": (
        lambda _: part().surface(resolution=3),
        {
            "model": "tanh perceptron",
            "data": "toy regression",
            "dtype": "float64",
        },
    ),
    "slice of other data": (
        lambda _: landscape.Slice.of(
            landscape.toy_network("tanh"),
            data=(torch.zeros(7, 3), torch.zeros(7)),
        ).surface(resolution=3),
        {"data": "", "n_samples": 7},
    ),
    "slice paths": (
        lambda _: training.slice_paths(part(), "sgd", [[0.0, 1.0]], epochs=1),
        {
            "model": "tanh perceptron",
            "data": "toy regression",
            "dtype": "float64",
        },
    ),
    "sample losses": (
        lambda data: sample_losses(
            Objective(net(), F.cross_entropy, data), list(data)
        ),
        {"n_samples": SAMPLES, "loss": "cross_entropy"},
    ),
    "series of checkpoints": (
        lambda _: Series(["a"], np.ones(1), np.ones(1), [], {}, [0]),
        dict.fromkeys(("model", "data", "loss"), ""),
    ),
    "a curve by hand": (
        lambda _: curve(),
        dict.fromkeys(("model", "data", "loss"), "")
        | dict.fromkeys(("n_params", "n_samples", "device", "dtype")),
    ),
}


@pytest.mark.parametrize("kind", MADE)
def test_facts_are_true(kind, data):
    make, unknown = MADE[kind]
    about = make(data).provenance
    assert about.made
    for name, true in TRUTH.items():
        said = getattr(about, name)
        if name not in unknown:
            assert said == true, name
        elif kind not in ("layer_spectra", "propagate"):
            assert said in UNKNOWN, name


@pytest.mark.parametrize("kind", OTHER)
def test_facts_of_other_models_are_true(kind, data):
    make, truth = OTHER[kind]
    about = make(data).provenance
    assert {k: getattr(about, k) for k in truth} == truth


def test_seeds_of_single_runs_are_those_of_the_runs(data):
    found = swept(data)
    for k, seed in enumerate(found.seeds):
        assert found.history(0, k).provenance.seed == seed


# What is computed from a record keeps what is known of it.
z = np.random.default_rng(0).normal(size=(9, 9)) + np.add.outer(
    np.linspace(-2, 2, 9) ** 2, np.linspace(-2, 2, 9) ** 2
)
KNOWN = records.Provenance(
    made="surface",
    seed=7,
    model="LeNet",
    n_params=61_706,
    data="clothes",
    n_samples=100,
    loss="CrossEntropyLoss",
    device="cuda:0",
    dtype="bfloat16",
    seconds=3.5,
    notes={"statistics": "train"},
)
GRID = np.linspace(-1, 1, 9)
PLANE = records.Surface(
    GRID, GRID, z, np.ones(z.shape, bool), z[4, 4], provenance=KNOWN
)
ROW = records.Line(np.linspace(0, 1, 9), z[4], provenance=KNOWN)
FROM_PLANE = {
    "merge_tree": shape.merge_tree,
    "diagram": shape.diagram,
    "significant": lambda s: shape.significant(shape.diagram(s), 0.1),
    "critical_points": shape.critical_points,
    "persistent_points": lambda s: shape.persistent_points(s, 0.1),
    "decompose": scales.decompose,
    "fit_quadratic": wells.fit_quadratic,
    "fit_gaussian": wells.fit_gaussian,
    "fit_wells": lambda s: wells.fit_wells(s).quadratic,
}
SAME = ("seed", "model", "n_params", "data", "n_samples", "loss", "device",
        "dtype")  # fmt: skip


def kept(found):
    about = found.provenance
    assert [getattr(about, k) for k in SAME] == [
        getattr(KNOWN, k) for k in SAME
    ]
    assert about.made != KNOWN.made
    assert about.notes["from"][0] == "surface"
    assert about.notes["statistics"] == "train"
    assert about.seconds is None
    assert KNOWN.notes == {"statistics": "train"}


@pytest.mark.filterwarnings("ignore::dldna.landscape.shape.forms.PoorFit")
@pytest.mark.parametrize("name", FROM_PLANE)
def test_what_comes_from_a_surface_keeps_its_origin(name, tmp_path):
    found = FROM_PLANE[name](PLANE)
    kept(found)
    kept(records.Record.load(found.save(tmp_path / "found.npz")))


@pytest.mark.filterwarnings("ignore::dldna.landscape.shape.forms.PoorFit")
@pytest.mark.parametrize("name", FROM_PLANE)
def test_of_numbers_alone_nothing_is_claimed(name):
    about = FROM_PLANE[name](PLANE.losses).provenance
    assert {getattr(about, k) for k in SAME} <= UNKNOWN
    assert about.made


def test_what_comes_from_a_line_keeps_its_origin():
    kept(scales.cwt(ROW))
    assert scales.cwt(ROW.losses).provenance.model == ""


def test_a_stored_surface_keeps_what_was_stored():
    kept_there = {**vars(PLANE), "provenance": dataclasses.asdict(KNOWN)}
    about = surface_of(kept_there).provenance
    assert (about.model, about.seed) == ("LeNet", 7)
    names = ("alphas", "betas", "losses", "centre_loss")
    about = surface_of({k: getattr(PLANE, k) for k in names}).provenance
    assert about.threads is None
    assert about.versions == {}
    assert about.created == ""


def test_a_file_that_lacks_a_field_claims_nothing(tmp_path, monkeypatch):
    less = dataclasses.fields(records.Provenance)
    monkeypatch.setattr(
        dataclasses,
        "asdict",
        lambda p: {
            f.name: getattr(p, f.name)
            for f in less
            if f.name not in ("threads", "versions", "created", "dtype")
        },
    )
    path = ROW.save(tmp_path / "line.npz")
    monkeypatch.undo()
    about = records.Line.load(path).provenance
    assert (about.threads, about.versions, about.created) == (None, {}, "")
    assert about.dtype is None
    assert about.model == "LeNet"


def kinds():
    for room in ROOMS:
        package = importlib.import_module(f"dldna.{room}")
        for file in pkgutil.walk_packages(package.__path__, f"dldna.{room}."):
            importlib.import_module(file.name)
    return {
        kind
        for kind in records.Record.__subclasses__()
        if kind.__module__.startswith(f"{dldna.__name__}.")
    }


@pytest.mark.filterwarnings("ignore::dldna.landscape.shape.forms.PoorFit")
def test_every_kind_of_record_is_tried_here(data):
    made = [make(data) for make, _ in (*MADE.values(), *OTHER.values())]
    made += [make(PLANE) for make in FROM_PLANE.values()]
    made += [scales.cwt(ROW)]
    missing = kinds() - set(map(type, made))
    assert not missing, "add a row for it to a table of this file"


def test_batches_in_a_list_are_counted(data):
    assert trained(data).provenance.n_samples == SAMPLES
    x, y = whole(data)
    assert trained(Loader(x, y, 5)).provenance.n_samples == SAMPLES
    endless = (b for b in data)
    assert trained(endless).provenance.n_samples is None
