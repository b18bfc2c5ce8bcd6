"""Chapter 5's optimizers take the same steps as the room's."""

import copy
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from dldna import optim
from dldna.data import load
from dldna.models import make
from dldna.published.modern_optimizers import AdaFactor, Lion, Sophia
from dldna.published.optimizers import (
    SGD,
    AdaGrad,
    Adam,
    AdamW,
    BaseOptimizer,
)
from dldna.training import train

PAIRS = [
    (SGD, {"lr": 0.1}, optim.SGD, {"lr": 0.1}),
    (
        SGD,
        {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1, "maximize": True},
        torch.optim.SGD,
        {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1, "maximize": True},
    ),
    (Adam, {"lr": 0.1, "beta1": 0.8}, torch.optim.Adam,
     {"lr": 0.1, "betas": (0.8, 0.999)}),
    (Adam, {"lr": 0.1, "eps": 1e-2, "beta2": 0.9}, optim.Adam,
     {"lr": 0.1, "eps": 1e-2, "betas": (0.9, 0.9)}),
    (AdaGrad, {}, torch.optim.Adagrad, {"lr": 1e-2, "eps": 1e-10}),
    (AdamW, {"lr": 1e-3, "weight_decay": 0.3}, torch.optim.AdamW,
     {"lr": 1e-3, "weight_decay": 0.3}),
    (AdamW, {"lr": 0.1}, torch.optim.Adam, {"lr": 0.1}),
    (AdamW, {"lr": 0.1, "maximize": True, "weight_decay": 0.2},
     torch.optim.AdamW,
     {"lr": 0.1, "maximize": True, "weight_decay": 0.2}),
    (Lion, {"weight_decay": 0.1}, optim.Lion,
     {"lr": 1e-4, "betas": (0.9, 0.99), "weight_decay": 0.1}),
    # torch before 2.5 has none; the room's own is held to torch's elsewhere
    (AdaFactor, {"lr": 0.05},
     getattr(torch.optim, "Adafactor", optim.Adafactor), {"lr": 0.05}),
]  # fmt: skip


def walk(make_optimizer, steps=12, **more):
    """Twelve steps on an ill-scaled quadratic, from one start."""
    torch.manual_seed(3)
    w = [
        nn.Parameter(torch.randn(4, 3, dtype=torch.float64)),
        nn.Parameter(torch.randn(3, dtype=torch.float64)),
    ]
    scale = torch.tensor([1.0, 5.0, 20.0], dtype=torch.float64)
    optimizer = make_optimizer(w)

    def loss():
        return sum((scale * p**2).sum() / 2 for p in w) + w[0].sum() * 0.1

    for _ in range(steps):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step(**{k: loss for k in more})
    return torch.cat([p.detach().flatten() for p in w])


@pytest.mark.parametrize(("ours", "mine", "theirs", "hyper"), PAIRS)
def test_the_steps_are_those_of_the_room(ours, mine, theirs, hyper):
    a = walk(lambda w: ours(w, **mine))
    b = walk(lambda w: theirs(w, **hyper))
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


def test_sophia_is_hutchinsons():
    hyper = {"lr": 0.01, "betas": (0.965, 0.99), "weight_decay": 0.0, "k": 3}
    a = walk(lambda w: Sophia(w, lr=0.01, k=3), curvature=True)
    b = walk(lambda w: optim.SophiaH(w, gamma=0.04, **hyper), curvature=True)
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


def test_sophia_without_curvature_says_so_once():
    with pytest.warns(UserWarning, match="curvature=lambda"):
        a = walk(lambda w: Sophia(w, lr=0.01, k=1), steps=1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        walk(lambda w: Sophia(w, lr=0.01, k=1), steps=5)
    assert len(caught) == 1
    # One step by hand: h = (1 - b2) g^2, m = (1 - b1) g.
    g = torch.tensor([2.0, -0.5], dtype=torch.float64)
    w = nn.Parameter(torch.tensor([1.0, 3.0], dtype=torch.float64))
    w.grad = g
    with pytest.warns(UserWarning, match="squared gradient"):
        Sophia([w], lr=0.1, rho=50.0, k=1).step()
    step = 0.1 * (0.035 * g / (50.0 * 0.01 * g**2)).clamp(-1, 1)
    expected = torch.tensor([1.0, 3.0], dtype=torch.float64) - step
    torch.testing.assert_close(w.detach(), expected)
    assert a.isfinite().all()


def test_sophia_may_be_told_once():
    a = walk(lambda w: Sophia(w, k=3), curvature=True)

    def told(w):
        optimizer = Sophia(w, k=3)
        scale = torch.tensor([1.0, 5.0, 20.0], dtype=torch.float64)
        optimizer.curvature = lambda: (
            sum((scale * p**2).sum() / 2 for p in w) + 0.1 * w[0].sum()
        )
        return optimizer

    torch.testing.assert_close(a, walk(told), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("make_it", "says"),
    [
        (lambda w: SGD(w, lr=-1), "lr"),
        (lambda w: Adam(w, lr=0.1, beta1=2), "betas"),
        (lambda w: SGD([], lr=0.1), "no parameters"),
        (lambda w: BaseOptimizer([], lr=0.1), "no parameters"),
        (lambda w: BaseOptimizer(w, lr=0.0), "lr"),
        (lambda w: Sophia(w, k=0), "k must"),
        (lambda w: Lion(w, betas=(0.9, 1.0)), "betas"),
    ],
)
def test_what_cannot_be_meant_is_refused(make_it, says):
    with pytest.raises(ValueError, match=says):
        make_it([nn.Parameter(torch.ones(2))])


# A reader's own optimizers, as the chapter prints them.


class Printed(BaseOptimizer):
    """Descent with momentum and weight decay, written out."""

    def __init__(self, params, lr, maximize=False, momentum=0.0):
        super().__init__(params, lr)
        self.maximize = maximize
        self.momentum = momentum
        self.momentum_buffer_list = [None] * len(self.params)

    def step(self) -> None:
        for i, p in enumerate(self.params):
            if p.grad is None:
                continue
            grad = p.grad if not self.maximize else -p.grad
            if self.momentum != 0.0:
                buf = self.momentum_buffer_list[i]
                if buf is None:
                    buf = torch.clone(grad).detach()
                else:
                    buf.mul_(self.momentum).add_(grad)
                grad = self.momentum_buffer_list[i] = buf
            with torch.no_grad():
                p.add_(grad, alpha=-self.lr)


def test_a_readers_subclass_works():
    a = walk(lambda w: Printed(w, 0.05, momentum=0.5))
    b = walk(lambda w: torch.optim.SGD(w, lr=0.05, momentum=0.5))
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


def test_a_generator_of_parameters_is_kept():
    layer = nn.Linear(2, 1)
    mine = Printed(layer.parameters(), 0.1)
    assert [id(p) for p in mine.params] == [id(p) for p in layer.parameters()]
    layer(torch.ones(1, 2)).sum().backward()
    mine.zero_grad()
    assert layer.weight.grad is None


@pytest.mark.parametrize(
    ("kind", "theirs"),
    [
        (Printed, torch.optim.SGD),
        (SGD, torch.optim.SGD),
        (Adam, torch.optim.Adam),
    ],
)
def test_the_training_room_and_schedulers_take_them(kind, theirs):
    toy = load("blobs")

    def run(optimizer_class):
        model = make("mlp", in_shape=(2,), num_classes=3, hidden=[8])
        optimizer = optimizer_class(model.parameters(), lr=0.05)
        halve = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
        history = train(
            model, optimizer, *toy.loaders(50), epochs=2, scheduler=halve
        )
        return optimizer.param_groups[0]["lr"], history.test_loss

    (lr, mine), (_, other) = run(kind), run(theirs)
    assert lr == pytest.approx(0.05 / 4)
    np.testing.assert_allclose(mine, other, rtol=1e-4)


def test_the_rate_may_be_set():
    start = torch.tensor([1.0])
    for kind in (Printed, SGD):
        w = nn.Parameter(start.clone())
        mine = kind([w], lr=0.1)
        mine.lr = 0.5
        w.grad = torch.ones(1)
        mine.step()
        assert w.item() == 0.5


def test_a_saved_state_goes_on():
    w = nn.Parameter(torch.tensor([1.0, -1.0]))
    first = Adam([w], lr=0.1)
    w.grad = torch.tensor([0.3, -2.0])
    first.step()
    twin = nn.Parameter(w.detach().clone())
    second = Adam([twin], lr=0.7)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for p, optimizer in ((w, first), (twin, second)):
        p.grad = torch.tensor([1.0, 1.0])
        optimizer.step()
    assert torch.equal(w, twin)
    assert second.lr == 0.1


def test_the_published_momentum_is_torchs_dampened_one():
    """v = mu v + (1 - mu) g, from v = g: a tenth of the formula's step."""

    class Published(BaseOptimizer):
        v = None

        def step(self):
            [p] = self.params
            g = p.grad
            self.v = g if self.v is None else 0.9 * self.v + 0.1 * g
            with torch.no_grad():
                p -= self.lr * self.v

    def follow(optimizer_of):
        w = nn.Parameter(torch.tensor([1.0, 1.0], dtype=torch.float64))
        optimizer, points = optimizer_of([w]), []
        for _ in range(200):
            w.grad = torch.tensor([1.0, -2.0], dtype=torch.float64)
            before = w.detach().clone()
            optimizer.step()
            points.append((w.detach() - before).numpy())
        return np.array(points)

    old = follow(lambda p: Published(p, lr=0.01))
    same = follow(lambda p: optim.SGD(p, lr=0.01, momentum=0.9, dampening=0.9))
    new = follow(lambda p: SGD(p, lr=0.01, momentum=0.9))
    np.testing.assert_allclose(old, same, rtol=1e-10)
    np.testing.assert_allclose(new[0], old[0])
    np.testing.assert_allclose(new[-1], 10 * old[-1], rtol=1e-6)
