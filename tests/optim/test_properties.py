"""What each algorithm promises, checked on random problems."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from dldna import optim

DRAW = torch.Generator()


def rand(*shape, seed=0):
    DRAW.manual_seed(seed)
    return torch.randn(*shape, generator=DRAW, dtype=torch.float64)


def run(optimizer, w, gradient, steps=10):
    """Weights after each step, the start first."""
    path = [w.detach().clone()]
    for _ in range(steps):

        def closure():
            w.grad = gradient(w.detach())
            return (w.detach() * w.grad).sum() / 2

        optimizer.step(closure)
        path.append(w.detach().clone())
    return path


def start(*shape, seed=1):
    return nn.Parameter(rand(*shape, seed=seed))


@pytest.mark.parametrize(
    ("name", "hyper", "same"),
    [
        ("Adam", {"eps": 0.0}, True),
        ("AdamW", {"eps": 0.0}, True),
        ("Adagrad", {"eps": 0.0}, True),
        ("Lion", {}, True),
        ("LAMB", {"eps": 0.0}, True),
        ("Muon", {}, True),
        ("SGD", {}, False),
    ],
)
def test_rescaling_the_loss(name, hyper, same):
    scale = rand(4, 3).abs() + 0.1
    a, b = start(4, 3), start(4, 3)
    one = run(optim.make(name, [a], lr=0.1, **hyper), a, lambda w: scale * w)
    ten = run(
        optim.make(name, [b], lr=0.1, **hyper), b, lambda w: 10 * scale * w
    )
    assert torch.allclose(one[-1], ten[-1], rtol=1e-9) is same


def test_lion_moves_every_weight_by_the_rate():
    w = start(50)
    path = run(optim.Lion([w], lr=0.25), w, lambda w: w**3)
    for a, b in pairwise(path):
        torch.testing.assert_close((b - a).abs(), torch.full_like(a, 0.25))


def test_first_steps_have_the_size_of_the_rate():
    for name, size in (("Adam", 0.1), ("Adagrad", 0.1), ("RMSprop", 1.0)):
        w = start(20)
        path = run(optim.make(name, [w], lr=0.1), w, lambda w: w, 1)
        step = (path[1] - path[0]).abs()
        torch.testing.assert_close(
            step, torch.full_like(step, size), rtol=1e-5, atol=0
        )


def test_lamb_steps_relative_to_the_layer():
    w = start(6, 5)
    path = run(optim.LAMB([w], lr=0.03), w, lambda w: w**3)
    for a, b in pairwise(path):
        torch.testing.assert_close((b - a).norm(), 0.03 * a.norm())


def test_lars_steps_relative_to_the_layer():
    for size in (1.0, 1e3):
        w = start(6, 5)
        optimizer = optim.LARS([w], lr=2.0, trust=0.01, weight_decay=0.0)
        a, b = run(optimizer, w, lambda w, size=size: size * w**3, 1)
        torch.testing.assert_close((b - a).norm(), 0.02 * a.norm())


def test_adafactor_steps_relative_to_the_layer():
    w = start(6, 5)
    a, b = run(optim.Adafactor([w], lr=1e-2), w, lambda w: 1e3 * w**3, 1)
    rms = (a**2).mean().sqrt()
    assert ((b - a) ** 2).mean().sqrt() <= 1e-2 * rms * (1 + 1e-12)


def test_adafactor_is_exact_for_squares_of_rank_one():
    g = torch.outer(rand(6, seed=2), rand(5, seed=3))
    w = rand(6, 5)
    rule = optim.RULES["adafactor"]
    _, state = rule.update(w, g, rule.init(w), 1)
    V = state["R"] @ state["C"] / state["R"].mean()
    torch.testing.assert_close(V, g**2)


@pytest.mark.parametrize("name", ["Muon", "Shampoo"])
@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (5, 3)])
def test_matrix_methods_turn_with_the_problem(name, shape):
    """L(W) = |W - T|^4 / 4 looks the same from every side."""
    target, W = rand(*shape), rand(*shape, seed=1)
    U = torch.linalg.qr(rand(shape[0], shape[0], seed=2))[0]
    V = torch.linalg.qr(rand(shape[1], shape[1], seed=3))[0]

    def slope(goal):
        return lambda w: (w - goal) * ((w - goal) ** 2).sum()

    a, b = nn.Parameter(W.clone()), nn.Parameter(U @ W @ V)
    straight = run(optim.make(name, [a], lr=0.1), a, slope(target), 5)
    turned = run(optim.make(name, [b], lr=0.1), b, slope(U @ target @ V), 5)
    torch.testing.assert_close(
        U @ straight[-1] @ V, turned[-1], rtol=1e-6, atol=1e-7
    )
    assert not torch.allclose(straight[-1], W)


def test_shampoo_starts_with_the_polar_factor():
    W, g = rand(4, 4), rand(4, 4, seed=1)
    rule = optim.RULES["shampoo"]
    state = rule.init(W, eps=1e-14)
    w, _ = rule.update(W, g, state, 1, lr=1.0, eps=1e-14)
    U, _, Vh = torch.linalg.svd(g)
    torch.testing.assert_close(W - w, U @ Vh, rtol=1e-5, atol=1e-6)


def test_newton_schulz_keeps_the_singular_vectors():
    g = rand(5, 3)
    U, s, Vh = torch.linalg.svd(g, full_matrices=False)
    middle = U.T @ optim.newton_schulz(g) @ Vh.T
    torch.testing.assert_close(
        middle, torch.diag(middle.diag()), atol=1e-9, rtol=0
    )
    a, b, c = 3.4445, -4.7750, 2.0315
    s = s / s.norm()
    for _ in range(5):
        s = a * s + b * s**3 + c * s**5
    torch.testing.assert_close(middle.diag(), s)
    polar = optim.newton_schulz(g, (1.875, -1.25, 0.375), steps=30)
    torch.testing.assert_close(polar, U @ Vh)


@pytest.mark.parametrize("name", ["SAM", "ASAM"])
def test_sam_without_a_radius_is_its_base(name):
    a, b = start(7), start(7)
    sam = optim.make(name, [a], base="Adam", lr=0.1, rho=0.0)
    path = run(sam, a, lambda w: w**3)
    base = run(optim.Adam([b], lr=0.1), b, lambda w: w**3)
    assert torch.equal(path[-1], base[-1])


def test_sam_takes_the_gradient_on_the_sphere():
    w = start(7)
    seen = []

    def gradient(v):
        seen.append(v.clone())
        return v**3

    run(optim.SAM([w], lr=0.1, rho=0.3), w, gradient, 1)
    away = seen[1] - seen[0]
    torch.testing.assert_close(away.norm().item(), 0.3)
    torch.testing.assert_close(away / 0.3, (g := seen[0] ** 3) / g.norm())


def test_sam_puts_the_weights_back_after_an_error():
    w = start(7)
    before = w.detach().clone()
    calls = []

    def closure():
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        w.grad = w.detach().clone()
        return w.sum()

    with pytest.raises(KeyboardInterrupt):
        optim.SAM([w], lr=0.1).step(closure)
    assert torch.equal(w, before)


def test_sam_shares_state_with_its_base():
    w = start(7)
    sam = optim.SAM([w], base="Adam", lr=0.1)
    run(sam, w, lambda w: w, 2)
    assert sam.state is sam.base.state
    assert sam.state[w]["step"] == 2
    scheduler = optim.schedule("step", sam, step_size=1, gamma=0.5)
    run(sam, w, lambda w: w, 1)
    scheduler.step()
    assert sam.base.param_groups[0]["lr"] == 0.05
    late = start(3)
    sam.add_param_group({"params": [late]})
    assert sam.base.param_groups[1]["rho"] == 0.05
    assert sam.base.param_groups[1]["lr"] == 0.1


def test_adamw_without_decay_is_adam():
    a, b = start(7), start(7)
    one = run(optim.AdamW([a], weight_decay=0.0), a, lambda w: w**3)
    two = run(optim.Adam([b]), b, lambda w: w**3)
    assert torch.equal(one[-1], two[-1])


def test_dampening_equal_to_momentum_is_a_moving_average():
    w = start(7)
    optimizer = optim.SGD([w], lr=0.1, momentum=0.9, dampening=0.9)
    path = run(optimizer, w, lambda w: w**3, 6)
    v, x = path[0] ** 3, path[0]
    for t in range(6):
        v = v if t == 0 else 0.9 * v + 0.1 * x**3
        x = x - 0.1 * v
    torch.testing.assert_close(path[-1], x)


def test_schedule_free_averages_z():
    w = start(7)
    optimizer = optim.ScheduleFreeSGD([w], lr=0.1)
    zs = []
    for _ in range(9):
        run(optimizer, w, lambda w: w**3, 1)
        zs.append(optimizer.state[w]["z"].clone())
    y = w.detach().clone()
    optimizer.eval()
    torch.testing.assert_close(w.detach(), torch.stack(zs).mean(0))
    rule, group = optimizer.rule, optimizer.param_groups[0]
    point = rule.point(y, optimizer.state[w], momentum=group["momentum"])
    torch.testing.assert_close(w.detach(), point)
    with pytest.raises(RuntimeError, match=r"optimizer\.train\(\)"):
        optimizer.step()
    optimizer.train()
    torch.testing.assert_close(w.detach(), y)


def test_pal_jumps_to_the_minimum_of_a_quadratic():
    for lr in (0.01, 0.1, 1.0):
        w = start(7)
        scale = rand(7).abs() + 0.1
        optimizer = optim.PAL([w], lr=lr, alpha=1.0, beta=0.0, s_max=1e9)
        a, b = run(optimizer, w, lambda w, s=scale: s * w, 1)
        g = scale * a
        exact = a - g * (g @ g) / (g @ (scale * g))
        torch.testing.assert_close(b, exact, rtol=1e-8, atol=1e-9)


def test_pal_handles_the_other_cases():
    def step(l0, lm, b, **more):
        hyper = {"lr": 0.5, "alpha": 1.0, "s_max": 9.0} | more
        s, _ = optim.pal(*torch.tensor([l0, lm, b]).double(), **hyper)
        return s.item()

    assert step(1.0, 0.0, -1.0) == 0.5  # curved downwards: measuring step
    assert step(1.0, 2.0, 1.0) == 0.0  # uphill: stay
    assert step(2.0, 1.25, -2.0) == 1.0
    assert step(2.0, 1.25, -2.0, s_max=0.75) == 0.75
    assert step(2.0, 1.25, -2.0, alpha=1.5) == 1.5


def test_pal_repeats_the_random_numbers():
    w = start(4)
    seen = []

    def closure():
        noise = torch.rand(1)
        seen.append(noise.item())
        w.grad = w.detach().clone()
        return (w.detach() ** 2).sum() / 2

    optim.PAL([w]).step(closure)
    assert seen[0] == seen[1]


def test_entropy_sgd_on_a_quadratic():
    """Its gradient there is a gamma x / (a + gamma)."""
    a, gamma = 2.0, 3.0
    w = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = optim.EntropySGD(
        [w],
        lr=0.1,
        inner_lr=0.02,
        steps=2000,
        noise=0.0,
        gamma=gamma,
        scoping=0.0,
        form="paper",
    )
    run(optimizer, w, lambda w: a * w, 1)
    assert 1 - w.item() == pytest.approx(0.1 * a * gamma / (a + gamma))


def test_entropy_sgd_noise():
    """Code and paper differ by the root of 2; the seed decides."""

    def walker(form, seed):
        w = nn.Parameter(torch.zeros(20000, dtype=torch.float64))
        optimizer = optim.EntropySGD(
            [w],
            steps=1,
            noise=1.0,
            alpha=1.0,
            form=form,
            seed=seed,
            inner_lr=0.25,
            gamma=1.0,
            scoping=0.0,
        )
        run(optimizer, w, lambda w: 0 * w, 1)
        return w.detach()

    assert walker("paper", 0).std().item() == pytest.approx(0.5, rel=0.02)
    assert walker("code", 0).std().item() == pytest.approx(0.5**0.5, rel=0.02)
    assert torch.equal(walker("code", 0), walker("code", 0))
    assert not torch.equal(walker("code", 0), walker("code", 1))


def test_prodigy_and_dadapt_see_the_network_as_one():
    """Cut into two tensors or whole: the same path."""
    for name in ("Prodigy", "DAdaptAdam"):
        whole = start(4, 5)
        first = nn.Parameter(whole.detach()[:1].clone())
        second = nn.Parameter(whole.detach()[1:].clone())
        a = optim.make(name, [whole], d0=1e-2)
        b = optim.make(
            name, [{"params": [first]}, {"params": [second]}], d0=1e-2
        )
        for _ in range(8):
            for p in (whole, first, second):
                p.grad = p.detach() ** 3
            a.step()
            b.step()
        torch.testing.assert_close(
            torch.cat([first, second]), whole, rtol=1e-9, atol=1e-12
        )
        assert a.state[whole]["d"] > 1e-2
        b.param_groups[1]["lr"] = 0.5
        with pytest.raises(ValueError, match="one rate for the whole"):
            b.step()


def test_scalar_parameters():
    for name in optim.OPTIMIZERS:
        if name in {"Muon", "SophiaG"}:
            continue
        w = nn.Parameter(torch.tensor(2.0))
        optimizer = optim.make(name, [w], lr=0.1)

        def loss(w=w):
            return w**2

        def closure(w=w, optimizer=optimizer, loss=loss):
            optimizer.zero_grad()
            value = loss()
            value.backward()
            return value

        more = {"curvature": loss} if name == "SophiaH" else {}
        for _ in range(3):
            optimizer.step(closure, **more)
        assert w.item() < 2.0, name
