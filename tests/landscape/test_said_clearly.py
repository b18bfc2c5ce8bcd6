"""What is wrong with an argument is said of it, and not of its insides."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dldna import cli, landscape
from dldna.data import load
from dldna.init import initialize
from dldna.integrations import CSV, Observe
from dldna.landscape import curves
from dldna.training import Dynamics, compare, sweep

torch.manual_seed(0)
X, Y = torch.randn(12, 4), torch.randint(3, (12,))


def two_layers(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))


def drawn(**options):
    return landscape.surface(
        two_layers(), F.cross_entropy, (X, Y), resolution=3, **options
    )


def swept(make=two_layers, data=(X, Y), settings=({"lr": 0.1},), seeds=(0,)):
    return sweep(make, data, "sgd", settings, seeds, steps=1)


def curved(measure, **options):
    return measure(two_layers(), F.cross_entropy, (X, Y), **options)


@pytest.mark.parametrize(
    ("metrics", "says"),
    [
        (F.l1_loss, "names or a dict of functions.*not <function"),
        (None, "names or a dict of functions.*not None"),
        ({"mae": 1}, r"f\(output, batch\).*not 'mae': 1"),
        ({3: F.l1_loss}, r"f\(output, batch\).*not 3"),
    ],
)
def test_metrics_of_another_kind(metrics, says):
    with pytest.raises(TypeError, match=says):
        drawn(metrics=metrics)


@pytest.mark.parametrize("names", ["random", ("gradient", "random")])
def test_other_networks_that_no_direction_looks_at(names):
    with pytest.raises(
        ValueError, match="belongs to directions='checkpoints'"
    ):
        drawn(directions=names, others=[two_layers(1), two_layers(2)])


def test_an_extent_and_coordinates():
    with pytest.raises(TypeError, match=r"extent must be a number.*not None"):
        drawn(extent=None)
    both = {"alphas": [0, 0.5, 1], "extent": 3}
    with pytest.raises(ValueError, match="alphas or extent, not both"):
        landscape.line(
            two_layers(), two_layers(1), F.cross_entropy, (X, Y), **both
        )
    with pytest.raises(TypeError, match="seeds must be a list of them"):
        curved(landscape.band, seeds=5)


@pytest.mark.parametrize(
    ("given", "kind", "says"),
    [
        ({"make": two_layers()}, TypeError, "seed -> module, not a Seq"),
        ({"data": load("moons")}, TypeError, "pair of tensors.*not a Dataset"),
        ({"settings": {"lr": 0.1}}, TypeError, "list with a mapping"),
        ({"settings": [0.1]}, TypeError, r"list with a mapping.*\[0.1\]"),
        ({"settings": []}, ValueError, "no settings"),
        ({"seeds": 3}, TypeError, "seeds must be a list of them, not 3"),
        ({"seeds": []}, ValueError, "no seeds"),
        ({"seeds": [0.5]}, TypeError, "a seed must be a whole number"),
    ],
)
def test_a_sweep_of_something_else(given, kind, says):
    with pytest.raises(kind, match=says):
        swept(**given)


@pytest.mark.parametrize(
    "call",
    [
        lambda seed: load("blobs", seed=seed),
        lambda seed: curved(landscape.spectral_density, seed=seed),
        lambda seed: curved(landscape.top_eigenpairs, seed=seed),
        lambda seed: curved(landscape.trace, seed=seed),
        lambda seed: curved(landscape.diagonal, seed=seed),
    ],
)
@pytest.mark.parametrize("seed", [1.5, "1", None])
def test_a_seed_that_is_no_whole_number(call, seed):
    with pytest.raises(TypeError, match="seed must be a whole number"):
        call(seed)


def test_no_products_at_all():
    with pytest.raises(ValueError, match=r"max_products must be.*not 0"):
        curved(landscape.top_eigenpairs, max_products=0)


def test_what_an_observer_does_not_know():
    with pytest.raises(TypeError, match=r"sinks must be a list.*not a CSV"):
        Observe(sinks=CSV("never.csv"))
    for kind in (Observe, Dynamics):
        with pytest.raises(ValueError, match="'limt': did you mean 'limit'"):
            kind((X, Y), limt=3)
        kind((X, Y), products="difference")  # a former word


def test_modules_where_parameters_are_needed():
    a, b = two_layers(), two_layers(1)
    spec = curves.spec_of(a, X)
    for call in (
        lambda: curves.match_weights(a, b, spec),
        lambda: curves.match_weights(a.state_dict(), b, spec),
        lambda: curves.permute(a, spec, {}),
    ):
        with pytest.raises(TypeError, match=r"by name.*not a Sequential"):
            call()


def test_no_scheme_and_no_names():
    with pytest.raises(TypeError, match=r"a scheme is a name.*not None"):
        initialize(two_layers(), None)
    for names in (("a",), "ab"):
        with pytest.raises(ValueError, match="names must be two"):
            compare([1.0, 2.0], [2.0, 3.0], names=names)


@pytest.mark.parametrize("command", ["landscape", "page", "explore"])
def test_a_command_asks_for_what_it_needs_and_no_more(command, capsys):
    assert cli.main([command]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.endswith("are required: model, --data")


def test_a_trajectory_says_what_it_is(tmp_path):
    with landscape.Recorder(tmp_path / "run") as recorder:
        for step in (0, 7, 9):
            recorder.record(two_layers(step), step=step)
    words = repr(landscape.Trajectory(tmp_path / "run"))
    assert "3 checkpoints, steps 0 to 9" in words
    assert "run" in words


class OfTwo(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x, shift):
        return self.layer(x) + shift


def test_several_inputs_that_are_read_as_batches():
    data = X, torch.ones(12, 3), Y
    with pytest.raises(
        TypeError, match=r"'shift'.*one Tensor.*\(\(x1, x2\), y\)"
    ):
        landscape.surface(OfTwo(), F.cross_entropy, data, resolution=3)
    pair = (X, torch.ones(12, 3)), Y
    found = landscape.surface(OfTwo(), F.cross_entropy, pair, resolution=3)
    assert found.evaluated.all()


def test_a_type_that_numpy_has_not():
    said = r"data.bfloat16\(\) or model.float\(\)"
    with pytest.raises(TypeError, match=said):
        landscape.surface(
            two_layers().bfloat16(), F.cross_entropy, (X, Y), resolution=3
        )
