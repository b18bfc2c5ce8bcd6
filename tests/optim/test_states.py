"""Saved states: one's own, torch's, strangers'; copies; hooks."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch.distributed.checkpoint import state_dict as distributed
from torch.optim import optimizer as torch_optimizer
from trials import (
    NAMES,
    OLD,
    TORCHS,
    begin,
    copies,
    near,
    rate,
    run,
    same,
    tensors,
)

from dldna import optim
from dldna.optim.state_dicts import IN_TORCH

RICH = {
    "SGD": [{}, {"momentum": 0.9, "dampening": 0.3}],
    "RMSprop": [{}, {"momentum": 0.9, "centered": True}],
    "Adam": [{}, {"amsgrad": True, "weight_decay": 0.1}],
    "AdamW": [{}, {"amsgrad": True}],
    "NAdam": [{}, {"decoupled_weight_decay": True, "weight_decay": 0.1}],
    "RAdam": [{}, {"decoupled_weight_decay": True, "weight_decay": 0.1}],
}
SETTINGS = [(n, h) for n in TORCHS for h in RICH.get(n, [{}])]


def made(name, params, **hyper):
    return begin(optim.OPTIMIZERS[name], params, **{"lr": rate(name), **hyper})


def shapes(name):
    """Matrices, and where it can be a vector and a single number."""
    params = tensors()
    if name != "Muon":
        draw = torch.Generator().manual_seed(5)
        params += [
            nn.Parameter(torch.randn(s, generator=draw).double())
            for s in ((4,), ())
        ]
    return params


def test_torch_has_no_name_that_is_not_translated():
    here = {name for name in IN_TORCH if hasattr(torch.optim, name)}
    assert here == set(TORCHS)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("there", [True, False], ids=["from", "to"])
@pytest.mark.parametrize(("name", "hyper"), SETTINGS)
def test_states_of_torch_s_optimizer_of_the_same_name(name, hyper, there):
    """Half of the way with one, half with the other, and no difference."""
    ways = [getattr(torch.optim, name), optim.OPTIMIZERS[name]]
    first, second = ways if there else ways[::-1]
    params, whole = shapes(name), shapes(name)
    hyper = {"lr": 0.05, **hyper}
    before = first(params, **hyper)
    run(before, params, 4)
    after = second(params, lr=0.7)  # settings come with the state
    after.load_state_dict(before.state_dict())
    if there:
        assert all(type(s["step"]) is int for s in after.state.values())
    if name == "Muon":  # whose step torch takes in bfloat16
        kept = [after.state[p] for p in params]
        key = "B" if there else "momentum_buffer"
        wanted = [before.state[p] for p in params]
        other = "momentum_buffer" if there else "B"
        for a, b in zip(kept, wanted, strict=True):
            assert torch.equal(a[key], b[other])
        assert after.param_groups[0]["lr"] == 0.05
        return
    run(after, params, 4, first=4)
    run(getattr(torch.optim, name)(whole, **hyper), whole, 8)
    assert near(params, whole, 1e-9)


@pytest.mark.parametrize("name", TORCHS)
def test_states_go_out_under_torch_s_names(name):
    params = tensors()
    theirs, ours = getattr(torch.optim, name)(params), made(name, params)
    run(theirs, params, 1)
    run(ours, params, 1)
    wanted = theirs.state_dict()["state"].get(0, {}).keys() - {"step"}
    assert ours.state_dict()["state"][0].keys() - {"step"} == wanted


# Whose moments and settings the second one has, too.
ALIKE = {
    ("RAdam", "Adam"),
    ("SophiaG", "SophiaH"),
    ("Adam", "AdamW"),
    ("AdamW", "Adam"),
    *((name, "CautiousAdamW") for name in ("Adam", "AdamW")),
    *(("CautiousAdamW", name) for name in ("Adam", "AdamW")),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("other", NAMES)
def test_a_stranger_s_state_is_refused_whole(name, other):
    if {name, other} <= {"SAM", "ASAM", "SGD"}:
        return  # SAM around SGD keeps what SGD keeps
    params = tensors()
    theirs = made(other, params)
    run(theirs, params, 2)
    ours = made(name, params)
    run(ours, params, 2)
    before = copy.deepcopy(ours.state_dict())
    names = [o.state_dict()["state"][0].keys() for o in (theirs, ours)]
    alien = theirs.defaults.keys() - ours.defaults.keys()
    alien.discard("differentiable")
    if name == "Adam":  # ours is never AdamW
        alien.discard("decoupled_weight_decay")
    if names[0] == names[1] and not alien:
        ours.load_state_dict(theirs.state_dict())  # nothing would be lost
        assert name == other or (other, name) in ALIKE
        return
    with pytest.raises(ValueError, match="saved by another optimizer"):
        ours.load_state_dict(theirs.state_dict())
    alike(ours.state_dict(), before)
    run(ours, params, 1)


def alike(a, b):
    assert a["param_groups"] == b["param_groups"]
    assert a["state"].keys() == b["state"].keys()
    for key, entry in a["state"].items():
        assert entry.keys() == b["state"][key].keys()
        for k, v in entry.items():
            assert torch.equal(
                torch.as_tensor(v), torch.as_tensor(b["state"][key][k])
            )


@pytest.mark.parametrize("name", NAMES)
def test_states_for_other_parameters_are_refused(name):
    params = tensors()
    ours = made(name, params)
    run(ours, params, 2)
    saved = ours.state_dict()
    with pytest.raises(ValueError, match="groups of \\[2\\] parameters"):
        made(name, params[:1]).load_state_dict(saved)
    swapped = made(name, params[::-1])
    if any(
        torch.is_tensor(v) and v.dim()
        for v in saved["state"].get(0, {}).values()
    ):
        with pytest.raises(ValueError, match="in the order in which"):
            swapped.load_state_dict(saved)


def test_adam_and_adamw_of_torch_are_told_apart():
    params = tensors()
    if "decoupled_weight_decay" not in torch.optim.Adam(params).defaults:
        pytest.skip("the states of this torch do not say which they are")
    for ours, theirs in (("Adam", "AdamW"), ("AdamW", "Adam")):
        other = getattr(torch.optim, theirs)(params)
        run(other, params, 1)
        with pytest.raises(ValueError, match="decoupled_weight_decay"):
            made(ours, params).load_state_dict(other.state_dict())


@pytest.mark.parametrize("name", NAMES)
def test_a_state_takes_the_types_that_its_rule_gives(name):
    """As torch does, but for what is kept wider than the weights."""
    for old, new in (
        (torch.float32, torch.float64),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.bfloat16),
    ):
        params, others = tensors(old), tensors(new)
        before, after = made(name, params), made(name, others)
        run(before, params, 2)
        after.load_state_dict(before.state_dict())
        fresh = made(name, wanted := tensors(new))
        run(fresh, wanted, 2)
        for p, q in zip(others, wanted, strict=True):
            for k, v in fresh.state[q].items():
                if torch.is_tensor(v):
                    assert after.state[p][k].dtype == v.dtype, (k, old, new)
        run(after, others, 2)
        assert all(p.isfinite().all() for p in others)


@pytest.mark.parametrize("name", NAMES)
def test_a_state_that_lacks_a_setting_gets_our_default(name):
    params = tensors()
    ours = made(name, params)
    run(ours, params, 2)
    for key in ours.param_groups[0].keys() - {"params"}:
        saved = copy.deepcopy(ours.state_dict())
        del saved["param_groups"][0][key]
        other = made(name, tensors())
        other.load_state_dict(saved)
        assert other.param_groups[0][key] == other.defaults[key]
        run(other, other.param_groups[0]["params"], 1)
        old = made(name, tensors())  # unpickled from an older release
        old.param_groups[0].pop(key)
        again = pickle.loads(pickle.dumps(old))
        assert again.param_groups[0][key] == again.defaults[key]


@pytest.mark.parametrize("name", NAMES)
def test_two_optimizers_share_nothing(name):
    params, others = tensors(), tensors()
    a, b = made(name, params), made(name, others)
    run(a, params, 2)
    b.load_state_dict(a.state_dict())
    before = copy.deepcopy(a.state_dict())
    run(b, others, 3)
    alike(a.state_dict(), before)


@pytest.mark.parametrize("how", ["deepcopy", "pickle", "save"])
@pytest.mark.parametrize("name", NAMES)
def test_copies_go_on_as_the_original(name, how):
    params = tensors()
    a = made(name, params)
    run(a, params, 3)
    if how == "save":
        file = io.BytesIO()
        torch.save({"w": copies(params), "state": a.state_dict()}, file)
        file.seek(0)
        kept = torch.load(file, weights_only=True)
        others = [nn.Parameter(w) for w in kept["w"]]
        b = made(name, others, **{})
        b.load_state_dict(kept["state"])
    else:
        others, b = (
            copy.deepcopy((params, a))
            if how == "deepcopy"
            else pickle.loads(pickle.dumps((params, a)))
        )
        if name == "PAL":
            assert b.last == a.last
    run(a, params, 3, first=3)
    run(b, others, 3, first=3)
    assert same(params, others)
    assert not same(params, tensors())


@pytest.mark.parametrize("name", NAMES)
def test_hooks_run_once_each(name):
    params = tensors()
    a = made(name, params)
    run(a, params, 1)
    seen = []
    a.register_load_state_dict_pre_hook(lambda o, s: seen.append("before"))
    a.register_load_state_dict_post_hook(
        lambda o: seen.append(len(o.state_dict()["state"]))
    )
    a.register_state_dict_post_hook(lambda o, s: seen.append("out"))
    saved = a.state_dict()
    seen.clear()
    a.load_state_dict(saved)
    assert seen == ["before", "out", len(saved["state"])]
    counts = {"before": 0, "after": 0}

    def count(key):
        def hook(*_):
            counts[key] += 1

        return hook

    handles = [
        torch_optimizer.register_optimizer_step_pre_hook(count("before")),
        torch_optimizer.register_optimizer_step_post_hook(count("after")),
        a.register_step_post_hook(count("after")),
    ]
    try:
        run(a, params, 2)
    finally:
        for handle in handles:
            handle.remove()
    assert counts == {"before": 2, "after": 4}


def test_a_pre_hook_may_translate_a_state():
    params = tensors()
    theirs = torch.optim.SGD(params, momentum=0.9)
    run(theirs, params, 1)
    ours = optim.LARS(params)

    def rename(_, saved):
        entries = saved["state"].items()
        state = {k: {"step": 1, "v": v["momentum_buffer"]} for k, v in entries}
        groups = [
            {"params": g["params"], "lr": g["lr"]}
            for g in saved["param_groups"]
        ]
        return {"state": state, "param_groups": groups}

    ours.register_load_state_dict_pre_hook(rename)
    ours.load_state_dict(theirs.state_dict())
    for p in params:
        buffer = theirs.state[p]["momentum_buffer"]
        assert torch.equal(ours.state[p]["v"], buffer)


CLOSED = {
    "SAM",
    "ASAM",
    "EntropySGD",
    "ExactMARS",
    "PAL",
    "SophiaH",
    "SophiaG",
}


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(5, 4, bias=False), nn.Linear(4, 3, bias=False)
    )


@pytest.mark.parametrize("name", NAMES)
def test_distributed_checkpoints_move_nothing(name):
    """They take a step at rate 0 to see the state of a new optimizer."""
    net = network()
    params = list(net.parameters())
    fresh = made(name, params)
    if name in CLOSED:
        with pytest.raises(ValueError, match="call step\\(closure"):
            distributed.get_optimizer_state_dict(net, fresh)
        for p in params:
            p.grad = None
        run(fresh, params, 1)  # with a state of its own it can be read
        if OLD and not fresh.state:
            pytest.skip("this torch reads no optimizer without a state")
        distributed.get_optimizer_state_dict(net, fresh)
        return
    start = copies(params)
    distributed.get_optimizer_state_dict(net, fresh)
    assert same(params, start)
    run(fresh, params, 3)
    saved = copy.deepcopy(distributed.get_optimizer_state_dict(net, fresh))
    other = network()
    other.load_state_dict(net.state_dict())
    theirs = list(other.parameters())
    again = made(name, theirs)
    distributed.set_optimizer_state_dict(other, again, saved)
    assert same(params, theirs)
    run(fresh, params, 3, first=3)
    run(again, theirs, 3, first=3)
    assert same(params, theirs)


def test_sam_around_an_optimizer_of_torch():
    params, others = tensors(), tensors()
    a = optim.SAM(params, torch.optim.Adam, lr=0.05, rho=0.1)
    b = optim.SAM(others, "adam", lr=0.05, rho=0.1)
    run(a, params, 3)
    run(b, others, 3)
    assert near(params, others, 1e-7)
    c = optim.SAM(params, torch.optim.Adam, lr=0.5)
    c.load_state_dict(a.state_dict())
    assert c.param_groups[0]["rho"] == 0.1
    assert c.state is c.base.state
    d = optim.SAM(others, "adam", lr=0.5)
    d.load_state_dict(a.state_dict())
    assert set(d.state[others[0]]) == {"step", "m", "v"}
    groups = [{"params": params[:1], "rho": 0.5}, {"params": params[1:]}]
    e = optim.SAM(groups, lr=0.05)
    assert [g["rho"] for g in e.param_groups] == [0.5, 0.05]
    assert "rho" in groups[0]
