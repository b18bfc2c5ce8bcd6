"""The live network's JavaScript beside torch: loss, slopes, steps, planes."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from v8 import Engine

from dldna import optim
from dldna.init.propagation_grid import LAB_NEGATIVE, LAB_SCHEMES
from dldna.init.schemes import variance_of
from dldna.pages.live_network_page import ACTIVATIONS, LEARNERS

LIMIT = 1e-6
STEPS = 500
SCRIPTS = (
    *("random", "playground_rules", "matrix_math", "matrix_rules"),
    *("live_network_rules", "live_network_planes", "live_network_run"),
)
# Blobs and a network on them; the same numbers in both languages.
SETTING = """
function setting(widths, activation, scheme, samples) {
  const net = dldnaLive.layout(widths), draw = dldnaRandom.random(5, 1);
  const x = dldnaRandom.gaussian(samples * widths[0], draw);
  const classes = widths[widths.length - 1];
  const y = Array.from({length: samples}, (_, n) => n % classes);
  y.forEach((label, n) => { x[n * widths[0] + label % widths[0]] += 2; });
  const model = dldnaLive.network(net, activation, {x, y});
  return { net, x, y, model, w: dldnaLive.begin(scheme, net, 3) };
}
function finish(task) {
  for (;;) {
    const {done, value} = task.next();
    if (done) return value;
  }
}
"""
NAMES = {
    "sgd": lambda model, lr: optim.SGD(model.parameters(), lr=lr),
    "momentum": lambda m, lr: optim.SGD(m.parameters(), lr=lr, momentum=0.9),
    "nesterov": lambda m, lr: optim.SGD(
        m.parameters(), lr=lr, momentum=0.9, nesterov=True
    ),
    "rmsprop": lambda model, lr: optim.RMSprop(model.parameters(), lr=lr),
    "adam": lambda model, lr: optim.Adam(model.parameters(), lr=lr),
    "adamw": lambda model, lr: optim.AdamW(model.parameters(), lr=lr),
    "lion": lambda model, lr: optim.Lion(model.parameters(), lr=lr),
    "muon": optim.muon_and_adamw,
}
RATES = {"sgd": 0.1, "momentum": 0.02, "nesterov": 0.02, "lion": 1e-3}


@pytest.fixture(scope="module")
def js():
    engine = Engine(*SCRIPTS, before=SETTING)
    yield engine
    engine.close()


def double(values):
    return torch.tensor(values, dtype=torch.float64)


def network(widths, activation, flat):
    """The same network in torch, its weights those of a list."""
    act = {
        "relu": nn.ReLU,
        "leaky_relu": nn.LeakyReLU,
        "tanh": nn.Tanh,
        "sigmoid": nn.Sigmoid,
        "linear": nn.Identity,
    }[activation]
    layers = []
    for n, m in pairwise(widths):
        layers += [nn.Linear(n, m), act()]
    model = nn.Sequential(*layers[:-1]).double()
    nn.utils.vector_to_parameters(double(flat), model.parameters())
    return model


def weights(model):
    return nn.utils.parameters_to_vector(model.parameters()).detach()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_loss_gradient_and_hessian_product_are_autograd_s(js, activation):
    widths = [3, 5, 4, 3]
    got = js(
        "(s => { const rows = [1, 4, 4, 7];"
        " const g = new Float64Array(s.net.size);"
        " const v = dldnaRandom.gaussian(g.length, dldnaRandom.random(1, 1));"
        " return {...s, v, hv: s.model.product(s.w, v), rows,"
        " loss: s.model.gradient(s.w, rows, g), g,"
        " all: s.model.loss(s.w, null), right: s.model.accuracy(s.w)}; })"
        "(setting(widths, activation, 'constant_variance', 12))",
        widths=widths,
        activation=activation,
    )
    model = network(widths, activation, got["w"])
    x, y = double(got["x"]).view(-1, 3), torch.tensor(got["y"])
    names = [name for name, _ in model.named_parameters()]

    def loss(w):
        parts = w.split([p.numel() for p in model.parameters()])
        shaped = {
            name: part.view_as(p)
            for name, part, p in zip(
                names, parts, model.parameters(), strict=True
            )
        }
        return F.cross_entropy(torch.func.functional_call(model, shaped, x), y)

    assert got["all"] == pytest.approx(loss(double(got["w"])).item())
    right = (model(x).argmax(1) == y).double().mean().item()
    assert got["right"] == pytest.approx(right)
    _, hv = torch.autograd.functional.hvp(
        loss, double(got["w"]), double(got["v"])
    )
    torch.testing.assert_close(double(got["hv"]), hv, rtol=1e-9, atol=1e-12)
    rows = torch.tensor(got["rows"])
    batch = F.cross_entropy(model(x[rows]), y[rows])
    g = torch.autograd.grad(batch, list(model.parameters()))
    assert got["loss"] == pytest.approx(batch.item())
    torch.testing.assert_close(
        double(got["g"]), torch.cat([p.flatten() for p in g])
    )


def test_all_that_the_page_offers_is_there(js):
    assert js("Object.keys(dldnaLive.ACTIVATIONS)") == list(ACTIVATIONS)
    assert set(js("Object.keys(dldnaLive.SCHEMES)")) == {
        *LAB_SCHEMES,
        *LAB_NEGATIVE,
    }
    assert list(NAMES) == list(LEARNERS)


WALK = """(s => {
  const g = new Float64Array(s.net.size), w = s.w.slice(), path = [];
  const step = dldnaLive.optimizer(name, s.net);
  const rows = dldnaLive.batches(48, 16, 2), seen = [];
  for (let t = 1; t <= steps; t++) {
    seen.push(rows(t));
    s.model.gradient(w, rows(t), g);
    step(w, g, t, lr);
    path.push(w.slice());
  }
  return {...s, path, seen};
})(setting([4, 12, 8, 3], activation, 'xavier_uniform', 48))"""


def deviation(js, name, activation):
    """The largest distance of a weight from Python's, over 500 steps."""
    lr = RATES.get(name, 5e-3)
    got = js(WALK, name=name, lr=lr, steps=STEPS, activation=activation)
    model = network([4, 12, 8, 3], activation, got["w"])
    optimizer = NAMES[name](model, lr)
    x, y = double(got["x"]).view(-1, 4), torch.tensor(got["y"])
    ours = []
    for rows in got["seen"]:
        optimizer.zero_grad()
        F.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()
        ours.append(weights(model))
    ours, theirs = torch.stack(ours), double(got["path"])
    assert (ours[-1] - double(got["w"])).abs().max() > 0.1
    return (ours - theirs).abs().max().item()


@pytest.mark.parametrize("name", ["sgd"])
def test_five_hundred_steps_are_python_s(js, name):
    assert deviation(js, name, "tanh") < LIMIT


@pytest.mark.full
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("name", LEARNERS)
def test_five_hundred_steps_of_every_optimizer(js, name, activation):
    assert deviation(js, name, activation) < LIMIT


@pytest.mark.parametrize("scheme", [*LAB_SCHEMES, *LAB_NEGATIVE])
def test_a_start_has_its_scheme_s_variance(js, scheme):
    shapes = {(60, 40), (40, 60)}
    for rows, columns in shapes:
        W = np.array(
            js(
                "dldnaLive.SCHEMES[scheme](rows, columns,"
                " dldnaRandom.random(0, 0))",
                scheme=scheme,
                rows=rows,
                columns=columns,
            )
        ).reshape(rows, columns)
        wanted = variance_of(scheme, columns, rows)
        assert (W**2).mean() == pytest.approx(wanted, rel=0.1)
        if "orthogonal" in scheme:
            values = np.linalg.svd(W, compute_uv=False)
            assert values == pytest.approx(np.full(40, values[0]))


def test_a_batch_holds_each_sample_once_in_an_epoch(js):
    seen = js(
        "(b => [1, 2, 3, 4, 5, 6, 7, 8].map(b))(dldnaLive.batches(13, 3, 0))"
    )
    first, second = np.concatenate(seen[:4]), np.concatenate(seen[4:])
    for epoch in (first, second):
        assert len(set(epoch.tolist())) == 12
        assert 0 <= min(epoch) <= max(epoch) < 13
    assert first.tolist() != second.tolist()
    assert js("dldnaLive.batches(13, 13, 0)(1)") is None


def test_the_largest_curvatures_are_the_hessian_s(js):
    got = js(
        "(s => ({...s, H: Array.from(s.w, (_, i) => s.model.product(s.w,"
        " s.w.map((_, j) => Number(i === j)))),"
        " top: finish(dldnaPlanes.leading(v => s.model.product(s.w, v),"
        " s.w, 25))}))(setting([3, 4, 3], 'tanh', 'lecun_normal', 20))"
    )
    H = np.array(got["H"])
    np.testing.assert_allclose(H, H.T, atol=1e-12)
    values, vectors = np.linalg.eigh(H)
    assert got["top"]["values"] == pytest.approx(values[:-3:-1], rel=1e-8)
    v = np.array(got["top"]["vectors"])
    for mine, theirs in zip(v, vectors.T[:-3:-1], strict=True):
        assert abs(mine @ theirs) == pytest.approx(1, abs=1e-6)
    residual = np.linalg.norm(H @ v[0] - got["top"]["values"][0] * v[0])
    assert got["top"]["residual"] == pytest.approx(residual, abs=1e-8)


LOOK = """(s => {
  const draw = dldnaRandom.random(9, 9);
  const earlier = [1, 2, 3, 4].map(k => s.w.map((v, i) =>
    v + dldnaRandom.gaussian(1, draw)[0] / k));
  const look = finish(dldnaPlanes.look({model: s.model, net: s.net, w: s.w,
    step: 0, kind, earlier, hint: null, seed: 0, n: 5}));
  const [a0, a1, b0, b1] = look.window, [p, q] = look.directions;
  const there = s.w.map((v, i) => v + a1 * p[i] + b0 * q[i]);
  return {...s, look, earlier, corner: s.model.loss(there, null)};
})(setting([3, 4, 3], 'tanh', 'lecun_normal', 20))"""


@pytest.mark.parametrize("kind", ["random", "path", "hessian"])
def test_a_plane_shows_the_loss_of_weights_that_are_written(js, kind):
    got = js(LOOK, kind=kind)
    look, w = got["look"], np.array(got["w"])
    assert look["z"][0][4] == pytest.approx(got["corner"], rel=1e-12)
    if kind == "random":
        assert look["z"][2][2] == pytest.approx(look["loss"], rel=1e-12)
        d = np.array(look["directions"][0])
        rows, theirs = d[:12].reshape(4, 3), w[:12].reshape(4, 3)
        np.testing.assert_allclose(
            np.linalg.norm(rows, axis=1), np.linalg.norm(theirs, axis=1)
        )
        assert not d[12:16].any()  # biases
    # The way's shadow is the least-squares one.
    D = np.array(look["directions"]).T
    away = np.array(got["earlier"]) - w
    ours = np.linalg.lstsq(D, away.T, rcond=None)[0].T
    np.testing.assert_allclose(look["way"], ours, atol=1e-10)
    if kind == "path":
        values = np.linalg.svd(away, compute_uv=False) ** 2
        share = values[:2].sum() / values.sum()
        assert look["explained"] == pytest.approx(share)
        kept = np.linalg.norm(away @ D) ** 2 / np.linalg.norm(away) ** 2
        assert kept == pytest.approx(share)


def test_what_is_kept_of_the_way_spans_all_of_it(js):
    steps = js(
        "(k => { for (let t = 0; t <= 1000; t++) k.add(t,"
        " new Float64Array([t])); return [k.steps, k.points.map(p => p[0])];"
        " })(dldnaPlanes.keeper(24))"
    )
    assert steps[0] == steps[1]
    assert 12 <= len(steps[0]) <= 24
    assert steps[0][0] == 0
    assert set(np.diff(steps[0])) == {64}


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov"])
def test_the_limit_of_a_rate_is_where_a_parabola_grows(js, name):
    ends = js(
        "[0.99, 1.01].map(share => { const r = dldnaRules.table[name];"
        " const c = share * dldnaRun.limit(name, 0.5);"
        " const h = {...r.defaults, lr: 0.5};"
        " let w = [1], s = r.init(w, h);"
        " for (let t = 1; t <= 2000; t++)"
        " [w, s] = r.update(w, [c * w[0]], s, t, h);"
        " return Math.abs(w[0]); })",
        name=name,
    )
    assert ends[0] < 1e-3
    assert ends[1] == "Infinity" or float(ends[1]) > 1e3
    assert js("dldnaRun.limit('adam', 0.1)") is None


def test_a_curve_keeps_its_mean_when_it_is_thinned(js):
    got = js(
        "(c => { for (let t = 0; t < 2400; t++) c.add(t, t);"
        " return [c.x.length, c.y, c.every]; })"
        "(dldnaRun.curve())"
    )
    count, y, every = got
    assert count < 600
    np.testing.assert_allclose(np.diff(y), every)
