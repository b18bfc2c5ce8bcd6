"""Flows of optimizers, held to closed forms, an ODE solver and real runs."""

import numpy as np
import pytest
import scipy.integrate
import torch
from torch import nn
from torch.nn import functional

from dldna import guard
from dldna.data import load
from dldna.training import (
    FlowRule,
    central_flow,
    gradient_flow,
    stable_flow,
)
from dldna.training.flows.cone import complementary
from dldna.training.flows.rules import rule_of


class Formula(nn.Module):
    """A loss that is a formula of one vector of weights."""

    def __init__(self, formula, start):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(start, dtype=torch.float64))
        self.formula = formula

    def forward(self, x):
        """The same number for each sample."""
        return self.formula(self.w).expand(len(x))


X = torch.ones(2, 1).double()


def mean(out, batch):
    """The loss is what the model returns."""
    return out.mean()


def of(formula, start, rule, steps, **options):
    """The central flow of a formula."""
    model = Formula(formula, start)
    return central_flow(model, mean, (X, X), rule, steps, **options)


def test_one_direction_against_the_closed_form():
    """L = (1 + y) x^2 / 2 + x^4 - a y + y^2 / 50: s2 = 2 (a - y / 25)."""
    a, lr = 0.05, 1.0

    def formula(w):
        x, y = w
        quartic = x**4 - a * y + y**2 / 50
        return (1 + y) * x**2 / 2 + quartic

    flow = of(formula, [1e-6, 0.0], FlowRule.sgd(lr), 60, keep=True)
    edge = flow.reached
    np.testing.assert_allclose(flow.sharpness[edge + 2 :], 2, atol=1e-6)
    y = flow.weights[:, 1]
    assert np.all(np.diff(y[:edge]) > 0)
    np.testing.assert_allclose(y[-1], 1, atol=1e-6)
    s2 = 2 * (a - y[-1] / 25)
    np.testing.assert_allclose(flow.variances[-1, 0], s2, rtol=1e-6)
    loss = -a * y[-1] + y[-1] ** 2 / 50
    np.testing.assert_allclose(flow.loss[-1], loss, rtol=1e-6)
    np.testing.assert_allclose(flow.mean_loss[-1], loss + s2, rtol=1e-6)


def test_two_coupled_directions_against_the_closed_form():
    """At rest the covariance is [[2 a, g], [g, 2 b]], set by three slopes."""
    a, b, g = 0.01, 0.02, 0.005

    def formula(w):
        x, y, p, q, r = w
        inner = (1.5 + p) * x**2 / 2 + (1.6 + q) * y**2 / 2 + r * x * y
        return inner - a * p - b * q - g * r

    flow = of(formula, [1e-3, 1e-3, 0, 0, 0], FlowRule.sgd(1.0), 70, keep=True)
    swing = flow.oscillation[-1]
    sigma = (swing.T @ swing)[:2, :2]
    np.testing.assert_allclose(sigma, [[2 * a, g], [g, 2 * b]], rtol=1e-4)
    assert flow.sharpness.max() < 2.001
    assert flow.missed.max() < 1e-6
    assert flow.critical[-1] == 2


@pytest.mark.parametrize(
    "scalar", [False, pytest.param(True, marks=pytest.mark.full)]
)
def test_rmsprop_on_a_quadratic_swings_by_half_its_rate(scalar):
    """sqrt(nu) = c / h holds h at the edge; E[g^2] = nu gives the rest.

    Each weight by itself: variance lr^2 / 4 in every direction. One average
    for all: the sharper direction carries all, lr^2 / 4 too.
    """
    lr = 0.01
    rule = FlowRule.rmsprop(lr, 0.8, scalar=scalar)

    def formula(w):
        return (3 * w[0] ** 2 + w[1] ** 2) / 2

    flow = of(formula, [0.1, 0.1], rule, 70)
    np.testing.assert_allclose(flow.sharpness[-1], flow.threshold, rtol=1e-4)
    second = 0 if scalar else lr**2 / 4
    np.testing.assert_allclose(
        np.append(flow.variances[-1], 0)[:2],
        [lr**2 / 4, second],
        rtol=1e-3,
        atol=1e-9,
    )


@pytest.mark.full
def test_rmsprop_itself_swings_by_half_its_rate():
    """The optimizer on the quadratic of the test above."""
    w = nn.Parameter(torch.tensor([0.1, 0.1], dtype=torch.float64))
    opt = torch.optim.RMSprop([w], lr=0.01, alpha=0.8)
    path = []
    for _ in range(400):
        opt.zero_grad()
        ((3 * w[0] ** 2 + w[1] ** 2) / 2).backward()
        opt.step()
        path.append(w.detach().clone())
    swing = torch.stack(path)[-100:].square().mean(0).numpy()
    np.testing.assert_allclose(swing, 0.01**2 / 4, rtol=0.01)


@pytest.mark.full
def test_the_heavy_ball_against_its_own_run():
    """The edge is 2 (1 + mu) / lr, and the variance that of the run."""
    a, lr, mu = 0.005, 0.5, 0.3

    def formula(w):
        return (5.1 + w[1]) * w[0] ** 2 / 2 - a * w[1] + w[1] ** 2 / 100

    rule = FlowRule.sgd(lr, mu)
    flow = of(formula, [0.05, 0.0], rule, 60, keep=True)
    y = flow.weights[-1, 1]
    np.testing.assert_allclose(5.1 + y, 2 * (1 + mu) / lr, rtol=1e-6)
    s2 = flow.variances[-1, 0]
    np.testing.assert_allclose(s2, 2 * (a - y / 50), rtol=1e-3)
    run = Formula(formula, [0.8 * s2**0.5, y])
    opt = torch.optim.SGD([run.w], lr=lr, momentum=mu)
    path = []
    for _ in range(800):
        opt.zero_grad()
        run.formula(run.w).backward()
        opt.step()
        path.append(run.w.detach().clone())
    late = torch.stack(path)[-600:].numpy()
    np.testing.assert_allclose(5.1 + late[:, 1].mean(), 5.1 + y, rtol=1e-3)
    np.testing.assert_allclose((late[:, 0] ** 2).mean(), s2, rtol=0.03)


@pytest.mark.full
def test_adam_on_a_quadratic_against_its_own_run():
    """Every weight swings by lr (1 - beta1) / (2 (1 + beta1))."""
    lr, beta1 = 0.01, 0.2

    def formula(w):
        return (3 * w[0] ** 2 + w[1] ** 2) / 2

    wide = (lr * (1 - beta1) / (2 * (1 + beta1))) ** 2
    flow = of(formula, [0.1, 0.1], FlowRule.adam(lr, beta1, 0.8), 120)
    np.testing.assert_allclose(flow.variances[-1], [wide, wide], rtol=1e-3)
    run = Formula(formula, [0.1, 0.1])
    opt = torch.optim.Adam([run.w], lr=lr, betas=(beta1, 0.8))
    path = []
    for _ in range(400):
        opt.zero_grad()
        run.formula(run.w).backward()
        opt.step()
        path.append(run.w.detach().clone())
    swing = torch.stack(path)[-100:].square().mean(0).numpy()
    np.testing.assert_allclose(swing, wide, rtol=0.1)  # it never settles


@pytest.mark.full
def test_two_weights_against_an_ode_solver():
    """L = (1 + y + y^2) x^2 / 2 - 2 y + y^2 / 5, integrated finely."""
    eta = 0.2

    def formula(w):
        x, y = w
        return (1 + y + y**2) * x**2 / 2 - 2 * y + y**2 / 5

    def slope(t, z):
        y = z[0]
        curvature, by_y = 1 + y + y**2, 1 + 2 * y
        force = -2 + 2 * y / 5
        s2 = 0.0
        if curvature >= 2 / eta and force < 0:
            s2 = -2 * force / by_y
        return [-eta * (force + s2 * by_y / 2)]

    flow = of(formula, [0.0, 0.0], FlowRule.sgd(eta), 12, dt=0.02, keep=True)
    times = flow.steps
    exact = scipy.integrate.solve_ivp(
        slope, (0, 12), [0.0], t_eval=times, max_step=0.01, rtol=1e-8
    ).y[0]
    np.testing.assert_allclose(flow.weights[:, 1], exact, atol=0.02)
    y = flow.weights[-1, 1]
    np.testing.assert_allclose(1 + y + y**2, 2 / eta, rtol=1e-4)
    s2 = 2 * (2 - 2 * y / 5) / (1 + 2 * y)
    np.testing.assert_allclose(flow.variances[-1, 0], s2, rtol=1e-3)


@pytest.mark.full
def test_gradient_flow_of_a_network_against_an_ode_solver():
    """Small steps in time approach the solver's path."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)).double()
    x, y = torch.randn(6, 2).double(), torch.randn(6, 1).double()
    loss = nn.MSELoss()
    found = gradient_flow(net, loss, (x, y), 0.1, 4, dt=0.02, keep=True)
    shapes = [p.shape for p in net.parameters()]
    twin = guard.copy_of(net)

    def slope(t, w):
        parts = torch.from_numpy(w).split([s.numel() for s in shapes])
        for p, part in zip(twin.parameters(), parts, strict=True):
            p.data = part.view(p.shape).clone()
        g = torch.autograd.grad(loss(twin(x), y), list(twin.parameters()))
        return -0.1 * torch.cat([v.reshape(-1) for v in g]).numpy()

    exact = scipy.integrate.solve_ivp(
        slope, (0, 4), found.weights[0], t_eval=found.steps, rtol=1e-8
    ).y.T
    moved = np.linalg.norm(exact[-1] - exact[0])
    assert np.abs(found.weights - exact).max() < 0.002 * moved
    assert np.all(found.mean_loss == found.loss)


def test_below_the_edge_the_central_flow_is_descent():
    """No oscillation, and the optimizer's own path outside the top space."""

    def formula(w):
        return (w[0] ** 2 + 0.3 * w[1] ** 2) / 2

    flow = of(formula, [1.0, 1.0], FlowRule.sgd(0.5), 20, keep=True)
    assert not flow.variances.any()
    assert flow.reached is None
    steps = np.arange(20)
    for column, h in zip(flow.weights.T, (1.0, 0.3), strict=True):
        plain, smooth = (1 - 0.5 * h) ** steps, np.exp(-0.5 * h * steps)
        assert (
            min(np.abs(column - plain).max(), np.abs(column - smooth).max())
            < 1e-6
        )


@pytest.mark.parametrize("k", [2, 4])
def test_complementarity_against_many_projected_gradients(k):
    """The barrier's solution is the minimum over the cone."""
    random = np.random.default_rng(k)
    rows = random.normal(size=(k, k, 12))
    rows = rows + rows.transpose(1, 0, 2)
    b = np.einsum("ijn,kln->ijkl", rows, rows)
    a = random.normal(size=(k, k))
    a = a + a.T - np.eye(k)
    found = complementary(a, b)
    x, size = np.zeros((k, k)), 1 / np.linalg.norm(b.reshape(k * k, -1), 2)
    for _ in range(1500):
        x = x - size * (a + np.einsum("ijkl,kl->ij", b, x))
        values, vectors = np.linalg.eigh((x + x.T) / 2)
        x = (vectors * values.clip(0)) @ vectors.T
    np.testing.assert_allclose(found, x, atol=1e-4 * np.abs(x).max())
    left = a + np.einsum("ijkl,kl->ij", b, found)
    assert np.linalg.eigvalsh(found)[0] >= -1e-9
    assert np.linalg.eigvalsh(left)[0] >= -1e-8
    assert abs((found * left).sum()) < 1e-6 * np.trace(found)


def test_nothing_turns_the_curvature_back():
    """An error, not a covariance out of nothing."""
    with pytest.raises(ValueError, match="B is zero"):
        complementary(-np.eye(2), np.zeros((2, 2, 2, 2)))


def test_the_rule_of_an_optimizer():
    """Read from its settings; what has no flow is refused."""
    w = [nn.Parameter(torch.zeros(2))]
    heavy = rule_of(torch.optim.SGD(w, lr=0.1, momentum=0.5))
    assert (heavy.rate, round(heavy.edge, 9)) == (0.2, 30)
    adam = rule_of(torch.optim.Adam(w, lr=0.1, betas=(0.5, 0.9)))
    assert adam == FlowRule.adam(0.1, 0.5, 0.9)
    rms = rule_of(torch.optim.RMSprop(w, lr=0.1, alpha=0.9, eps=1e-6))
    assert rms == FlowRule.rmsprop(0.1, 0.9, 1e-6)
    with pytest.raises(ValueError, match="weight_decay"):
        rule_of(torch.optim.SGD(w, lr=0.1, weight_decay=0.1))
    with pytest.raises(ValueError, match="no flow is known for Adagrad"):
        rule_of(torch.optim.Adagrad(w))
    with pytest.raises(TypeError, match="FlowRule"):
        rule_of(0.1)


def test_bad_input():
    """Clear errors before anything runs."""
    model, rule = Formula(lambda w: w[0] ** 2, [1.0]), FlowRule.sgd(0.1)
    with pytest.raises(ValueError, match="steps"):
        central_flow(model, mean, (X, X), rule, 0)
    with pytest.raises(ValueError, match="dt"):
        stable_flow(model, mean, (X, X), rule, 3, dt=0.0)
    with pytest.raises(ValueError, match="option"):
        central_flow(model, mean, (X, X), rule, 3, steep=True)
    with pytest.raises(ValueError, match="beta2"):
        FlowRule.rmsprop(0.1, 1.0)
    steep = Formula(lambda w: -torch.exp(w[0] ** 2), [3.0])
    with pytest.raises(ValueError, match="not finite"):
        stable_flow(steep, mean, (X, X), FlowRule.sgd(10.0), 50)


@pytest.mark.full
def test_a_network_against_its_run():
    """Loss over the edge phase, complementarity and cost."""
    data = load("clothes")
    x = functional.avg_pool2d(data.train_x[:100].double(), 2).flatten(1)
    x = x - x.mean(0)
    y = 2 * ((data.train_y[:100] % 2 == 1) & (data.train_y[:100] > 4)) - 1.0
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(196, 24), nn.Tanh(), nn.Linear(24, 1))
    net = net.double()

    def loss(out, batch):
        return (out[:, 0] - batch[1]).square().mean() / 2

    opt = torch.optim.SGD(net.parameters(), lr=0.3)
    flow = central_flow(net, loss, (x, y), opt, 400)
    losses = []
    for _ in range(400):
        opt.zero_grad()
        value = loss(net(x), (x, y))
        value.backward()
        losses.append(float(value.detach()))
        opt.step()
    edge = flow.reached
    assert 0 < edge < 200
    assert abs(flow.mean_loss[edge:].mean() / np.mean(losses[edge:]) - 1) < 0.1
    assert np.abs(flow.sharpness[edge + 5 :] / flow.threshold - 1).max() < 0.01
    assert flow.missed.max() < 1e-6
    assert flow.gradients[edge:].mean() <= 20


def test_a_flow_that_is_too_stiff():
    """An error that says what to do, not hours of substeps."""
    model = Formula(lambda w: (1e9 * w[0] ** 2 + w[1] ** 2).mean(), [1.0, 1.0])
    with pytest.raises(ValueError, match="too stiff"):
        stable_flow(model, mean, (X, X), FlowRule.sgd(0.1), 3)
