"""A model that is looked at stays as it was, to the bit, whatever happens."""

import random
import sys
from contextlib import contextmanager, suppress
from unittest.mock import patch

import numpy as np
import pytest
import torch
from calls import CALLS, CHANGES, found_in_the_package
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from menagerie import KINDS, Case, make
from torch import nn
from torch.nn.utils import parametrizations
from torch.overrides import TorchFunctionMode
from watching import differences, snapshot

from dldna import guard

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # strange models are warned of
]


def test_no_public_call_is_forgotten():
    listed = {name.split(",")[0] for name in CALLS} | set(CHANGES)
    missing = set(found_in_the_package()) - listed
    assert not missing, f"add to tests/promises/calls.py: {sorted(missing)}"


def test_no_listed_call_is_gone():
    listed = {name.split(",")[0] for name in CALLS} | set(CHANGES)
    read = {
        "landscape.weight_space.pca",  # "checkpoints": models or dicts
        "landscape.weight_space.tsne",
        "landscape.connectivity.match_weights",  # dicts of tensors
        "training.Dynamics",  # a callback, given a State
    }
    gone = listed - set(found_in_the_package()) - read
    assert not gone, f"no longer public, or takes no model: {sorted(gone)}"


def attempt(call, case):
    """Make a call; True if it went through, the error if not."""
    try:
        call(case)
    except Exception as error:
        return error
    return True


# These take every kind of model in the menagerie.
TAKE_ALL = {
    "init.gradient_quotient",
    "init.propagate",
    "landscape.Operator",
    "landscape.Recorder.record",
    "landscape.Trajectory.final",
    "landscape.band",
    "landscape.connectivity.walk",
    "landscape.line",
    "landscape.surface",
    "landscape.surface, on disk",
    "landscape.top_eigenpairs",
    "landscape.trace",
    "training.evaluate",
}


# Its forward cuts weights off, and torch's gradient does not know of it.
WRONG = {"writes_and_draws": "differs from differences"}


USUAL = "batch_norm_dropout"
NAMES = list(CALLS)


@pytest.mark.parametrize("name", CALLS)
def test_untouched_by(name):
    """The usual network, and two of the strange ones, by turns."""
    first = NAMES.index(name) % len(KINDS)
    check_untouched(name, {USUAL, *[*KINDS, *KINDS][first : first + 2]})


@pytest.mark.full
@pytest.mark.parametrize("name", CALLS)
def test_untouched_by_on_all_kinds(name):
    check_untouched(name, KINDS)


def check_untouched(name, kinds):
    """Strange models may be refused; they may not be changed."""
    went = {}
    for kind in [k for k in KINDS if k in kinds]:
        case = make(kind)
        before = snapshot(case)
        went[kind] = attempt(CALLS[name], case)
        changed = differences(before, snapshot(case))
        assert not changed, (kind, went[kind], changed)
        said = WRONG.get(kind, "-") in str(went[kind])
        takes = went[kind] is True or said
        assert takes or name not in TAKE_ALL, (kind, went[kind])
    usual = went[USUAL]
    assert usual is True or REFUSED.get(name, "-") in str(usual), usual


# What the usual small network is refused for, and by which words.
REFUSED = {
    "init.propagate_blocks": "the theory of blocks is that of",
    "landscape.Slice.of": "a slice needs linear layers",
    "landscape.top_eigenpairs, in training mode": "two evaluations",
}


class Fault(Exception):
    pass


class Fuse:
    """Counts, and raises once, at a given count."""

    def __init__(self, at=0, error=Fault):
        self.at, self.error, self.count = at, error, 0

    def tick(self):
        self.count += 1
        if self.count == self.at:
            raise self.error("at the given moment")


@contextmanager
def forward_of(model, fuse):
    """Tick at every call of the model itself, also through torch.func."""
    plain = nn.Module._call_impl

    def call(self, *args, **kwargs):
        if self is model:
            fuse.tick()
        return plain(self, *args, **kwargs)

    with patch.object(nn.Module, "_call_impl", call):
        yield


class Operations(TorchFunctionMode):
    """Tick at every torch operation outside of the guard."""

    def __init__(self, fuse):
        super().__init__()
        self.fuse = fuse

    def __torch_function__(self, func, types, args=(), kwargs=None):
        frame = sys._getframe(1)
        while frame is not None and frame.f_code.co_filename != GUARD:
            frame = frame.f_back
        if frame is None and func is not torch._C._set_grad_enabled:
            self.fuse.tick()  # (that one ends a no_grad block)
        return func(*args, **(kwargs or {}))


GUARD = guard.__file__
MOMENTS = (0.0, 0.1, 0.35, 0.5, 0.8, 1.0)


def moments(last, shares):
    return sorted({1 + round((last - 1) * s) for s in shares}) if last else []


def fail_at(name, kind, watch, at, error):
    case = make(kind)
    before = snapshot(case)
    fuse = Fuse(at, error)
    try:
        with watch(case, fuse):
            CALLS[name](case)
    except (Fault, KeyboardInterrupt):
        pass
    except Exception as other:  # the fault, told in other words
        assert at == 0 or fuse.count >= at, other
    changed = differences(before, snapshot(case))
    assert not changed, (kind, at, error.__name__, changed)
    return fuse.count


ORDER = list(CALLS)
TRIED = ("batch_norm_dropout", "channels_last", "attention_dict", "lstm",
         "tied_and_shared", "frozen_parts")  # fmt: skip


ERRORS = (Fault, KeyboardInterrupt)


@pytest.mark.full
@pytest.mark.parametrize("name", CALLS)
def test_untouched_when_a_forward_fails(name):
    """At each of the first eight calls of the model, and at the last."""

    def watch(case, fuse):
        return forward_of(case.model, fuse)

    last = fail_at(name, "batch_norm_dropout", watch, 0, Fault)
    for at in sorted({*range(1, min(last, 8) + 1), last} - {0}):
        for error in ERRORS if at == 1 else (ERRORS[at % 2],):
            fail_at(name, "batch_norm_dropout", watch, at, error)


@pytest.mark.parametrize("name", CALLS)
def test_untouched_when_an_operation_fails(name):
    """One at the beginning, in the middle and near the end of the call."""
    check_operations(name, (0.1, 0.5, 0.8))


@pytest.mark.full
@pytest.mark.parametrize("name", CALLS)
def test_untouched_when_any_operation_fails(name):
    """At moments spread over all torch operations of the call."""
    check_operations(name, MOMENTS)


def check_operations(name, shares):
    def watch(case, fuse):
        return Operations(fuse)

    kind = TRIED[ORDER.index(name) % len(TRIED)]
    last = fail_at(name, kind, watch, 0, Fault)
    for i, at in enumerate(moments(last, shares)):
        fail_at(name, kind, watch, at, ERRORS[i % 2])


LAYERS = st.sampled_from(
    [
        lambda: nn.Linear(4, 4),
        lambda: nn.Linear(4, 4, bias=False),
        lambda: parametrizations.weight_norm(nn.Linear(4, 4)),
        lambda: nn.BatchNorm1d(4),
        lambda: nn.BatchNorm1d(4, momentum=None),
        lambda: nn.LayerNorm(4),
        lambda: nn.Dropout(0.5),
        lambda: nn.ReLU(inplace=True),
        nn.GELU,
        lambda: nn.PReLU(4),
        nn.RReLU,
    ]
)


@st.composite
def cases(draw):
    """Any small network in any state."""
    torch.manual_seed(draw(st.integers(0, 99)))
    layers = [layer() for layer in draw(st.lists(LAYERS, max_size=6))]
    if layers and draw(st.booleans()):
        layers.append(layers[0])  # one module in two places
    model = nn.Sequential(*layers, nn.Linear(4, 3))
    for p in model.parameters():
        p.requires_grad_(draw(st.booleans()))
        if p.requires_grad and draw(st.booleans()):
            p.grad = torch.randn_like(p)
    for module in model.modules():
        module.training = draw(st.booleans())
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    x, y = torch.randn(6, 4, dtype=dtype), torch.arange(6) % 3
    return Case(model.to(dtype), (x, y), nn.CrossEntropyLoss())


@given(cases(), st.sampled_from(ORDER), st.integers(0, 60), st.booleans())
@settings(max_examples=80, suppress_health_check=list(HealthCheck))
def test_untouched_whatever_the_network_and_the_moment(case, name, at, stop):
    before = snapshot(case)
    with suppress(Exception, KeyboardInterrupt):
        fuse = Fuse(at, KeyboardInterrupt if stop else Fault)
        with Operations(fuse):
            CALLS[name](case)
    assert not differences(before, snapshot(case))


def test_the_watch_sees_every_kind_of_change():
    """Otherwise the tests above could not fail."""

    def seen(change):
        case = make("batch_norm_dropout")
        before = snapshot(case)
        change(case.model)
        return differences(before, snapshot(case))

    for change in (
        lambda m: m[0].weight.data[0, 0].neg_(),
        lambda m: m[1].running_mean.add_(1e-30),
        lambda m: m[3].train(not m[3].training),
        lambda m: m[4].bias.requires_grad_(False),
        lambda m: setattr(m[0].weight, "grad", None),
        lambda m: m[0].weight.grad.add_(1),
        lambda m: setattr(m[2], "inplace", True),
        lambda m: m[0].register_forward_hook(print),
        lambda m: m[0].weight.register_hook(print),
        lambda m: m.append(nn.ReLU()),
        lambda m: setattr(m[0], "weight", nn.Parameter(m[0].weight.data)),
        lambda m: torch.rand(1),
        lambda m: random.random(),
        lambda m: np.random.rand(),  # noqa: NPY002
    ):
        assert seen(change)
    assert not seen(lambda m: None)
