"""The shell: state, chunks, groups, bad input."""

import copy
import inspect
import io

import pytest
import torch
from torch import nn

from dldna import optim
from dldna.optim.replay import in_pieces, record, whole

NAMES = sorted(optim.OPTIMIZERS)
PLAIN = [
    n for n in NAMES if issubclass(optim.OPTIMIZERS[n], optim.RuleOptimizer)
]
RICH = {
    "SGD": {"momentum": 0.9},
    "RMSprop": {"momentum": 0.9, "centered": True},
    "Adam": {"amsgrad": True, "weight_decay": 0.1},
}
OWN_STEP = {"SAM", "ASAM", "EntropySGD", "ExactMARS", "PAL"}


def parameters(name, dtype=torch.float32):
    draw = torch.Generator().manual_seed(1)
    shapes = [(5, 4), (3, 5)] if name == "Muon" else [(5, 4), (5,), (3, 5)]
    return [
        nn.Parameter(torch.randn(s, generator=draw, dtype=dtype))
        for s in shapes
    ]


def steps(optimizer, params, count, seed=0):
    """Take steps on a quadratic whose centre moves."""
    for i in range(count):
        draw = torch.Generator().manual_seed(seed + i)
        centres = [torch.randn(p.shape, generator=draw) for p in params]

        def loss(centres=centres):
            pairs = zip(params, centres, strict=True)
            return sum(((p - c) ** 2 + 1).sqrt().sum() for p, c in pairs)

        def logits(centres=centres):
            return (params[0] - centres[0]).tanh()

        def closure(loss=loss):
            optimizer.zero_grad()
            value = loss()
            value.backward()
            return value

        wanted = getattr(optimizer, "needs_curvature", None)
        extra = {"loss": loss, "logits": logits}.get(wanted)
        more = {"curvature": extra} if extra else {}
        optimizer.step(closure, **more)


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_resumes_bit_by_bit(name):
    hyper = {"lr": 1e-3} | RICH.get(name, {})
    params = parameters(name)
    optimizer = optim.make(name, params, **hyper)
    steps(optimizer, params, 12)
    saved = io.BytesIO()
    torch.save([params, optimizer.state_dict()], saved)
    steps(optimizer, params, 12, seed=12)

    saved.seek(0)
    again, state = torch.load(saved, weights_only=False)
    other = optim.make(name, again, **hyper)
    other.load_state_dict(state)
    steps(other, again, 12, seed=12)
    assert same(params, again)
    assert not same(params, parameters(name))


@pytest.mark.parametrize("name", NAMES)
def test_copies_go_on_alone(name):
    params = parameters(name)
    optimizer = optim.make(name, params, lr=1e-3)
    steps(optimizer, params, 2)
    twins, twin = copy.deepcopy((params, optimizer))
    steps(optimizer, params, 2)
    assert not same(params, twins)
    steps(twin, twins, 2)
    assert same(params, twins)


@pytest.mark.parametrize("name", NAMES)
def test_maximize_climbs_as_minimize_descends(name):
    if name in OWN_STEP:
        pytest.skip("these descend on the closure's loss")
    down, up = parameters(name), parameters(name)
    a = optim.make(name, down)
    b = optim.make(name, up, maximize=True)

    def loss(params):
        return sum((p**4).sum() / 4 for p in params)

    for _ in range(3):
        for p, q in zip(down, up, strict=True):
            p.grad, q.grad = p.detach() ** 3, -(q.detach() ** 3)
        if name == "SophiaG":
            pytest.skip("its curvature is nowhere negative")
        if name == "SophiaH":
            a.step(curvature=lambda: loss(down))
            b.step(curvature=lambda: -loss(up))
        else:
            a.step()
            b.step()
    assert same(down, up)


CHUNKED = [n for n in PLAIN if optim.OPTIMIZERS[n].rule.kind == "elementwise"]


@pytest.mark.parametrize("name", CHUNKED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_chunks_equal_the_whole_bit_by_bit(name, dtype):
    rule = optim.OPTIMIZERS[name].rule
    hyper = dict(rule.defaults) | RICH.get(name, {})
    draw = torch.Generator().manual_seed(0)
    w = torch.randn(1003, generator=draw, dtype=dtype)
    pieces = w.clone()
    a = {"step": 0, **rule.init(w, **hyper)}
    b = copy.deepcopy(a)
    for t in (1, 2, 3):
        g = torch.randn(1003, generator=draw, dtype=dtype)
        a["step"] = b["step"] = t
        whole(rule.update, w, g, a, hyper)
        in_pieces(rule.update, pieces, g, b, hyper, size=64)
    assert torch.equal(w, pieces)
    assert a.keys() == b.keys()
    for k, value in a.items():
        assert torch.equal(torch.as_tensor(value), torch.as_tensor(b[k]))


@pytest.mark.parametrize("name", sorted({*CHUNKED} - {"SophiaG", "SophiaH"}))
def test_a_number_beside_a_large_tensor_moves_as_alone(name, monkeypatch):
    """A plan made for the large one has other slots than the number has."""
    monkeypatch.setattr("dldna.optim.replay.WORTH", 1000)
    weights = [torch.ones(1003), torch.tensor(2.0), torch.tensor(2.0)]
    weights = [nn.Parameter(w.double()) for w in weights]
    large, beside, alone = weights
    a = optim.make(name, [large, beside], **RICH.get(name, {}))
    b = optim.make(name, [alone], **RICH.get(name, {}))
    for lr in (0.1, 0.2, 0.05, 0.1):
        a.param_groups[0]["lr"] = b.param_groups[0]["lr"] = lr
        for p in weights:
            p.grad = p.detach() ** 3
        a.step()
        b.step()
        torch.testing.assert_close(beside, alone, rtol=1e-12, atol=0)
        for k, v in a.state[beside].items():
            torch.testing.assert_close(v, b.state[alone][k])


@pytest.mark.parametrize(
    ("name", "setting"), [("Adam", "amsgrad"), ("RMSprop", "centered")]
)
def test_large_tensors_move_on_where_a_setting_is_switched_off(
    name, setting, monkeypatch
):
    monkeypatch.setattr("dldna.optim.replay.WORTH", 1000)
    large, small = (nn.Parameter(torch.ones(n)) for n in (1003, 3))
    optimizer = optim.make(name, [large, small], **{setting: True})
    for on in (True, True, False, False):
        optimizer.param_groups[0][setting] = on
        for p in (large, small):
            p.grad = p.detach() ** 3
        optimizer.step()
    assert torch.equal(large[:3], small)


@pytest.mark.parametrize("name", CHUNKED)
@pytest.mark.parametrize("more", [{}, {"weight_decay": 0.1}])
def test_elementwise_rules_can_be_repeated(name, more):
    """None falls back to the slow way; few need more than 3 scratches."""
    rule = optim.OPTIMIZERS[name].rule
    hyper = dict(rule.defaults) | RICH.get(name, {}) | more
    w, g = torch.randn(2, 64, generator=torch.Generator().manual_seed(0))
    state = rule.init(w, **hyper)
    full = [k for k, v in state.items() if v.shape == w.shape]
    rest = {k: v for k, v in state.items() if k not in full}
    row = [w, g, *(state[k] for k in full)]
    plan, _ = record(rule.update, row, full, rest, 2, hyper)
    assert plan is not None
    assert plan.scratch <= 4
    assert len(plan.calls) <= 22


@pytest.mark.parametrize("rule", optim.RULES.values(), ids=lambda r: r.name)
def test_rules_write_into_nothing(rule):
    draw = torch.Generator().manual_seed(0)
    w = torch.randn(4, 3, generator=draw)
    g = torch.randn(4, 3, generator=draw)
    state = rule.init(w)
    before = copy.deepcopy((w, g, state))
    for t in (1, 2, 3):
        new_w, new = rule.update(w, g, state, t)
        assert same(
            [w, g, *state.values()], [*before[:2], *before[2].values()]
        )
        assert new.keys() == state.keys()
        assert new_w.shape == w.shape
        assert new_w.dtype == w.dtype
        w, state = new_w, new
        before = copy.deepcopy((w, g, state))


@pytest.mark.parametrize("rule", optim.RULES.values(), ids=lambda r: r.name)
def test_rules_run_many_runs_at_once(rule):
    """vmap over a leading axis gives the same numbers as run by run."""
    draw = torch.Generator().manual_seed(0)
    w = torch.randn(3, 4, 5, generator=draw, dtype=torch.float64)
    single = [w_i.clone() for w_i in w]
    states = [rule.init(w_i) for w_i in single]
    state = torch.func.vmap(rule.init)(w)
    lrs = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    for t in (1, 2, 3, 4):
        g = torch.randn(3, 4, 5, generator=draw, dtype=torch.float64)

        def one(w, g, state, lr, t=t):
            return rule.update(w, g, state, t, lr=lr)

        w, state = torch.func.vmap(one)(w, g, state, lrs)
        for i in range(3):
            single[i], states[i] = rule.update(
                single[i], g[i], states[i], t, lr=lrs[i].item()
            )
    torch.testing.assert_close(w, torch.stack(single), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "rule",
    [r for r in optim.RULES.values() if r.kind == "elementwise"],
    ids=lambda r: r.name,
)
def test_elementwise_rules_take_a_column_of_every_hyperparameter(rule):
    draw = torch.Generator().manual_seed(0)
    w = torch.randn(3, 7, generator=draw, dtype=torch.float64)
    flags = {k: v for k, v in rule.defaults.items() if isinstance(v, bool)}
    fixed = {"initial_accumulator_value"}
    numbers = {k: v for k, v in rule.defaults.items() if k not in flags}

    def column(value):
        if isinstance(value, tuple):
            return tuple(column(v) for v in value)
        grown = [value, 0.9 * value + 0.01, 0.8 * value + 0.02]
        return torch.tensor(grown, dtype=torch.float64)[:, None]

    def row(value, i):
        if isinstance(value, tuple):
            return tuple(row(v, i) for v in value)
        return value[i].item() if isinstance(value, torch.Tensor) else value

    many = {k: v if k in fixed else column(v) for k, v in numbers.items()}
    state, one = rule.init(w, **many), []
    single = [w_i.clone() for w_i in w]
    hypers = [{k: row(v, i) for k, v in many.items()} for i in range(3)]
    for i in range(3):
        one.append(rule.init(single[i], **hypers[i]))
    for t in range(1, 9):
        g = torch.randn(3, 7, generator=draw, dtype=torch.float64)
        w, state = rule.update(w, g, state, t, **many)
        for i in range(3):
            single[i], one[i] = rule.update(
                single[i], g[i], one[i], t, **hypers[i]
            )
    torch.testing.assert_close(w, torch.stack(single), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_strided_parameters_move_as_contiguous_ones(name):
    if name == "Muon":
        pytest.skip("matrices only")
    big = 70_000 if name in {"SGD", "Adam", "AdamW", "Lion"} else 12
    base = torch.randn(2, big, generator=torch.Generator().manual_seed(0))
    odd = nn.Parameter(base.clone().t())
    even = nn.Parameter(base.t().contiguous())
    assert not odd.is_contiguous()
    if name in {"Shampoo", "SOAP"} or name in OWN_STEP:
        odd, even = nn.Parameter(odd[:9]), nn.Parameter(even[:9])
    for w in (odd, even):
        lr = 0.1 if name in OWN_STEP else 1e-3
        steps(optim.make(name, [w], lr=lr), [w], 2)
    torch.testing.assert_close(odd, even, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_groups_keep_their_own_settings(name):
    if name == "PAL":
        pytest.skip("one line for all")
    torch_has = {"SGD", "Adagrad", "RMSprop", "Adam", "AdamW", "NAdam"}
    first, second = parameters("Muon")
    optimizer = optim.make(name, [{"params": [first]}])
    if name in {"Prodigy", "DAdaptAdam"}:
        with pytest.raises(ValueError, match="one rate for the whole"):
            optimizer.add_param_group({"params": [second], "lr": 1e-9})
        assert len(optimizer.param_groups) == 1
        return
    optimizer.add_param_group({"params": [second], "lr": 1e-9})
    before = second.detach().clone()
    assert len(optimizer.param_groups) == 2
    if name in torch_has:
        steps(optimizer, [first, second], 2)
        assert (second - before).abs().max() < 1e-6
        assert (first - parameters("Muon")[0]).abs().max() > 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_works_with_schedulers(name):
    params = parameters(name)
    optimizer = optim.make(name, params)
    base = optimizer.param_groups[0]["lr"]
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    steps(optimizer, params, 1)
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == base / 2


@pytest.mark.parametrize("name", NAMES)
def test_refuses_what_cannot_be_meant(name):
    params = parameters(name)
    with pytest.raises(ValueError, match="no parameters"):
        optim.make(name, [])
    for lr in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="lr must be"):
            optim.make(name, params, lr=lr)
    for lr in (True, "0.1", torch.tensor([0.1]), torch.ones(2)):
        with pytest.raises(TypeError, match="lr must be a number"):
            optim.make(name, params, lr=lr)
    with pytest.raises(ValueError, match="lr must be"):
        optim.make(name, [{"params": params, "lr": -1.0}])
    with pytest.raises(TypeError, match=r"not one tensor"):
        optim.make(name, params[0])
    with pytest.raises(TypeError, match="did you mean 'lr'"):
        optim.make(name, params, l_r=0.1)
    with pytest.raises(TypeError, match="floating-point"):
        optim.make(name, [torch.zeros(2, 2, dtype=torch.complex64)])
    settings = optim.make(name, params).defaults
    if "weight_decay" in settings:
        with pytest.raises(ValueError, match="weight_decay must be 0"):
            optim.make(name, params, weight_decay=-0.1)
    if "betas" in settings:
        count = len(settings["betas"])
        more = (0.9,) * (count - 2)
        for betas in ((1.0, 0.9, *more), (0.9, *more, -0.1)):
            with pytest.raises(ValueError, match=r"betas\[\d\] must lie"):
                optim.make(name, params, betas=betas)
        for betas in (0.9, (0.9,) * (count + 1)):
            wrong = f"betas must be {count} numbers"
            with pytest.raises(TypeError, match=wrong):
                optim.make(name, params, betas=betas)


def test_nesterov_needs_momentum():
    with pytest.raises(ValueError, match="nesterov needs momentum"):
        optim.SGD(parameters("SGD"), nesterov=True)


@pytest.mark.parametrize(
    "name", ["Adam", "SAM", "EntropySGD", "ExactMARS", "SophiaH", "SophiaG"]
)
def test_sparse_gradients_are_refused(name):
    table = nn.Embedding(4, 2, sparse=True)
    before = table.weight.detach().clone()
    optimizer = optim.OPTIMIZERS[name](table.parameters())

    def closure():
        table(torch.tensor([1])).sum().backward()

    looks = {
        "SophiaH": lambda: table(torch.tensor([1])).square().sum(),
        "SophiaG": lambda: table(torch.tensor([1])),
    }
    more = {"curvature": looks[name]} if name in looks else {}
    with pytest.raises(RuntimeError, match="sparse=False"):
        optimizer.step(closure, **more)
    assert torch.equal(table.weight, before)


@pytest.mark.parametrize("name", sorted(OWN_STEP))
@pytest.mark.parametrize("began", [0, 2])
@pytest.mark.parametrize("at", [1, 2])
def test_a_step_that_breaks_off_is_none(name, began, at):
    params = parameters(name)
    optimizer = optim.make(name, params, lr=1e-3)
    steps(optimizer, params, began)
    before = copy.deepcopy((params, optimizer.state_dict()["state"]))
    calls = []

    def closure():
        calls.append(1)
        if len(calls) == at:
            raise KeyboardInterrupt
        optimizer.zero_grad()
        loss = sum((p**4).sum() for p in params)
        loss.backward()
        return loss

    if began or at == 1 or name != "ExactMARS":  # which calls it once at first
        with pytest.raises(KeyboardInterrupt):
            optimizer.step(closure)
        assert same(params, before[0])
        assert str(optimizer.state_dict()["state"]) == str(before[1])


@pytest.mark.parametrize("name", [n for n in NAMES if hasattr(torch.optim, n)])
def test_arguments_are_those_of_torch(name):
    ours = inspect.signature(optim.OPTIMIZERS[name]).parameters
    theirs = inspect.signature(getattr(torch.optim, name)).parameters
    ways = {"foreach", "capturable", "differentiable", "fused"}
    extra = {"Adam": {"decoupled_weight_decay"}, "Muon": set()}
    shared = [n for n in theirs if n not in ways | extra.get(name, set())]
    assert [n for n in ours if n in theirs] == shared
    assert set(ours) - set(theirs) <= {"maximize", "flatten"}
    for n in shared:
        assert ours[n].default == theirs[n].default


def test_closure_gives_the_loss():
    w = nn.Parameter(torch.tensor([2.0]))
    optimizer = optim.SGD([w], lr=0.25)

    def closure():
        optimizer.zero_grad()
        loss = (w**2).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 4.0
    assert w.item() == 1.0


def test_parameters_without_gradient_stay():
    a, b = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = optim.Adam([a, b])
    a.grad = torch.ones(2)
    optimizer.step()
    assert b.equal(torch.ones(2))
    assert b not in optimizer.state


def test_momentum_switched_on_later():
    w, v = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    ours, theirs = optim.SGD([w], lr=0.1), torch.optim.SGD([v], lr=0.1)
    for momentum in (0.0, 0.9, 0.9):
        for optimizer, p in ((ours, w), (theirs, v)):
            optimizer.param_groups[0]["momentum"] = momentum
            p.grad = p.detach().clone()
            optimizer.step()
    torch.testing.assert_close(w, v)


def test_unknown_names_are_met_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'RMSprop'"):
        optim.make("rmspop", parameters("SGD"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Adam", "ScheduleFreeSGD"])
def test_compiled_steps_are_the_same_steps(name):
    """State of a single number is where a compiler could lose a write."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    plain, fast = parameters(name), parameters(name)
    a = optim.make(name, plain, lr=0.01)
    b = optim.make(name, fast, lr=0.01)
    step = torch.compile(b.step, backend="aot_eager")
    for _ in range(5):
        for p, q in zip(plain, fast, strict=True):
            p.grad, q.grad = p.detach() ** 3, q.detach() ** 3
        a.step()
        step()
    assert same(plain, fast)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 3
