"""Bars, estimates and messages of the measures of curvature."""

import itertools
import time

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dldna import progress
from dldna.landscape import curvature
from dldna.landscape.curvature import Operator

CE = F.cross_entropy
MEASURES = {
    "trace": {"products": 9},
    "diagonal": {"products": 9},
    "top_eigenpairs": {"max_products": 30},
    "layer_spectra": {"max_products": 30},
    "keskar_sharpness": {},
    "sam_sharpness": {},
    "spectral_density": {"probes": 2, "steps": 5},
}
measures = pytest.mark.parametrize("name", MEASURES)


def small():
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    return net.double()


def labelled():
    g = torch.Generator().manual_seed(2)
    x = torch.randn(12, 4, generator=g, dtype=torch.float64)
    return x, torch.randint(0, 3, (12,), generator=g)


def measure(name, model=None, **options):
    call = getattr(curvature, name)
    return call(model or small(), CE, labelled(), **MEASURES[name], **options)


SAID = {
    "trace": "1 min 30 s",
    "diagonal": "1 min 30 s",
    "top_eigenpairs": "5 min 0 s",
    "layer_spectra": "5 min 0 s",
}


class Bar:
    """As much of a bar as is needed to watch it."""

    def __init__(self, items, what):
        self.items, self.what, self.n = items, what, 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def __iter__(self):
        return iter(self.items)

    def update(self):
        self.n += 1


@pytest.fixture
def slow_clock(monkeypatch):
    """A clock by which every look takes ten seconds."""
    monkeypatch.setenv("DLDNA_PROGRESS", "1")
    clock = itertools.count(0.0, 10.0)
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))


@measures
def test_a_long_job_is_announced_and_has_a_bar(
    name, slow_clock, monkeypatch, capsys
):
    bars = []
    monkeypatch.setattr(
        progress, "track", lambda *args: bars.append(Bar(*args)) or bars[-1]
    )
    measure(name)
    said = capsys.readouterr().out
    assert all(bar.n <= len(bar.items) for bar in bars)
    assert max(bar.n for bar in bars) >= 6
    assert f": about {SAID.get(name, '1 min 40 s')}\n" in said


@measures
def test_what_is_quick_says_nothing(name, capsys, monkeypatch):
    monkeypatch.setenv("DLDNA_PROGRESS", "1")
    monkeypatch.setattr(
        time, "perf_counter", itertools.count(0, 0.01).__next__
    )
    measure(name)
    assert capsys.readouterr().out == ""


@measures
def test_misspelt_options_are_named(name):
    with pytest.raises(ValueError, match="did you mean 'matrix'"):
        measure(name, matirx="hessian")


def test_the_options_of_a_measure_are_known_too():
    with pytest.raises(ValueError, match="did you mean 'starts'"):
        measure("top_eigenpairs", start=3)
    with pytest.raises(ValueError, match="did you mean 'starts'"):
        measure("layer_spectra", start=3)
    with pytest.raises(ValueError, match="unknown option 'params'"):
        measure("layer_spectra", params=["0.weight"])
    with pytest.raises(ValueError, match="did you mean 'adaptive'"):
        measure("sam_sharpness", adaptiv=True)
    found = curvature.top_eigenpairs(small(), CE, labelled())
    with pytest.raises(ValueError, match="did you mean 'dtype'"):
        curvature.gradient_share(
            small(), CE, labelled(), found, dtyp=torch.float64
        )


@measures
def test_what_is_no_model_is_named(name):
    with pytest.raises(TypeError, match=r"must be a torch\.nn\.Module"):
        measure(name, model=torch.sin)
    with pytest.raises(ValueError, match="no parameters"):
        measure(name, model=nn.ReLU())


class AlwaysOn(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = small()

    def forward(self, x):
        return F.dropout(self.net(x), training=True)


def test_dropout_that_is_always_on_is_named():
    with pytest.raises(ValueError, match=r"training=True"):
        Operator(AlwaysOn(), CE, labelled())


def test_batch_statistics_leave_dropout_off():
    plain = small()
    dropped = nn.Sequential(plain, nn.Dropout(0.5)).train()
    a, b = (
        Operator(model, CE, labelled(), statistics="train")
        for model in (plain, dropped)
    )
    v = torch.linspace(-1, 1, a.n, dtype=a.dtype)
    torch.testing.assert_close(a @ v, b @ v)


class Again(nn.Module):
    """A layer that runs its forward again in backward."""

    def __init__(self):
        super().__init__()
        self.inner, self.placed = nn.Linear(5, 5), []

    def forward(self, x):
        self.placed.append(self.inner.weight.dtype)
        run = torch.utils.checkpoint.checkpoint
        return run(lambda y: self.inner(y).tanh(), x, use_reentrant=False)


def test_weights_that_stay_in_place_change_no_product_and_come_back():
    net = small()
    net.insert(2, Again()).float()  # put in place as float64
    before = {k: v.clone() for k, v in net.state_dict().items()}
    other, H = (
        Operator(net, CE, labelled(), dtype=torch.float64) for _ in range(2)
    )
    v = torch.linspace(-1, 1, H.n, dtype=torch.float64)
    one = other @ v

    @H.watched("products", 3)
    def interrupted():
        assert net[0].weight.dtype == torch.float64
        assert torch.equal(H @ v, one)
        assert torch.equal(H @ v, one)
        assert not net[2].placed
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[name])
        assert tensor.dtype == torch.float32
    assert all(p.requires_grad for p in net.parameters())
    assert torch.equal(H @ v, one)
