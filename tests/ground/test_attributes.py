"""Whatever a forward writes into its modules is put back."""

import copy

import pytest
import torch
from torch import nn

from dldna.guard import attributes_kept
from dldna.module_state import AllAttributes


def net():
    made = nn.Sequential(nn.BatchNorm1d(2), nn.ReLU(), nn.Dropout())
    made[1].seen, made[1].named, made[1].kinds = [1, 2], {"a": 1}, {3}
    made[1].nothing = []
    return made


CHANGES = {
    "nothing": lambda m: None,
    "a mode": lambda m: m[2].eval(),
    "a new attribute": lambda m: setattr(m[1], "count", 1),
    "an attribute less": lambda m: delattr(m[1], "seen"),
    "another list": lambda m: setattr(m[1], "seen", [1, 2]),
    "a longer list": lambda m: m[1].seen.append(3),
    "a list in another order": lambda m: m[1].seen.reverse(),
    "an empty list filled": lambda m: m[1].nothing.append(1),
    "a dict's value": lambda m: m[1].named.update(a=2),
    "a dict's key": lambda m: (m[1].named.pop("a"), m[1].named.update(b=1)),
    "a set": lambda m: m[1].kinds.add(4),
    "a set's element": lambda m: (m[1].kinds.pop(), m[1].kinds.add(4)),
    "a hook": lambda m: m[1].register_forward_hook(print),
    "a buffer's tensor": lambda m: setattr(
        m[0], "running_mean", torch.ones(2)
    ),
    "a buffer less": lambda m: m[0]._buffers.pop("running_var"),
    "a new buffer": lambda m: m[1].register_buffer("extra", torch.ones(1)),
}


def state(model):
    """All attributes, containers copied; buffers by identity."""
    return [
        {
            k: (id(v), copy.copy(v)) if isinstance(v, (list, set, dict)) else v
            for k, v in vars(m).items()
        }
        for m in model.modules()
    ], [{k: id(b) for k, b in m._buffers.items()} for m in model.modules()]


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_each_change_is_put_back_as_often_as_it_is_made(change):
    model = net()
    before = state(model)
    kept = AllAttributes(model)
    for _ in range(2):
        change(model)
        kept.put_back()
        assert state(model) == before
    with attributes_kept(model):
        change(model)
    assert state(model) == before


@pytest.mark.parametrize("what", [c for c in CHANGES if "buffer" not in c])
def test_a_change_is_seen(what):
    model = net()
    kept = AllAttributes(model)
    CHANGES[what](model)
    seen = not kept.unchanged() or any(kept.empty)
    assert seen == (what != "nothing")
