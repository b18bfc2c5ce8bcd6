"""Thresholds of stability, on parabolas and on a network that learns."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dldna import optim
from dldna.data import load
from dldna.training import (
    Dynamics,
    preconditioner,
    stability_threshold,
    train,
)

RULES = {
    "descent": ("SGD", {"lr": 0.3}),
    "heavy ball": ("SGD", {"lr": 0.1, "momentum": 0.9}),
    "averaged": ("SGD", {"lr": 0.2, "momentum": 0.8, "dampening": 0.8}),
    "nesterov": ("SGD", {"lr": 0.1, "momentum": 0.7, "nesterov": True}),
    "decayed": ("SGD", {"lr": 0.1, "momentum": 0.5, "weight_decay": 3.0}),
}


FULL = pytest.mark.full


@pytest.mark.parametrize("room", [torch.optim, optim])
@pytest.mark.parametrize("case", RULES)
def test_a_parabola_swings_up_just_above_the_threshold(room, case):
    name, hyper = RULES[case]

    def size_after(curvature, steps=1500):
        w = nn.Parameter(torch.ones(1, dtype=torch.float64))
        rule = getattr(room, name)([w], **hyper)
        for _ in range(steps):
            w.grad = curvature * w.detach()
            rule.step()
        return abs(w.item())

    w = nn.Parameter(torch.ones(1))
    kind, threshold = stability_threshold(getattr(room, name)([w], **hyper))
    assert kind == "sharpness"
    assert size_after(0.99 * threshold) < 1e-2
    assert size_after(1.01 * threshold) > 1e2


@pytest.mark.parametrize("room", [torch.optim, optim])
@pytest.mark.parametrize("name", ["Adam", "AdamW", "RMSprop"])
def test_so_does_a_divided_gradient(room, name):
    """With the running mean of squares held still by hand."""
    hyper = {"lr": 0.01, "eps": 0.5}
    if name != "RMSprop":
        hyper |= {"betas": (0.8, 0.99), "weight_decay": 0.0}

    def parts(curvature):
        w = nn.Parameter(torch.full((1,), 1e-3, dtype=torch.float64))
        rule = getattr(room, name)([w], **hyper)
        model = nn.Module()
        model.w = w
        return w, rule, model, curvature

    def hold(state):
        for key in ("exp_avg_sq", "square_avg", "v"):
            if key in state:
                state[key].fill_(4.0)
        step = state["step"]
        state["step"] = step * 0 + 10_000  # corrections are over

    def size_after(curvature, steps=1500):
        w, rule, model, _ = parts(curvature)
        for i in range(steps):
            w.grad = curvature * w.detach()
            rule.step()
            hold(rule.state[w])
            if i == 0:
                with torch.no_grad():
                    w.fill_(1e-6)
        p = preconditioner(model, rule)["w"].item()
        assert p == pytest.approx(2.5)
        return abs(w.item()) / 1e-6

    kind, threshold = stability_threshold(parts(1.0)[1])
    assert kind == "preconditioned sharpness"
    assert size_after(0.98 * threshold * 2.5) < 0.1
    assert size_after(1.02 * threshold * 2.5) > 10


def test_adam_at_its_defaults_is_38_over_the_rate():
    w = [nn.Parameter(torch.zeros(2))]
    for room in (torch.optim, optim):
        _, value = stability_threshold(room.Adam(w, lr=1e-3))
        assert value == pytest.approx(38_000)


def test_what_is_not_known_is_not_guessed():
    a, b = (nn.Parameter(torch.zeros(2)) for _ in range(2))
    unknown = [
        torch.optim.Adagrad([a]),
        torch.optim.Adam([a], amsgrad=True),
        torch.optim.RMSprop([a], momentum=0.9),
        torch.optim.SGD([a], lr=0.1, maximize=True),
        torch.optim.SGD([{"params": [a], "lr": 0.1}, {"params": [b]}], lr=1.0),
        torch.optim.SGD([a], lr=0.0),
    ]
    for optimizer in unknown:
        kind, value = stability_threshold(optimizer)
        assert kind == "unknown"
        assert math.isnan(value)
    same = torch.optim.SGD([{"params": [a]}, {"params": [b]}], lr=1.0)
    assert stability_threshold(same) == ("sharpness", 2.0)
    model = nn.Linear(2, 1)
    adam = torch.optim.Adam(model.parameters())
    assert preconditioner(model, adam) is None  # before the first step
    assert preconditioner(model, same) is None


def of_name(name, base, **body):
    """A reader's class of some name, with a step of its own or without."""
    return type(name, (base,), body)


def plain_step(self, closure=None):
    with torch.no_grad():
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(group["lr"] * p.grad)


def plain_init(self, params, lr=0.1):
    torch.optim.Optimizer.__init__(self, params, {"lr": lr})


NAMES = ("SGD", "Adam", "AdamW", "RMSprop", "_Mine")  # _: not registered


@pytest.mark.parametrize("name", NAMES)
def test_a_name_decides_nothing(name):
    """Classes with a step of their own are not known, whatever the name."""
    w = [nn.Parameter(torch.zeros(2))]
    bare = of_name(
        name, torch.optim.Optimizer, __init__=plain_init, step=plain_step
    )
    own = [bare(w)]
    for base in (torch.optim.SGD, torch.optim.Adam, torch.optim.RMSprop,
                 optim.SGD, optim.Adam):  # fmt: skip
        own.append(of_name(name, base, step=plain_step)(w, lr=0.1))
        heir = of_name(name, base)(w, lr=0.1)
        assert stability_threshold(heir) == stability_threshold(base(w, 0.1))
    for optimizer in own:
        kind, value = stability_threshold(optimizer)
        assert (kind, math.isnan(value)) == ("unknown", True)
        assert preconditioner(nn.Linear(2, 1), optimizer) is None


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (torch.optim.SGD, ("lr", "momentum", "dampening", "weight_decay")),
        (optim.SGD, ("lr", "momentum", "dampening", "weight_decay")),
        (torch.optim.Adam, ("lr", "betas", "amsgrad")),
        (torch.optim.RMSprop, ("lr", "momentum", "centered")),
    ],
)
def test_a_setting_that_is_missing_is_not_guessed(kind, names):
    for name in names:
        optimizer = kind([nn.Parameter(torch.zeros(2))], lr=0.1)
        assert stability_threshold(optimizer)[0] != "unknown"
        del optimizer.param_groups[0][name]
        assert stability_threshold(optimizer)[0] == "unknown"


@pytest.mark.parametrize("name", NAMES)
def test_a_readers_optimizer_is_measured_all_the_same(name):
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    data = torch.randn(16, 3), torch.randn(16, 1)
    kind = of_name(
        name, torch.optim.Optimizer, __init__=plain_init, step=plain_step
    )
    watch = Dynamics(data, measure_every=1)
    train(
        model, kind(model.parameters()), [data], epochs=3,
        loss_fn=nn.MSELoss(), callbacks=[watch],
    )  # fmt: skip
    motion = watch.record()
    assert np.isfinite(motion.sharpness).all()
    assert np.isnan(motion.threshold).all()
    assert motion.threshold_of == "unknown"
    np.testing.assert_allclose(
        motion.param_change, 0.1 * motion.grad_norm, rtol=1e-4
    )


def images(n=120):
    """Digits of 7 by 7 points, and ten numbers to be hit."""
    digits = load("digits")
    x = F.avg_pool2d(digits.train_x[:n], 4).flatten(1)
    return x, F.one_hot(digits.train_y[:n], 10).float()


def perceptron(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Linear(49, 20),
            nn.Tanh(),
            nn.Linear(20, 20),
            nn.Tanh(),
            nn.Linear(20, 10),
        )


def along(make, seed, steps):
    data, model = images(), perceptron(seed)
    watch = Dynamics(data, every=steps, measure_every=20)
    train(
        model,
        make(model.parameters()),
        [data] * steps,
        epochs=1,
        loss_fn=nn.MSELoss(),
        callbacks=[watch],
        progress=False,
    )
    return watch.record()


@pytest.mark.parametrize(
    ("lr", "seed"),
    [pytest.param(0.5, 0, marks=FULL), (0.65, 1),
     pytest.param(0.85, 2, marks=FULL)],
)  # fmt: skip
def test_descent_ends_at_the_edge_of_stability(lr, seed):
    """Sharpness rises to 2/lr and stays, while the loss goes on falling.

    Cohen et al., 2021, arXiv 2103.00065.
    """
    found = along(lambda p: torch.optim.SGD(p, lr=lr), seed, 1200)
    ratio = found.edge_ratio
    np.testing.assert_allclose(found.threshold, 2 / lr)
    assert ratio[0] < 0.9
    late = ratio[len(ratio) // 2 :]
    assert abs(np.median(late) - 1) < 0.05
    assert late.min() > 0.9
    assert late.max() < 1.15
    middle = len(ratio) // 2
    assert found.data_loss[-1] < 0.8 * found.data_loss[middle]


@pytest.mark.full
@pytest.mark.parametrize(
    ("mu", "lr"), [pytest.param(0.5, 0.9, marks=FULL), (0.7, 0.6)]
)
def test_momentum_ends_at_its_own_edge(mu, lr):
    """Which lies (1 + mu) times as high as that of plain descent."""
    found = along(lambda p: torch.optim.SGD(p, lr=lr, momentum=mu), 0, 1200)
    late = len(found.points) // 2
    np.testing.assert_allclose(found.threshold, 2 * (1 + mu) / lr)
    assert abs(np.median(found.edge_ratio[late:]) - 1) < 0.05
    assert np.median(found.sharpness[late:]) > 1.3 * 2 / lr


@pytest.mark.full
def test_adam_ends_at_the_edge_of_the_preconditioned_sharpness():
    found = along(lambda p: torch.optim.Adam(p, lr=1e-2), 0, 1200)
    late = found.edge_ratio[len(found.points) // 2 :]
    assert found.edge_ratio[1] < 0.6
    assert abs(np.median(late) - 1) < 0.05
    assert late.min() > 0.85
    assert late.max() < 1.15
