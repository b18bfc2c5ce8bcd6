"""Every public call that is handed a model, on a small case.

A call of the package that takes a model and is missing both here and in
CHANGES fails a test, so a new one must be added.
"""

import copy
import functools
import importlib
import inspect
import pkgutil
import re
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

import dldna
from dldna import (
    batches,
    explorer,
    guard,
    init,
    integrations,
    landscape,
    model_page,
    objective,
    params,
    training,
)
from dldna.landscape import curves as connectivity
from dldna.landscape import evaluate
from dldna.landscape.paths import weight_space
from dldna.landscape.space.directions import full_gradient
from dldna.published import (
    interpolation,
    loaders,
    loss_surface,
    measurements,
    model_training,
    timed_training,
    weight_embedding,
)
from dldna.training import dynamics

# Their job is to change the model, or to hold it for somebody who does.
CHANGES = {
    "init.WeightMatrix": "a view of one matrix, to be written to",
    "init.FixupBlock": "builds a module of modules",
    "init.fixup": "initialises",
    "init.gpt2": "initialises",
    "init.gradinit": "initialises",
    "init.initialize": "initialises",
    "init.lsuv": "initialises",
    "init.metainit": "initialises",
    "init.mup": "initialises",
    "init.spectral_normalize": "parametrises",
    "init.tfixup": "initialises",
    "init.zero_branches": "initialises",
    "landscape.evaluate.Subspace": "a record that holds the model",
    "landscape.evaluate.Subspace.of": "works under the guard of its caller",
    "landscape.space.directions.Given": "a record that holds the model",
    "landscape.evaluate.choose": "works under the guard of its caller",
    "published.init_analysis.analyze_initialization": "a factory",
    "published.train_dynamics.visualize_training_dynamics": "trains",
    "published.experiments.run": "trains",
    "published.readers_optimizers.Foreign": "wraps an optimizer",
    "published.readers_optimizers.as_optimizer": "wraps an optimizer",
    "published.timed_training.run": "trains",
    "published.saved_networks.read_into": "loads weights",
    "published.ownership.save_state": "only writes a file",
    "published.model_training.train_and_keep": "trains",
    "published.model_training.train_model": "trains",
    "training.arena": "takes a factory; the models are its own",
    "training.step_cost": "takes a factory; the models are its own",
    "training.State": "a record that holds the model",
    "training.sweep": "takes a factory; the models are its own",
    "training.train": "trains",
    "integrations.Observe.for_accelerate": "hands the model on to watch",
    "objective.check_call": "works under the guard of its caller",
    "objective.check_limit": "works under the guard of its caller",
    "objective.gap": "works under the guard of its caller",
    "published.measurements.memory": "counts bytes",
    "published.measurements.saved_bytes": "counts bytes",
    "objective.cast": "only looks whether the loss holds the model",
    "objective.in_place": "puts numbers into the model, and takes them out",
    "objective.opened": "hands the model on",
    "guard.attributes_kept": "a guard",
    "guard.keeping": "a guard",
    "models.SimpleNetwork": "builds a network; takes an activation",
}


def other(case):
    """A second network of the same make, with other weights."""
    twin = copy.deepcopy(case.model)
    with torch.no_grad():
        for p in twin.parameters():
            p.mul_(1.1).add_(0.01)
    return twin


def inputs_of(case):
    return batches.split(case.data)[0]


def x_of(case):
    found = inputs_of(case)
    return next(batches.tensors(found))


def _of(call, **options):
    return lambda c: call(c.model, c.loss, c.data, **options)


def _explorer(case):
    maps = explorer.Explorer(case.model, case.loss, case.data)
    maps.map().probe(0.2, 0.1)
    return explorer.walk(maps.map(), "SGD", (0.2, 0.1), 1, lr=1e-3)


def _sweep_like_a_callback(case):
    model = case.model
    watcher = training.Dynamics(case.data, measure_every=1, max_products=5)
    optimizer = torch.optim.Adam(
        [p for p in model.parameters() if p.requires_grad]
    )
    state = training.State(
        model, optimizer, batch=case.data, loss_fn=case.loss, loss=1.0
    )
    watcher.on_start(state)
    state.step = 1
    watcher.on_step(state)


def _judge_a_sweep(case):
    none = np.zeros((1, 1, 0))
    size = params.count(params.of(case.model))
    training.Sweep(
        settings=[{"lr": 0.1}], seeds=np.array([0]), step_loss=none,
        epochs=none, test_loss=none, test_accuracy=none,
        weights=np.zeros((1, 1, size), "f4"), steps_per_epoch=1,
    ).judge(case.model, case.data, case.loss)  # fmt: skip


def _observe(case):
    observe = integrations.Observe(
        case.data, case.loss, every=1, overhead=None, max_products=5, noise=0
    )
    free = [p for p in case.model.parameters() if p.requires_grad]
    with observe.watch(case.model, torch.optim.Adam(free)):
        observe(loss=1.0)


def _record(case):
    with (
        tempfile.TemporaryDirectory() as folder,
        landscape.Recorder(Path(folder) / "run") as recorder,
    ):
        recorder.record(case.model, step=0)
        recorder.record(case.model, step=1)


def _final(case):
    with tempfile.TemporaryDirectory() as folder:
        with landscape.Recorder(Path(folder) / "run") as recorder:
            recorder.record(other(case), step=0)
        landscape.Trajectory(Path(folder) / "run").final(case.model)


def _collect(case):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        torch.save(case.model.state_dict(), folder / "e1.pt")
        torch.save(other(case).state_dict(), folder / "e2.pt")
        files = sorted(folder.glob("*.pt"))
        landscape.Trajectory.collect(files, folder / "run", case.model)


def _slice(case):
    landscape.Slice.of(case.model, [(0, 0, 0), (0, 0, 1)], case.data)


def _surface(**options):
    options = {"resolution": 3} | options
    return _of(landscape.surface, **options)


def _surface_on_disk(case):
    with tempfile.TemporaryDirectory() as folder:
        _surface(out=folder)(case)


def _random_plane(model):
    like, draw = params.of(model), torch.Generator().manual_seed(0)
    pair = [params.randn_like(like, draw) for _ in range(2)]
    return landscape.Plane(like, [landscape.Direction(d) for d in pair])


def _line(**options):
    return lambda c: landscape.line(
        c.model, other(c), c.loss, c.data, resolution=3, **options
    )


def _walk(case):
    curve = connectivity.segment(case.model, other(case))
    connectivity.walk(case.model, curve, case.loss, case.data, points=3)


def _operator(case):
    operator = landscape.Operator(case.model, case.loss, case.data)
    operator @ torch.ones(operator.n, 2, dtype=operator.dtype)


def _gradient_share(case):
    pairs = landscape.top_eigenpairs(case.model, case.loss, case.data, k=1)
    landscape.gradient_share(case.model, case.loss, case.data, pairs)


def _jacobian(call):
    return lambda c: call(c.model, x_of(c)[:2])


def _preconditioner(case):
    free = [p for p in case.model.parameters() if p.requires_grad]
    training.preconditioner(case.model, torch.optim.Adam(free))


def _layers(case):
    names = [
        k for k, m in case.model.named_modules() if isinstance(m, nn.Linear)
    ]
    landscape.rescale_relu(case.model, names[0], names[-1], 2.0)


def _fans(case):
    for module in case.model.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            init.fans_of(module)


def _match(case):
    spec = connectivity.mlp_spec(case.model)
    a, b = params.of(case.model), params.of(other(case))
    connectivity.match_weights(a, b, spec).apply(b)


def _check_spec(case):
    spec = connectivity.mlp_spec(case.model)
    connectivity.check_spec(case.model, spec, inputs_of(case))


def _pca(call):
    def run(case):
        third = other(case)
        with torch.no_grad():
            next(third.parameters()).mul_(2)
        call([case.model, other(case), third])

    return run


def _guarded(case):
    with guard.untouched(case.model):
        case.model.train()
        output = batches.apply(case.model, inputs_of(case))
        case.loss(output, batches.split(case.data)[1]).backward()
        with torch.no_grad():
            for p in case.model.parameters():
                p.requires_grad_(not p.requires_grad)
                p.data.add_(1)
                p.grad = None


def _published_line(case):
    interpolation.linear_interpolation(
        case.model, other(case), [case.data], case.loss, "cpu", num_points=4
    )


def _published_plane(case):
    model = case.model
    directions = [[p.detach() for p in model.parameters()]] * 2
    directions[1] = [p * torch.linspace(0, 1, p.numel()).view_as(p).to(p)
                     for p in directions[1]]  # fmt: skip
    loss_surface.xy_perturb_loss(
        model, directions, [case.data], case.loss, "cpu", [0, 0.1], [0, 0.1]
    )


def _range_test(case):
    weights = [p for p in case.model.parameters() if p.requires_grad]
    adam = torch.optim.Adam(weights)
    training.lr_range(
        case.model, adam, [case.data], loss_fn=case.loss, steps=3
    )


CALLS = {
    "guard.untouched": _guarded,
    "init.fans_of": _fans,
    "init.gradient_quotient": _of(init.gradient_quotient),
    "init.jacobian": _jacobian(init.jacobian),
    "init.jacobian_singular_values": _jacobian(init.jacobian_singular_values),
    "init.mup_param_groups": (
        lambda c: init.mup_param_groups(c.model, other(c), 0.1)
    ),
    "init.mup_roles": lambda c: init.mup_roles(c.model, other(c)),
    "init.branch_ends": lambda c: init.branch_ends(c.model),
    "init.propagate": lambda c: init.propagate(c.model, c.data),
    "init.propagate_blocks": lambda c: init.propagate_blocks(c.model, c.data),
    "init.propagate, with a loss": (
        lambda c: init.propagate(c.model, c.data, c.loss)
    ),
    "init.spectral_param_groups": (
        lambda c: init.spectral_param_groups(c.model, 0.1)
    ),
    "init.spectral_table": lambda c: init.spectral_table(c.model),
    "init.weight_blocks": lambda c: init.weight_blocks(c.model),
    "landscape.Operator": _operator,
    "landscape.Recorder.record": _record,
    "landscape.Trajectory.collect": _collect,
    "landscape.Trajectory.final": _final,
    "landscape.Slice.of": _slice,
    "landscape.band": _of(landscape.band, seeds=range(2), resolution=3),
    "landscape.convexity_map": _of(landscape.convexity_map, resolution=2),
    "landscape.fit_plane": _of(
        landscape.fit_plane, heights=np.eye(2), steps=1
    ),
    "landscape.plane_measures": lambda c: landscape.plane_measures(
        c.model, c.loss, c.data, _random_plane(c.model), resolution=3
    ),
    "landscape.curves.check_spec": _check_spec,
    "landscape.curves.fit_curve": (
        lambda c: connectivity.fit_curve(
            c.model, c.model, other(c), c.loss, c.data, steps=2
        )
    ),
    "landscape.curves.spec_of": (
        lambda c: connectivity.spec_of(c.model, inputs_of(c))
    ),
    "landscape.curves.mlp_spec": (lambda c: connectivity.mlp_spec(c.model)),
    "landscape.curves.plane_through": (
        lambda c: connectivity.plane_through(
            c.model, other(c), {k: -v for k, v in params.of(c.model).items()}
        )
    ),
    "landscape.curves.segment": (
        lambda c: connectivity.segment(c.model, other(c)).at(0.5)
    ),
    "landscape.curves.walk": _walk,
    "landscape.diagonal": _of(landscape.diagonal, products=2),
    "landscape.evaluate.buffer_steps": (
        lambda c: evaluate.buffer_steps(c.model, other(c))
    ),
    "landscape.gradient_share": _gradient_share,
    "landscape.keskar_sharpness": _of(landscape.keskar_sharpness, steps=2),
    "landscape.layer_spectra": _of(landscape.layer_spectra),
    "objective.Objective": lambda c: objective.Objective(
        c.model, c.loss, c.data
    ).gradient(),
    "objective.chosen_names": lambda c: objective.chosen_names(c.model),
    "integrations.Observe.watch": _observe,
    "objective.check_model": lambda c: objective.check_model(c.model),
    "objective.check_ready": lambda c: objective.check_ready(c.model),
    "objective.norms": lambda c: objective.norms(c.model),
    "guard.copy_of": lambda c: guard.copy_of(c.model),
    "guard.keeps_inside": lambda c: guard.keeps_inside(c.model),
    "landscape.line": _line(),
    "landscape.line, to a state dict": (
        lambda c: landscape.line(
            c.model, other(c).state_dict(), c.loss, c.data, resolution=3
        )
    ),
    "landscape.line, recalibrated": _line(statistics="recalibrate"),
    "landscape.rescale_relu": _layers,
    "landscape.sam_sharpness": _of(landscape.sam_sharpness, steps=2),
    "landscape.space.directions.full_gradient": _of(full_gradient),
    "landscape.spectral_density": (
        _of(landscape.spectral_density, probes=1, steps=4, points=10)
    ),
    "landscape.surface": _surface(),
    "landscape.surface, slow path": _surface(way="slow"),
    "landscape.surface, float64": _surface(dtype="float64"),
    "landscape.surface, batch statistics": _surface(statistics="train"),
    "landscape.surface, recalibrated": _surface(statistics="recalibrate"),
    "landscape.surface, Hessian": _surface(directions="hessian"),
    "landscape.surface, on disk": _surface_on_disk,
    "landscape.top_eigenpairs": _of(landscape.top_eigenpairs, k=1),
    "landscape.top_eigenpairs, in training mode": (
        _of(landscape.top_eigenpairs, k=1, statistics="train")
    ),
    "landscape.trace": _of(landscape.trace, products=6),
    "landscape.weight_space.pca": _pca(weight_space.pca),
    "landscape.weight_space.tsne": (
        _pca(functools.partial(weight_space.tsne, perplexity=1.0))
    ),
    "explorer.Explorer": _explorer,
    "explorer.explore": _of(explorer.explore),
    "model_page.page": _of(model_page.page, budget_s=0.2, out=None),
    "published.loaders.placed": lambda c: loaders.placed(c.model, "cpu"),
    "published.interpolation.linear_interpolation": _published_line,
    "published.model_training.config_of": (
        lambda c: model_training.config_of(c.model)
    ),
    "published.model_training.name_of": (
        lambda c: model_training.name_of(c.model)
    ),
    "published.timed_training.foresee": (
        lambda c: timed_training.foresee(c.model, [c.data], None, c.loss)
    ),
    "published.loss_surface.analyze_loss_surface_multiscale": (
        lambda c: loss_surface.analyze_loss_surface_multiscale(
            c.model, [c.data], c.loss, "cpu", resolution=4, levels=1
        )
    ),
    "published.loss_surface.hessian_eigenvectors": (
        lambda c: loss_surface.hessian_eigenvectors(
            c.model, c.loss, [c.data], 1
        )
    ),
    "published.loss_surface.xy_perturb_loss": _published_plane,
    "published.measurements.grad_norm": lambda c: measurements.grad_norm(
        c.model
    ),
    "published.measurements.loss_grad_norm": (
        lambda c: measurements.loss_grad_norm(c.model, [c.data], c.loss)
    ),
    "published.weight_embedding.analyze_weight_space": (
        _pca(
            lambda models: weight_embedding.analyze_weight_space(
                models, ["a-epoch1", "a-epoch2", "a-epoch3"]
            )
        )
    ),
    "training.Contestant.build": (
        lambda c: training.CONTESTANTS["Adam"].build(c.model, 0.1)
    ),
    "training.Dynamics, as a callback": _sweep_like_a_callback,
    "training.Sweep.judge": _judge_a_sweep,
    "training.central_flow": _of(
        training.central_flow, optimizer=training.FlowRule.sgd(0.1), steps=2
    ),
    "training.evaluate": (
        lambda c: training.evaluate(c.model, [c.data], c.loss)
    ),
    "training.gradient_flow": _of(training.gradient_flow, lr=0.1, steps=2),
    "training.gradient_noise": _of(dynamics.gradient_noise, parts=3),
    "training.lr_range": _range_test,
    "training.preconditioner": _preconditioner,
    "training.projected_descent": _of(
        training.projected_descent, lr=0.1, steps=1, k=1
    ),
    "training.stable_flow": _of(
        training.stable_flow, optimizer=training.FlowRule.sgd(0.1), steps=2
    ),
}

_MODEL = re.compile(r"models?\d?|model_[ab]|net|network")
_WITHOUT_ALL = ("guard", "landscape.weight_space")
_NO_MODELS = ("data", "export", "plotting", "problems", "graph", "optim")


def _takes_a_model(function):
    """Whether a parameter is a model by annotation, name or docstring."""
    try:
        names = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False
    said = inspect.getdoc(function) or ""
    for name, p in names.items():
        written = str(p.annotation)
        if "Module" in written or (
            _MODEL.fullmatch(name) and p.annotation is not str
        ):
            return True
        line = re.search(rf"^\s+{name}: (.*)$", said, re.MULTILINE)
        if "Any" in written and line and re.search(r"\ba model\b", line[1]):
            return True
    return False


def _methods(kind):
    """What a class has, its own or from a class of this package."""
    found = {}
    for home in reversed(kind.__mro__):
        if home.__module__.split(".")[0] == "dldna":
            found |= vars(home)
    return found


def _public(module):
    """Public callables of a room, and those of chapters, by name."""
    names = getattr(module, "__all__", None)
    room = module.__name__.removeprefix("dldna.")
    bare = room.startswith("published.") or room in _WITHOUT_ALL
    if names is None and bare:
        names = [
            k
            for k, v in vars(module).items()
            if getattr(v, "__module__", "") == module.__name__
            and not k.startswith("_")
        ]
    for name in names or ():
        value = getattr(module, name)
        if inspect.isclass(value) and not issubclass(value, Exception):
            for key, inner in _methods(value).items():
                inner = getattr(inner, "__func__", inner)
                if not key.startswith("_") and inspect.isfunction(inner):
                    yield f"{name}.{key}", inner, inner
        if callable(value):
            yield name, value, value


def found_in_the_package():
    """Names of all public calls that take a model."""
    shortest = {}
    for info in pkgutil.walk_packages(dldna.__path__, "dldna."):
        if "._" in info.name or info.name.endswith("__main__"):
            continue
        room = info.name.removeprefix("dldna.")
        if room.split(".")[0] in _NO_MODELS:
            continue
        module = importlib.import_module(info.name)
        for name, value, function in _public(module):
            if not _takes_a_model(function):
                continue
            key = getattr(value, "__qualname__", name), value.__module__
            full = f"{room}.{name}"
            if len(full) < len(shortest.get(key, full + " ")):
                shortest[key] = full
    return sorted(shortest.values())
