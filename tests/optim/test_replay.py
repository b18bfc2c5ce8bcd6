"""Replayed operations give the rule's own numbers, whatever the rule."""

import pytest
import torch

from dldna.optim.replay import in_pieces, record, whole


def reuses(w, g, state, t, *, lr):
    """One temporary is read three times, far apart."""
    x = 2 * g
    y = x + 1
    z = y * x - y
    return w - lr * (z * x + y), {"m": state["m"] + z}


def reads_late(w, g, state, t, *, lr):
    """The old state and the old weights are read after the new ones."""
    m = state["m"] + g
    new = w - lr * m
    v = state["m"] * w
    return new + lr * v, {"m": m}


def swaps(w, g, state, t, *, lr):
    """Two tensors of the state change places."""
    return w - lr * g, {"m": state["n"], "n": state["m"]}


def foreign(w, g, state, t, *, lr):
    """An operation that cannot be repeated."""
    return w - lr * torch.tanh(g), {"m": state["m"] + g.exp()}


def constant(w, g, state, t, *, lr):
    """A number in the state, double beside single precision."""
    c = state["c"] * 0.5 + 1
    return w - lr * c * g, {"m": state["m"], "c": c}


def bounds(w, g, state, t, *, lr):
    """A bound that varies from weight to weight."""
    return w - lr * torch.clamp(g, min=state["m"]), {"m": g.abs()}


RULES = [reuses, reads_late, swaps, foreign, constant, bounds]


def begin(rule, n=1000):
    draw = torch.Generator().manual_seed(0)
    w, m, k = torch.randn(3, n, generator=draw)
    state = {"step": 0, "m": m.clone()}
    if rule is swaps:
        state["n"] = k.clone()
    if rule is constant:
        state["c"] = torch.tensor(1 / 3, dtype=torch.float64)
    return w.clone(), state


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("shared", [False, True])
def test_replayed_rules_keep_their_numbers(rule, shared):
    w, a = begin(rule)
    pieces, b = begin(rule)
    other, c = begin(rule)
    draw = torch.Generator().manual_seed(1)
    for t in (1, 2, 3):
        g = torch.randn(1000, generator=draw)
        before = g.clone()
        plans = {} if shared else None
        a["step"] = b["step"] = c["step"] = t
        whole(rule, w, g, a, {"lr": 0.1})
        in_pieces(rule, pieces, g, b, {"lr": 0.1}, plans, size=96)
        in_pieces(rule, other, g, c, {"lr": 0.1}, plans, size=96)
        assert torch.equal(g, before)
    for weights, state in ((pieces, b), (other, c)):
        assert torch.equal(w, weights)
        for name in a.keys() - {"step"}:
            assert torch.equal(a[name], state[name])
            assert a[name].dtype == state[name].dtype


@pytest.mark.parametrize(
    ("rule", "scratch"),
    [(reuses, 3), (foreign, None), (bounds, 1)],
)
def test_plans_are_short_of_memory_and_honest(rule, scratch):
    w, state = begin(rule)
    row = [w, torch.ones(1000), state["m"]]
    plan, _ = record(rule, row, ["m"], {}, 1, {"lr": 0.1})
    assert (plan.scratch if plan else None) == scratch
