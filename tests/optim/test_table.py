"""Every optimizer of the table crossed with what people do to optimizers."""

import inspect

import pytest
import torch
import trials
from torch import nn
from trials import ALONE, NAMES, begin, copies, near, rate, run, same, tensors

from dldna import optim

pytestmark = pytest.mark.usefixtures("float64")  # torch's counters, too

SCHEDULES = {
    "step": {"step_size": 2, "gamma": 0.5},
    "exponential": {"gamma": 0.8},
    "polynomial": {"total_iters": 6, "power": 2.0},
    "cosine": {"T_max": 5},
    "restarts": {"T_0": 3},
    "warmup": {"start_factor": 1e-9, "total_iters": 4},
    "noam": {"d_model": 16, "warmup": 3},
    "wsd": {"warmup": 2, "stable": 2, "decay": 3},
    "one_cycle": {"max_lr": 0.1, "total_steps": 9, "cycle_momentum": False},
    "cyclic": {
        "base_lr": 0.0,
        "max_lr": 0.1,
        "step_size_up": 3,
        "cycle_momentum": False,
    },
    "plateau": {"factor": 0.5, "patience": 0},
}
STEPS = 7


def made(name, params, **hyper):
    return begin(optim.OPTIMIZERS[name], params, **{"lr": rate(name), **hyper})


def scheduled(optimizer, params, schedule):
    scheduler = optim.schedule(schedule, optimizer, **SCHEDULES[schedule])
    shown = (1.0,) if schedule == "plateau" else ()
    start, path = copies(params), []
    still = True
    for i in range(STEPS):
        still = still and all(g["lr"] == 0 for g in optimizer.param_groups)
        trials.step(optimizer, params, i)
        scheduler.step(*shown)
        path.append((still, copies(params)))
    return start, path


def test_every_schedule_is_crossed():
    assert set(SCHEDULES) == set(optim.SCHEDULES)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", NAMES)
def test_schedules_give_the_right_numbers_also_from_rate_0(name, schedule):
    params = tensors()
    start, path = scheduled(made(name, params), params, schedule)
    for still, point in path:
        assert all(p.isfinite().all() for p in point)
        if still:  # no rate was above 0 so far
            assert same(point, start)
    assert path[0][0] is (schedule in {"wsd", "cyclic"})
    assert not same(path[-1][1], start)
    if (cls := trials.oracle(name)) is not None:
        other = tensors()
        theirs = scheduled(begin(cls, other, lr=rate(name)), other, schedule)
        for (_, ours), (_, wanted) in zip(path, theirs[1], strict=True):
            assert near(ours, wanted)


@pytest.mark.parametrize("name", NAMES)
def test_a_tensor_thawed_late_moves_right(name):
    def go(cls):
        params = tensors()
        params[0].requires_grad_(False)
        optimizer = begin(cls, params, lr=rate(name))
        middle = copies(run(optimizer, params, 4))
        params[0].requires_grad_(True)
        return middle, copies(run(optimizer, params, 4, first=4))

    middle, end = go(optim.OPTIMIZERS[name])
    assert same(middle[:1], tensors()[:1])
    assert all(p.isfinite().all() for p in end)
    assert not same(end[:1], middle[:1])
    cls = trials.oracle(name)
    if cls is not None and not name.startswith("ScheduleFree"):
        assert near(end, go(cls)[1])
    if name in ALONE:  # as if it began now, alone; so the reference's sums,
        params = tensors()  # which count steps it did not take, do not show
        params[1].requires_grad_(False)
        fresh = run(made(name, params), params, 4, first=4)
        assert same(fresh[:1], end[:1])


@pytest.mark.parametrize("name", NAMES)
def test_a_group_at_rate_0_stands_still(name):
    def go(cls):
        params = tensors()
        groups = [{"params": params[:1], "lr": 0.0}, {"params": params[1:]}]
        optimizer = begin(cls, groups, lr=rate(name))
        middle = copies(run(optimizer, params, 4))
        optimizer.param_groups[0]["lr"] = rate(name)
        return middle, copies(run(optimizer, params, 3, first=4))

    if name == "PAL":
        with pytest.raises(ValueError, match="PAL has one lr for the whole"):
            go(optim.PAL)
        return
    middle, end = go(optim.OPTIMIZERS[name])
    assert same(middle[:1], tensors()[:1])
    assert not same(middle[1:], tensors()[1:])
    assert all(p.isfinite().all() for p in end)
    assert not same(end[:1], middle[:1])
    cls = trials.oracle(name)
    if cls is not None and name != "DAdaptAdam":  # whose authors refuse it
        for mine, theirs in zip((middle, end), go(cls), strict=True):
            assert near(mine, theirs)


@pytest.mark.parametrize("name", NAMES)
def test_rate_0_everywhere_moves_nothing(name):
    params = tensors()
    optimizer = made(name, params, lr=0.0)
    assert same(run(optimizer, params, 3), tensors())


@pytest.mark.parametrize("name", NAMES)
def test_no_gradient_anywhere(name):
    params = tensors()
    optimizer = made(name, params)
    needs = hasattr(optimizer, "needs_curvature")
    more = {"curvature": params[0].sum} if needs else {}
    assert optimizer.step(lambda: torch.tensor(1.0), **more) == 1.0
    for p in params:
        p.requires_grad_(False)
    run(optimizer, params, 2)
    assert same(params, tensors())
    for p in params:
        p.requires_grad_(True)
    run(optimizer, params, 3)
    assert all(p.isfinite().all() for p in params)


@pytest.mark.parametrize("name", NAMES)
def test_a_state_that_was_looked_at_is_no_state(name):
    params, others = tensors(), tensors()
    optimizer = made(name, params)
    for p in params:
        assert optimizer.state[p] == {}
    if hasattr(optimizer, "eval"):
        optimizer.eval()
        optimizer.train()
    copied = made(name, tensors())
    copied.load_state_dict(optimizer.state_dict())
    assert same(run(optimizer, params, 3), run(made(name, others), others, 3))


# Another value for each setting, and what must be switched on to see it.
OTHER = {
    "lr": 0.02, "momentum": 0.5, "dampening": 0.5, "weight_decay": 0.3,
    "betas": (0.5, 0.7), "eps": 0.5, "lr_decay": 0.5, "alpha": 0.5,
    "initial_accumulator_value": 2.0, "momentum_decay": 0.5, "d": 0.3,
    "beta2_decay": -0.3, "trust": 0.5, "gamma": 0.7, "k": 2, "seed": 7,
    "ns_coefficients": (2.0, -1.5, 0.5), "ns_steps": 2, "every": 3,
    "adjust_lr_fn": "match_rms_adamw", "precondition_frequency": 3,
    "max_precondition_dim": 4, "d0": 0.5, "inner_lr": 0.3, "steps": 3,
    "noise": 0.4, "scoping": 0.5, "form": "paper", "rho": 0.3, "beta": 0.1,
    "s_max": 0.1, "training": False, "norm": "sign", "scale": 2.0,
    "beta3_warmup": 5, "alpha_warmup": 5,
}  # fmt: skip
WITH = {
    ("SGD", "dampening"): {"momentum": 0.9},
    ("SGD", "nesterov"): {"momentum": 0.9},
    ("NAdam", "decoupled_weight_decay"): {"weight_decay": 0.1},
    ("RAdam", "decoupled_weight_decay"): {"weight_decay": 0.1},
    ("ADOPT", "decoupled_weight_decay"): {"weight_decay": 0.1},
    ("PAL", "alpha"): {"s_max": 9.0},
    ("SOAP", "precondition_frequency"): {"precondition_frequency": 1},
} | {
    (name, key): {"gamma": 20.0}  # else every step is clipped
    for name in ("SophiaH", "SophiaG")
    for key in ("k", "gaussian", "gamma", "eps", "betas")
}
ONLY = {
    "Prodigy": {"betas": (0.5, 0.999)},
    "DAdaptAdam": {"betas": (0.5, 0.999), "eps": 1e-3},
    "Adafactor": {"eps": (0.5, 0.5)},
    "AdEMAMix": {"betas": (0.5, 0.7, 0.9)},
    "SAM": {"momentum": 0.5},
}
ONCE = {
    "PAL": ("lr", "alpha", "beta", "s_max"),
    "EntropySGD": ("steps", "seed"),
    "SophiaH": ("seed",),
    "SophiaG": ("seed",),
    "ScheduleFreeSGD": ("training",),
    "ScheduleFreeAdamW": ("training",),
    "Prodigy": ("lr", "d0"),
    "DAdaptAdam": ("lr", "d0"),
}


def settings():
    for name in NAMES:
        known = list(inspect.signature(optim.OPTIMIZERS[name]).parameters)
        if name in {"SAM", "ASAM"}:
            known = ["lr", "rho", "momentum", "weight_decay"]
        for key in known:
            if key not in {"params", "unknown", "flatten"}:
                yield name, key


@pytest.mark.parametrize(("name", "key"), list(settings()))
def test_a_group_s_setting_is_used_or_refused(name, key):
    hyper = {"lr": rate(name), **WITH.get((name, key), {})}
    usual = made(name, tensors(), **hyper).param_groups[0][key]
    value = ONLY.get(name, {}).get(key, OTHER.get(key))
    value = (not usual) if isinstance(usual, bool) else value
    assert value is not None, f"give OTHER a value for {key!r}"
    assert value != usual

    def go(second):
        params = tensors()
        groups = [{"params": params[:1]}, {"params": params[1:], **second}]
        return run(made(name, groups, **hyper), params, STEPS)

    if key in ONCE.get(name, ()):
        with pytest.raises(ValueError, match="the same in all groups"):
            go({key: value})
        return
    ours = go({key: value})
    assert all(p.isfinite().all() for p in ours)
    assert not same(ours[1:], go({})[1:]), f"{key} changes nothing"
    if name in ALONE:
        params = tensors()
        params[0].requires_grad_(False)
        run(made(name, params, **{**hyper, key: value}), params, STEPS)
        assert same(params[1:], ours[1:])


def test_sophia_refreshes_each_group_by_its_own_k():
    params = tensors()
    groups = [
        {"params": params[:1], "k": 2},
        {"params": params[1:], "k": 5},
    ]
    optimizer = made("SophiaH", groups)
    seen, before = [[], []], [None, None]
    for i in range(8):
        trials.step(optimizer, params, i)
        for j, p in enumerate(params):
            h = optimizer.state[p]["h"].clone()
            if before[j] is None or not torch.equal(h, before[j]):
                seen[j].append(i)
            before[j] = h
    assert seen == [[0, 2, 4, 6], [0, 5]]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("key", "hint"),
    [("l_r", "lr"), ("learning_rate", "lr"), ("weight_decy", ""), ("wd", "")],
)
def test_misspelt_settings_of_a_group_are_refused(name, key, hint):
    settings = made(name, tensors()).defaults
    hint = hint or "weight_decay"
    if hint not in settings and key == "weight_decy":
        return  # a label like any other
    with pytest.raises(TypeError, match=f"unknown setting '{key}'.*{hint}"):
        made(name, [{"params": tensors(), key: 0.1}])


def test_settings_of_others_are_refused_and_labels_are_kept():
    with pytest.raises(TypeError, match="unknown setting 'momentum'"):
        optim.Adam([{"params": tensors(), "momentum": 0.9}])
    labels = {"name": "body", "lr_scale": 0.5, "names": ["a", "b"]}
    group = optim.Adam([{"params": tensors(), **labels}]).param_groups[0]
    assert labels.items() <= group.items()


HALF = {torch.bfloat16: 0.05, torch.float16: 0.01}


@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_half_precision_stays_near_single(name, dtype):
    hyper = {"eps": 1e-4} if dtype == torch.float16 and name in EPS else {}
    single, half = tensors(torch.float32), tensors(dtype)
    run(made(name, single, **hyper), single, STEPS)
    optimizer = made(name, half, **hyper)
    run(optimizer, half, STEPS)
    for p, q, start in zip(half, single, tensors(), strict=True):
        assert p.isfinite().all()
        assert p.dtype == dtype
        moved = (q - start).norm()
        assert (p.float() - q).norm() < HALF[dtype] * q.norm() + 0.2 * moved


EPS = {"Adam", "AdamW", "NAdam", "RAdam", "AdaBelief", "RMSprop", "LAMB",
       "Adagrad", "ScheduleFreeAdamW", "SophiaH", "SophiaG", "AdEMAMix",
       "MARS", "ExactMARS", "CautiousAdamW"}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_gradient_scaler_changes_no_number(name):
    plain, params = tensors(torch.float32), tensors(torch.float32)
    run(made(name, plain), plain, 4)
    optimizer = made(name, params)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    for i in range(4):
        scaled(optimizer, params, scaler, lambda i=i: loss_of(params, i))
    assert same(params, plain)
    before, scale = copies(params), scaler.get_scale()
    big = 1e36
    scaled(optimizer, params, scaler, lambda: big * loss_of(params, 9))
    assert same(params, before)  # the gradients overflowed
    assert scaler.get_scale() == scale / 2


def loss_of(params, seed):
    return trials.loss_of(params, seed)


def scaled(optimizer, params, scaler, loss):
    needs = getattr(optimizer, "needs_curvature", None)
    look = {"loss": loss, "logits": lambda: params[1] @ params[0]}
    more = {"curvature": look[needs]} if needs else {}
    if getattr(optimizer, "needs_closure", False):
        optim.scaled_step(optimizer, loss, scaler, **more)
        return
    optimizer.zero_grad()
    scaler.scale(loss()).backward()
    scaler.step(optimizer, **more)
    scaler.update()


@pytest.mark.parametrize("name", NAMES)
def test_scaled_step_serves_every_optimizer(name):
    plain, params = tensors(torch.float32), tensors(torch.float32)
    run(made(name, plain), plain, 3)
    optimizer = made(name, params)
    for enabled, steps in ((True, (0, 1)), (False, (2,))):
        scaler = torch.amp.GradScaler("cpu", 2.0**10, enabled=enabled)
        for i in steps:
            needs = getattr(optimizer, "needs_curvature", None)
            look = {
                "loss": lambda i=i: loss_of(params, i),
                "logits": lambda: params[1] @ params[0],
            }
            more = {"curvature": look[needs]} if needs else {}
            optim.scaled_step(
                optimizer, lambda i=i: loss_of(params, i), scaler, **more
            )
    assert same(params, plain)


@pytest.mark.parametrize(
    "name", ["SAM", "ASAM", "EntropySGD", "ExactMARS", "PAL"]
)
def test_a_scaler_s_step_on_a_closure_says_what_to_do(name):
    params = tensors(torch.float32)
    optimizer = made(name, params)
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(torch.zeros(()))  # from here on it has a scale
    for _ in range(2):
        with pytest.raises(RuntimeError, match="scaled_step"):
            scaler.step(optimizer, lambda: loss_of(params, 0))
    run(optimizer, params, 1)  # and a plain step goes on


@pytest.mark.parametrize("name", NAMES)
def test_parameters_added_late(name):
    def go(cls):
        params = tensors()
        late = params[0]
        late.requires_grad_(False)
        optimizer = begin(cls, params[1:], lr=rate(name))
        if hasattr(optimizer, "needs_curvature"):  # of what it moves alone
            late.requires_grad_(True)
        run(optimizer, params, 3)
        late.requires_grad_(True)
        late.grad = None
        optimizer.add_param_group({"params": [late]})
        return copies(run(optimizer, params, 3, first=3))

    ours = go(optim.OPTIMIZERS[name])
    assert all(p.isfinite().all() for p in ours)
    assert not same(ours[:1], tensors()[:1])
    cls = trials.oracle(name)
    if trials.OLD and name == "Adagrad":
        pytest.skip("this torch's own cannot take them")
    if name in trials.TORCHS and cls is not None:
        assert near(ours, go(cls))


@pytest.mark.parametrize("name", ["Prodigy", "DAdaptAdam"])
@pytest.mark.parametrize("order", [1, -1])
def test_numbers_of_the_network_live_once(name, order):
    """They survive thawed, rare and added tensors in any order."""

    def go(cls):
        body, head = (nn.Parameter(torch.zeros(2).double()) for _ in "ab")
        optimizer = begin(cls, [body, head][::order])
        found = []
        for t in range(120):
            rare = t >= 80 and t % 7 == 3
            body.grad = body.detach() - 1 if rare else None
            head.grad = head.detach() - 3
            optimizer.step()
            state = optimizer.state[head]
            group = optimizer.param_groups[0]
            found.append(float(state["d"] if "d" in state else group["d"]))
        return found, [body.detach(), head.detach()], optimizer

    ours, point, optimizer = go(optim.OPTIMIZERS[name])
    theirs, wanted, _ = go(trials.oracle(name))
    assert ours == pytest.approx(theirs, rel=1e-9)
    assert near(point, wanted, 1e-8)
    assert ours == sorted(ours)
    values = {float(s["d"]) for s in optimizer.state.values()}
    assert values == {ours[-1]}
    new = nn.Parameter(torch.zeros(2).double())
    optimizer.add_param_group({"params": [new]})
    new.grad = new.detach() - 2
    optimizer.step()
    assert float(optimizer.state[new]["d"]) >= ours[-1]


@pytest.mark.parametrize("name", ["Prodigy", "DAdaptAdam"])
def test_groups_of_one_rate_may_differ_elsewhere(name):
    """Each weight has its own group's decay, as in the authors' code."""

    def go(cls):
        params = tensors()
        groups = [{"params": [p], "weight_decay": 0.1 * i}
                  for i, p in enumerate(params)]  # fmt: skip
        return run(begin(cls, groups, lr=1.0), params, 9)

    if name == "Prodigy":
        assert near(go(optim.Prodigy), go(trials.oracle(name)))
    ours = go(optim.OPTIMIZERS[name])
    assert all(p.isfinite().all() for p in ours)


@pytest.mark.parametrize("name", ["ScheduleFreeSGD", "ScheduleFreeAdamW"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_without_slope_do_not_drift(name, dtype):
    params = tensors(dtype)
    optimizer = made(name, params)
    for _ in range(200):
        for p in params:
            p.grad = torch.zeros_like(p)
        optimizer.step()
    assert same(params, tensors(dtype))
    for _ in range(3):
        optimizer.eval()
        assert same(params, tensors(dtype))
        optimizer.train()
    assert same(params, tensors(dtype))


@pytest.mark.parametrize("seen", range(9))
def test_radam_with_every_short_memory(seen):
    """At beta2 = 0.6 the limit of its rho is 4 exactly."""
    betas = (0.5, seen / 10)

    def go(cls):
        params = tensors()
        return run(cls(params, lr=0.05, betas=betas), params, 6)

    assert near(go(optim.RAdam), go(torch.optim.RAdam))


@pytest.mark.parametrize("dampening", [0.0, 0.5])
def test_momentum_that_comes_and_goes(dampening):
    def go(cls):
        params = tensors()
        optimizer = cls(params, lr=0.05, dampening=dampening)
        for i, momentum in enumerate((0.0, 0.9, 0.9, 0.0, 0.5)):
            optimizer.param_groups[0]["momentum"] = momentum
            trials.step(optimizer, params, i)
        return params

    assert near(go(optim.SGD), go(torch.optim.SGD))


def test_muon_flattens_kernels():
    draw = torch.Generator().manual_seed(0)
    start = torch.randn(8, 3, 3, 3, generator=draw).double()
    kernel = nn.Parameter(start.clone())
    matrix = nn.Parameter(start.flatten(1).clone())
    a = optim.Muon([kernel], lr=0.1, flatten=True)
    b = optim.Muon([matrix], lr=0.1)
    for _ in range(3):
        g = torch.randn(start.shape, generator=draw).double()
        kernel.grad, matrix.grad = g, g.flatten(1)
        a.step()
        b.step()
    assert torch.equal(kernel.flatten(1), matrix)
    with pytest.raises(ValueError, match="flatten=True takes a kernel"):
        optim.Muon([kernel])
    with pytest.raises(ValueError, match="AdamW"):
        optim.Muon([nn.Parameter(torch.zeros(3))], flatten=True)


@pytest.mark.parametrize("name", ["Prodigy", "DAdaptAdam"])
def test_a_group_added_late_takes_the_network_s_rate(name):
    params = tensors()
    optimizer = made(name, params[:1], lr=1.0)
    optimizer.param_groups[0]["lr"] = 0.25  # as a schedule leaves it
    optimizer.add_param_group({"params": params[1:]})
    assert optimizer.param_groups[1]["lr"] == 0.25
    run(optimizer, params, 3)
    optimizer.param_groups[1]["lr"] = 0.5
    before = copies(params)
    with pytest.raises(ValueError, match="lr must be the same in all"):
        run(optimizer, params, 1)
    assert same(params, before)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("Adam", "amsgrad", True),
        ("AdamW", "amsgrad", True),
        ("RMSprop", "centered", True),
        ("RMSprop", "momentum", 0.9),
    ],
)
def test_state_that_a_setting_asks_for_late_begins_then(name, key, value):
    params = tensors()
    optimizer = made(name, params)
    run(optimizer, params, 2)
    optimizer.param_groups[0][key] = value
    run(optimizer, params, 3, first=2)
    assert all(p.isfinite().all() for p in params)
    (kept,) = [
        k for k, setting in optimizer.optional.items() if setting == key
    ]
    assert all((s[kept] != 0).any() for s in optimizer.state.values())
