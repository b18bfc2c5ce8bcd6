"""Clipping, schedules, state memory."""

import pytest
import torch
from torch import nn

from dldna import optim


def parameters():
    draw = torch.Generator().manual_seed(0)
    params = []
    for shape in ((4, 3), (4,), (2, 3, 3, 3)):
        p = nn.Parameter(torch.randn(shape, generator=draw))
        p.grad = 3 * torch.randn(shape, generator=draw)
        params.append(p)
    return params


def test_clipping_by_norm_keeps_the_direction():
    params = parameters()
    before = [p.grad.clone() for p in params]
    norm = optim.clip_grad_norm(params, 2.0)
    whole = torch.cat([g.flatten() for g in before])
    torch.testing.assert_close(norm, whole.norm())
    for p, g in zip(params, before, strict=True):
        torch.testing.assert_close(p.grad, optim.by_norm(g, norm, c=2.0))
        torch.testing.assert_close(p.grad, g * (2.0 / norm))
    optim.clip_grad_norm(params, 100.0)
    torch.testing.assert_close(params[0].grad, before[0] * (2.0 / norm))


def test_clipping_by_norm_golden():
    w = nn.Parameter(torch.zeros(2, dtype=torch.float64))
    w.grad = torch.tensor([3.0, 4.0], dtype=torch.float64)
    assert optim.clip_grad_norm([w], 1.0) == 5.0
    expected = [0.59999988, 0.79999984]
    assert w.grad.tolist() == pytest.approx(expected, abs=5e-9)


def test_clipping_by_value_changes_the_direction():
    params = parameters()
    before = [p.grad.clone() for p in params]
    optim.clip_grad_value(params, 1.0)
    for p, g in zip(params, before, strict=True):
        assert torch.equal(p.grad, optim.by_value(g, c=1.0))
        assert torch.equal(p.grad, g.clamp(-1, 1))
    cosine = nn.functional.cosine_similarity
    turned = cosine(params[0].grad.flatten(), before[0].flatten(), dim=0)
    assert turned < 0.999


def test_adaptive_clipping_is_unit_wise():
    agc = pytest.importorskip("pytorch_optimizer.optimizer").agc
    for p in parameters():
        mine = optim.adaptive(p.detach(), p.grad, c=0.1, eps=1e-3)
        theirs = agc(p.detach(), p.grad, agc_eps=1e-3, agc_clip_val=0.1)
        torch.testing.assert_close(mine, theirs)
        for i in range(len(p) if p.dim() > 1 else 0):
            w, g, ours = p[i].norm(), p.grad[i].norm(), mine[i].norm()
            torch.testing.assert_close(ours, torch.minimum(g, 0.1 * w))
    params = parameters()
    optim.clip_grad_adaptive(params, clipping=0.1)
    again = [p.grad.clone() for p in params]
    optim.clip_grad_adaptive(params, clipping=0.1)
    for p, g in zip(params, again, strict=True):
        torch.testing.assert_close(p.grad, g)


def test_adaptive_clipping_lets_zero_weights_start():
    clipped = optim.adaptive(torch.zeros(2, 2), 5 * torch.eye(2), c=0.5)
    torch.testing.assert_close(clipped, 5e-4 * torch.eye(2))


def test_adaptive_clipping_passes_zero_gradients():
    w, g = torch.zeros(2, 2), torch.zeros(2, 2)
    assert torch.equal(optim.adaptive(w, g), g)


@pytest.mark.parametrize(
    "clip",
    [optim.clip_grad_norm, optim.clip_grad_value, optim.clip_grad_adaptive],
)
def test_clipping_refuses_a_bound_of_zero(clip):
    with pytest.raises(ValueError, match="greater than 0"):
        clip(parameters(), 0.0)


GOLDEN = {
    "cosine": (
        dict(T_max=8, eta_min=0.01),
        [0.1, 0.09657457896, 0.08681980515, 0.07222075446, 0.055],
    ),
    "polynomial": (
        dict(total_iters=8, power=2),
        [0.1, 0.0765625, 0.05625],
    ),
    "warmup": (
        dict(start_factor=0.25, total_iters=4),
        [0.025, 0.04375, 0.0625, 0.08125, 0.1, 0.1],
    ),
    "one_cycle": (
        dict(max_lr=0.1, total_steps=11, cycle_momentum=False),
        [0.004, 0.04223411137, 0.09602614247, 0.09797465678],
    ),
    "step": (dict(step_size=2, gamma=0.5), [0.1, 0.1, 0.05, 0.05, 0.025]),
    "exponential": (dict(gamma=0.5), [0.1, 0.05, 0.025]),
    "plateau": (dict(factor=0.1, patience=2), [0.1, 0.1, 0.1, 0.1, 0.01]),
    "wsd": (
        dict(warmup=2, stable=2, decay=2, start=0.5, end=0.1),
        [0.05, 0.075, 0.1, 0.1, 0.1, 0.055, 0.01, 0.01],
    ),
    "cyclic": (
        dict(base_lr=0.1, max_lr=0.3, step_size_up=2, cycle_momentum=False),
        [0.1, 0.2, 0.3, 0.2, 0.1, 0.2],
    ),
    "restarts": (
        dict(T_0=4),
        [0.1, 0.08535533906, 0.05, 0.01464466094, 0.1],
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_schedules_golden(name):
    settings, rates = GOLDEN[name]
    drawn = optim.schedule_values(name, len(rates), lr=0.1, **settings)
    assert drawn == pytest.approx(rates, abs=5e-12)


def test_cosine_rises_again():
    rates = optim.schedule_values("cosine", 10, lr=0.1, T_max=8, eta_min=0.01)
    assert rates[8] == pytest.approx(0.01)
    assert rates[9] > rates[8]


def test_noam():
    rates = optim.schedule_values("noam", 50, lr=1.0, d_model=64, warmup=10)
    for t, rate in enumerate(rates, start=1):
        exact = 64**-0.5 * min(t**-0.5, t * 10**-1.5)
        assert rate == pytest.approx(exact)
    assert rates.index(max(rates)) == 9


def test_every_schedule_is_tested():
    assert {*GOLDEN, "noam"} == set(optim.SCHEDULES)


def test_one_cycle_moves_the_momentum_too():
    w = nn.Parameter(torch.ones(2))
    optimizer = optim.SGD([w], lr=0.1)
    optim.schedule("one_cycle", optimizer, max_lr=0.1, total_steps=10)
    assert optimizer.param_groups[0]["momentum"] == 0.95
    adagrad = optim.Adagrad([w], lr=0.1)
    with pytest.raises(ValueError, match="momentum"):
        optim.schedule("one_cycle", adagrad, max_lr=0.1, total_steps=10)


def test_schedules_resume():
    def build():
        w = nn.Parameter(torch.ones(2))
        optimizer = optim.Adam([w], lr=0.1)
        return optimizer, optim.schedule(
            "wsd", optimizer, warmup=3, stable=2, decay=3
        )

    def go(optimizer, scheduler, steps):
        rates = []
        for _ in range(steps):
            optimizer.step()
            scheduler.step()
            rates.append(scheduler.get_last_lr()[0])
        return rates

    optimizer, scheduler = build()
    first = go(optimizer, scheduler, 4)
    saved = (optimizer.state_dict(), scheduler.state_dict())
    rest = go(optimizer, scheduler, 4)
    other, resumed = build()
    other.load_state_dict(saved[0])
    resumed.load_state_dict(saved[1])
    assert go(other, resumed, 4) == rest
    assert first != rest


def test_unknown_schedules_are_met_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'cosine'"):
        optim.schedule_values("cosin", 3)


def test_state_memory_is_what_is_known():
    m, n = 64, 48
    known = {
        "SGD": 0,
        "SGD+": 1,
        "Adagrad": 1,
        "RMSprop": 1,
        "Adam": 2,
        "AdamW": 2,
        "AMSGrad": 3,
        "NAdam": 2,
        "RAdam": 2,
        "LAMB": 2,
        "AdaBelief": 2,
        "SophiaH": 2,
        "SophiaG": 2,
        "Lion": 1,
        "LARS": 1,
        "Muon": 1,
        "Adafactor": (m + n) / (m * n),
        "Shampoo": (m * m + n * n) / (m * n),
        "SOAP": 2 + 2 * (m * m + n * n) / (m * n),
        "ScheduleFreeSGD": 1,
        "ScheduleFreeAdamW": 2,
        "Prodigy": 4,
        "DAdaptAdam": 3,
        "SAM": 0,
        "ASAM": 0,
        "EntropySGD": 0,
        "PAL": 1,
        "AdEMAMix": 3,
        "ADOPT": 2,
        "MARS": 3,
        "ExactMARS": 3,
        "CautiousAdamW": 2,
        "Scion": 1,
    }
    measured = optim.state_memory(shape=(m, n))
    assert {k: v.tensors for k, v in measured.items()} == pytest.approx(known)
    for memory in measured.values():
        assert memory.bytes == pytest.approx(4 * memory.tensors)
    double = optim.state_memory(["Adam"], dtype=torch.float64)
    assert double["Adam"] == (2.0, 16.0)
