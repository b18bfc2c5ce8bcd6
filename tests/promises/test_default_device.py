"""Public calls where torch makes tensors on another device by default.

Notebooks begin with ``torch.set_default_device("cuda")``. Model and data say
for themselves where they lie; whatever the package makes beside them must
lie there as well, and what it draws with a generator of its own must lie
where the generator is. Here the default is "meta", on which nothing can be
computed, and results must be those without it, to the last bit.
"""

import ast
import dataclasses
import inspect
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from calls import CALLS
from menagerie import make
from optim import trials
from torch import Tensor, nn

from dldna import data as sets
from dldna import (
    graph,
    init,
    integrations,
    landscape,
    model_page,
    models,
    optim,
    params,
    training,
    walks,
)
from dldna.explorer import served
from dldna.landscape import curves
from dldna.landscape.shape import scales, topology, wells
from dldna.landscape.space.named import Given

pytestmark = pytest.mark.filterwarnings("ignore")

CLOCKS = {"seconds", "provenance", "trained_seconds", "overhead", "spent"}


@pytest.fixture
def elsewhere():
    """Another default device; the old one is back at the end."""
    before = torch.get_default_device()
    yield lambda: torch.set_default_device("meta")
    torch.set_default_device(None if before.type == "cpu" else before)


def told(thing, name=""):
    """All numbers and words in a result, but for times."""
    if name.lstrip("_") in CLOCKS:
        return
    if isinstance(thing, nn.Module):
        yield from told(thing.state_dict())
    elif isinstance(thing, Tensor):
        assert thing.device.type == "cpu", name
        yield thing.detach().clone()
    elif isinstance(thing, (np.ndarray, np.generic)):
        yield (
            torch.tensor(thing, device="cpu")
            if thing.dtype.kind in ("fiub")
            else str(thing)
        )
    elif isinstance(thing, (int, float, str, type(None))):
        yield thing
    elif dataclasses.is_dataclass(thing):
        for field in dataclasses.fields(thing):
            yield from told(getattr(thing, field.name), field.name)
    elif isinstance(thing, Mapping):
        for key, value in thing.items():
            yield from told(value, str(key))
    elif isinstance(thing, (list, tuple, set)):
        for value in thing:
            yield from told(value)


def equal(a, b):
    if isinstance(a, Tensor):
        return torch.equal(a.nan_to_num(7.5), b.nan_to_num(7.5))
    return a == b or repr(a) == repr(b) == "nan"


def list_of(result):
    """What a generator gives, now: with the default device of this moment."""
    return list(result) if inspect.isgenerator(result) else result


def perceptron():
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Linear(4, 6, device="cpu"), nn.Tanh(),
        nn.Linear(6, 5, device="cpu"), nn.Tanh(),
        nn.Linear(5, 3, device="cpu"),
    )  # fmt: skip


def residual():
    with torch.device("cpu"):
        torch.manual_seed(1)
        return Residual()


class Residual(nn.Module):
    """Two blocks, and none of the shapes that have a way of their own."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 6)
        self.blocks = nn.ModuleList(nn.Linear(6, 6) for _ in "ab")
        self.norm, self.head = nn.LayerNorm(6), nn.Linear(6, 3)

    def forward(self, x):
        h = self.first(x)
        for block in self.blocks:
            h = h + block(h).tanh()
        return self.head(self.norm(h))


def batch(n=24, **kind):
    draw = torch.Generator().manual_seed(2)
    x = torch.randn(n, 4, generator=draw, device="cpu", **kind)
    return x, torch.arange(n, device="cpu") % 3


LOSS = nn.CrossEntropyLoss()


def of(call, **options):
    return lambda folder: call(perceptron(), LOSS, batch(), **options)


def moved(by=0.3, seed=3):
    net = perceptron()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            p += by * torch.randn(p.shape, generator=draw, device="cpu")
    return net


def run(folder):
    with landscape.Recorder(folder / "run") as recorder:
        for step in range(4):
            recorder.record(moved(0.1 * (3 - step), seed=step), step=step)
    return landscape.Trajectory(folder / "run")


def towards_a_run(folder):
    run_ = run(folder)
    there = run_.final(perceptron())
    pca = landscape.surface(
        there, LOSS, batch(), directions="pca", trajectory=run_, resolution=3
    )
    files = folder / "a.pt", folder / "b.pt"
    for k, file in enumerate(files):
        torch.save(moved(0.1 * k).state_dict(), file)
    again = landscape.Trajectory.collect(files, folder / "again", perceptron())
    return pca, run_[0], run_.gram(), again[1]


def surface(**options):
    return of(landscape.surface, resolution=3, **options)


def checkpoints(folder):
    others = [moved(), {k: -v for k, v in perceptron().state_dict().items()}]
    return landscape.surface(
        perceptron(), LOSS, batch(), directions="checkpoints", others=others,
        resolution=3,
    )  # fmt: skip


def line(folder):
    return landscape.line(perceptron(), moved(), LOSS, batch(), resolution=5)


def shapes(folder):
    found = surface()(folder)
    return (
        topology.diagram(found), topology.merge_tree(found),
        topology.critical_points(found), scales.decompose(found),
        wells.fit_quadratic(found)([[0.1, 0.2]]),
        wells.fit_quadratic(found).gradient([[0.1, 0.2]]),
    )  # fmt: skip


def two_weights(folder):
    part = landscape.Slice.of(landscape.toy_network("tanh", trained=True))
    with_paths = training.slice_paths(
        part, "adam", [[0.0, 1.0]], [{"lr": 0.1}], epochs=2, batch_size=30
    )
    return (
        landscape.toy_regression(), part.surface(2.0, 5), part.minimum(2.0, 5),
        part.to_dict(2.0, 5), part.gradient([[0.0, 1.0]]), with_paths,
        walks.walk(part, "adam", steps=2), walks.walk("golden", "sgd"),
        walks.walk(part, "sophia", steps=2),
    )  # fmt: skip


def curve(folder):
    ends = perceptron(), moved()
    found = curves.fit_curve(ends[0], *ends, LOSS, batch(), steps=3)
    return found, curves.walk(ends[0], found, LOSS, batch(), points=3)


def matched(folder):
    spec = curves.mlp_spec(perceptron())
    a, b = (dict(m.named_parameters()) for m in (perceptron(), moved(2.0)))
    found = curves.match_weights(a, b, spec, tries=2)
    curves.check_spec(perceptron(), spec, batch()[0])
    return found, found.apply(b), curves.mlp_spec(perceptron())


def measures(folder):
    chosen = landscape.choose_directions("random-raw", Given(perceptron()))
    plane = landscape.Plane(params.of(perceptron()), chosen)
    fitted = landscape.fit_plane(
        perceptron(), LOSS, batch(), heights=np.eye(2), steps=2
    )
    return fitted, landscape.plane_measures(
        perceptron(), LOSS, batch(), plane, resolution=3
    )


def initialized(scheme):
    def call(folder):
        net = residual()
        return init.initialize(net, scheme), net, repr(init.propagate(
            net, batch()[0]
        ))  # fmt: skip

    return call


def tuned(change, make_=residual):
    def call(folder):
        net = make_()
        return change(net), net

    return call


def fixup(folder):
    layers = [nn.Linear(6, 6, device="cpu") for _ in "ab"]
    block = init.FixupBlock(layers)
    init.fixup(block)
    return block, block(torch.ones(2, 6, device="cpu"))


def reader():
    with torch.device("cpu"):
        torch.manual_seed(1)
        layer = nn.TransformerEncoderLayer(4, 2, 6, batch_first=True)
        return nn.Sequential(nn.Embedding(7, 4), layer, nn.Linear(4, 3))


def theory(folder):
    draw = torch.Generator().manual_seed(0)
    small = {"activations": ["relu"], "schemes": ["orthogonal"], "seeds": 1}
    return (
        init.theory_table(3, width=8, samples=4, **small),
        init.lab_grid([2], width=8, samples=4, **small),
        init.haar(4, 3, generator=draw), init.hadamard(2),
        init.stack_weights("kaiming_normal", 2, 4, draw),
        init.predict_layers("relu", [1.0] * 3),
    )  # fmt: skip


def measured(folder):
    with torch.device("cpu"):
        torch.manual_seed(1)
        block = models.DecoderTransformer(7, 4, width=8, depth=2, heads=2)
    words = torch.arange(6, device="cpu").view(2, 3)
    return init.propagate_blocks(block, words), init.propagate(reader(), words)


def stepped(name):
    def call(folder):
        weights = trials.tensors(torch.float32)
        cls = optim.OPTIMIZERS[name]
        lone = trials.begin(cls, weights, lr=trials.rate(name))
        trials.run(lone, weights, 3)
        again = trials.tensors(torch.float32)
        other_ = trials.begin(cls, again, lr=trials.rate(name))
        other_.load_state_dict(lone.state_dict())
        trials.run(other_, again, 2, first=3)
        return weights, again

    return call


def loaded(folder):
    images = torch.arange(96.0, device="cpu").view(6, 1, 4, 4)
    labels = torch.arange(6, device="cpu")
    for shift in (sets.crop_and_flip, sets.flip_and_rotate):
        one = sets.Loader(images, labels, 4, True, 1, transform=shift)
        yield [*one], [*one]
    yield [*sets.Loader(images.numpy(), [0, 1] * 3, 4)]


def books(folder):
    for name in ("moons", "blobs", "spirals", "clothes", "plays"):
        found = sets.load(name)
        yield found.train_x[:50], found.train_y[:50]
    moons = sets.load("moons")
    few = moons.take(50, n_test=20).hold_out(10)
    yield few.train_x, few.test_x, [*few.loaders(20)[0]]
    words = sets.load("plays")
    yield words.encode("To be"), words.decode(words.encode("or"))
    yield sets.book_dataset().train_x[:5]


def digits(folder):
    pytest.importorskip("sklearn")
    found = sets.load("digits")
    return found.train_x[:9], found.train_y


def small(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(2, 6, device="cpu"), nn.ReLU(),
        nn.Linear(6, 3, device="cpu"),
    )  # fmt: skip


def trained(folder):
    blobs = sets.load("blobs").take(60, n_test=30)
    watch = training.Dynamics(
        (blobs.test_x, blobs.test_y), measure_every=3, max_products=8
    )
    net = small()
    best = optim.make("adamw", net.parameters(), lr=0.01)
    history = training.train(
        net, best, *blobs.loaders(20), epochs=2, callbacks=[watch],
        checkpoint=folder / "run.pt", progress=False,
    )  # fmt: skip
    seen = training.evaluate(net, blobs.loaders(20)[1])
    again = training.load_checkpoint(folder / "run.pt")
    return net, history, watch.record(), seen, sorted(again)


def swept(folder):
    blobs = sets.load("blobs").take(60, n_test=30)
    both = blobs.train_x, blobs.train_y
    test = blobs.test_x, blobs.test_y
    settings = [{"lr": 0.1}, {"lr": 0.2}]
    options = {"steps": 4, "batch_size": 20, "test": test}
    g = graph.build(["xo = cp*xw", "xw = ap*xp + aq*xq"])
    y = blobs.train_y.float()
    yield training.sweep(small, both, "adam", settings, [0, 1], **options)
    yield training.sweep(
        small, both, "sgd", settings, [0], steps=2,
        lr_factors={"0.weight": 0.5},
    )  # fmt: skip
    yield training.sweep(
        g, (blobs.train_x, y), "sgd", settings, [0], steps=3,
        test=(blobs.train_x, y),
    )  # fmt: skip


def ranged(folder):
    blobs = sets.load("blobs").take(60, n_test=30)
    net = small()
    best = optim.make("sgd", net.parameters(), lr=0.01)
    return training.lr_range(
        net, best, blobs.loaders(20)[0], steps=5, progress=False
    )


def tournament(folder):
    blobs = sets.load("blobs").take(90, n_test=30)
    found = training.arena(
        small, blobs, ["SGD", "Sophia"], budget=2, seeds=2, epochs=1, marks=2
    )
    return {k: v for k, v in vars(found).items() if "second" not in k}


def flows(folder):
    yield training.gradient_flow(perceptron(), LOSS, batch(), lr=0.1, steps=2)
    rule = training.FlowRule.sgd(0.1)
    for flow in (training.central_flow, training.stable_flow):
        yield flow(perceptron(), LOSS, batch(), optimizer=rule, steps=2)
    yield training.projected_descent(
        perceptron(), LOSS, batch(), lr=0.1, steps=2, k=1
    )
    yield training.gradient_noise(perceptron(), LOSS, batch(), parts=3)


def observed(folder):
    net = perceptron()
    observe = integrations.Observe(
        batch(), LOSS, every=1, overhead=None, max_products=8, noise=2
    )
    best = optim.make("sgd", net.parameters(), lr=0.1)
    with observe.watch(net, best):
        for _ in range(2):
            best.zero_grad()
            loss = LOSS(net(batch()[0]), batch()[1])
            loss.backward()
            best.step()
            observe(loss=float(loss.detach()))
    return observe.record()


def schedules(folder):
    for name in sorted(optim.SCHEDULES):
        try:
            yield optim.schedule_values(name, 4, lr=0.1)
        except (TypeError, ValueError):
            yield name


KINDS = ("random", "random-layer", "random-entry", "random-raw", "hessian")
TABLE = {
    **{f"surface, {kind}": surface(directions=kind) for kind in KINDS},
    "surface, gradient and random": surface(directions=("gradient", "random")),
    "surface, checkpoints": checkpoints,
    "surface, pca": towards_a_run,
    "surface, float64": surface(dtype="float64"),
    **{
        f"surface, {way}": surface(way=way)
        for way in ("slow", "mlp", "layered", "captured")
    },
    "surface, frozen": surface(way="frozen", params=["4.weight"]),
    "surface, residual": lambda folder: landscape.surface(
        residual(), LOSS, batch(), resolution=3
    ),
    "surface, on disk": lambda folder: surface(out=folder / "s")(folder),
    "line": line,
    "line, random": lambda folder: landscape.line(
        perceptron(), "random", LOSS, batch(), resolution=3
    ),
    "band": of(landscape.band, seeds=range(2), resolution=3),
    "topology": shapes,
    "two weights": two_weights,
    "fit_curve": curve,
    "match_weights": matched,
    "planes": measures,
    "top_eigenpairs": of(landscape.top_eigenpairs, k=3),
    "top_eigenpairs, smallest": of(
        landscape.top_eigenpairs, k=1, which="smallest"
    ),
    "top_eigenpairs, differences": of(
        landscape.top_eigenpairs, k=1, way="difference"
    ),
    "top_eigenpairs, Gauss-Newton": of(
        landscape.top_eigenpairs, k=2, matrix="gauss-newton"
    ),
    "top_eigenpairs, of a matrix": (
        lambda folder: landscape.top_eigenpairs(Matrix(), k=2)
    ),
    "trace": of(landscape.trace, products=9),
    "trace, hutchinson": of(landscape.trace, products=9, method="hutchinson"),
    "diagonal": of(landscape.diagonal, products=3),
    "spectral_density": of(
        landscape.spectral_density, probes=2, steps=6, points=10
    ),
    "layer_spectra": of(landscape.layer_spectra),
    "convexity_map": of(landscape.convexity_map, resolution=3),
    "sam_sharpness": of(landscape.sam_sharpness, steps=2),
    "keskar_sharpness": of(landscape.keskar_sharpness, steps=2),
    **{f"initialize, {name}": initialized(name) for name in init.SCHEMES},
    "lsuv": tuned(lambda net: init.lsuv(net, batch()[0])),
    "gradinit": tuned(
        lambda net: init.gradinit(net, LOSS, [batch()] * 2, steps=2)
    ),
    "gradinit, by Adam": tuned(
        lambda net: init.gradinit(
            net, LOSS, [batch()] * 2, steps=2, optimizer="adam"
        )
    ),
    "metainit": tuned(lambda net: init.metainit(net, (8, 4), 3, steps=2)),
    "mup": tuned(lambda net: init.mup(net, perceptron()), perceptron),
    "gpt2": tuned(init.gpt2, reader),
    "tfixup": tuned(init.tfixup, reader),
    "zero_branches": tuned(init.zero_branches, reader),
    "spectral_normalize": tuned(init.spectral_normalize),
    "fixup": fixup,
    "theory": theory,
    "propagate": measured,
    **{f"steps of {name}": stepped(name) for name in trials.NAMES},
    "schedules": schedules,
    "loaders": loaded,
    "data sets": books,
    "digits": digits,
    "train": trained,
    "sweep": swept,
    "lr_range": ranged,
    "arena": tournament,
    "flows": flows,
    "observe": observed,
}


class Matrix:
    """What somebody else's package makes of curvature."""

    shape = (5, 5)
    dtype = torch.float64

    def __matmul__(self, v):
        return torch.arange(1.0, 6.0, device="cpu", dtype=v.dtype) * v


@pytest.mark.parametrize("name", TABLE)
def test_results_are_those_without_another_default(name, elsewhere, tmp_path):
    torch.manual_seed(0)
    (tmp_path / "a").mkdir()
    wanted = list(told(list_of(TABLE[name](tmp_path / "a"))))
    torch.manual_seed(0)
    (tmp_path / "b").mkdir()
    elsewhere()
    found = list(told(list_of(TABLE[name](tmp_path / "b"))))
    assert wanted
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        assert equal(a, b), (a, b)


class Asking(nn.Module):
    """Another function where the default device is another."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3, device="cpu")

    def forward(self, x):
        home = torch.empty(0).device.type
        return self.layer(x) * (2.0 if home == "meta" else 1.0)


@pytest.mark.parametrize(
    "backend", ["threading", pytest.param("loky", marks=pytest.mark.full)]
)
def test_workers_have_the_callers_default(backend, elsewhere):
    joblib = pytest.importorskip("joblib")
    call = Asking(), LOSS, batch()
    options = {"way": "slow", "resolution": 3}
    plain = landscape.surface(*call, **options).losses
    elsewhere()
    wanted = landscape.surface(*call, **options).losses
    with joblib.parallel_config(backend):
        found = landscape.surface(*call, n_jobs=2, **options).losses
    np.testing.assert_array_equal(found, wanted)
    assert not np.array_equal(wanted, plain)


def test_the_served_explorer_has_the_callers_default(elsewhere):
    elsewhere()
    with served._one_thread() as alone:
        home = alone.submit(torch.get_default_device).result()
    assert home.type == "meta"


# These hand over tensors of their own, made on the default device, or are
# not for this model.
OWN = {
    "init.propagate_blocks",
    "landscape.Operator",
    "published.loss_surface.xy_perturb_loss",
}


@pytest.mark.full
@pytest.mark.parametrize("name", sorted(set(CALLS) - OWN))
def test_models_may_lie_where_the_default_is_not(name, elsewhere):
    case = make("batch_norm_dropout")
    elsewhere()
    try:
        CALLS[name](case)
    except ValueError as error:  # not for this model, wherever it lies
        assert "meta" not in str(error)


def test_a_page_leaves_out_for_lack_of_time_alone(elsewhere):
    elsewhere()
    found = model_page.page(perceptron(), LOSS, batch(), budget_s=6, out=None)
    assert all("budget" in why for why in found.left_out.values())


MAKERS = {
    "rand", "randn", "randint", "randperm", "empty", "zeros", "ones", "full",
    "eye", "arange", "linspace", "tensor", "as_tensor",
}  # fmt: skip


def test_whatever_is_made_says_where():
    """But for what belongs to a layer, which follows torch's own layers."""
    package, silent = Path(params.__file__).parent, []
    for path in sorted(package.rglob("*.py")):
        if path.parent == package / "models":
            continue
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = ast.unparse(call.func) if isinstance(call, ast.Call) else ""
            if name.removeprefix("torch.") in MAKERS and "torch." in name:
                words = {word.arg for word in call.keywords}
                if not words & {"device", None}:  # None: all by **
                    silent.append(f"{path.name}:{call.lineno} {name}")
    assert silent == []
