"""The playground's JavaScript takes the steps that the Python rules take."""

import numpy as np
import pytest
import torch
from torch import nn
from v8 import Engine

from dldna.landscape import Slice, toy_network
from dldna.optim import ASAM, PAL, RULES, SAM, sophia_curvature
from dldna.problems import PROBLEMS

STEPS = 200
SEED = 3
LIMIT = 1e-6
MATRICES = ("muon", "soap", "scion")
# JavaScript's name: the Python rule and the settings that make the variant.
AS_RULES = {
    **{name: (name, {}) for name in RULES if name not in MATRICES},
    "momentum": ("sgd", {"momentum": 0.9}),
    "nesterov": ("sgd", {"momentum": 0.9, "nesterov": True}),
    "amsgrad": ("adam", {"amsgrad": True}),
    "signsgd": ("lion", {"betas": (0.0, 0.0)}),
}
# These evaluate the loss twice a step and are classes in Python.
AS_CLASSES = {"sam": SAM, "asam": ASAM, "pal": PAL}
ALL = sorted(AS_RULES | AS_CLASSES)


@pytest.fixture(scope="module")
def js():
    engine = Engine(
        *("page", "random", "playground_rules", "playground_surfaces"),
        "playground_share",
    )
    yield engine
    engine.close()


def double(values):
    return torch.tensor(values, dtype=torch.float64)


def described(problem):
    (a, b), (c, d) = problem.bounds
    return {
        "kind": "formula",
        "formula": problem.formula,
        "slopes": list(problem.slopes),
        "noise": list(problem.noise),
        "extent": [a, b, c, d],
    }


def gradient(loss, w, noise):
    w = w.detach().requires_grad_()
    g = torch.autograd.grad(loss(w.view(2)), w)[0]
    return g if noise is None else g + noise.view(w.shape)


class Stepper:
    """One Python optimizer on one loss, a step at a time."""

    def __init__(self, name, loss, hyper):
        self.name, self.loss = name, loss
        self.rule, more = AS_RULES.get(name, (None, {}))
        self.hyper = more | hyper
        self.shape = (1, 2) if name == "lars" else (2,)

    def begin(self, start):
        w = torch.tensor(start, dtype=torch.float64).view(self.shape)
        if self.rule:
            return w, RULES[self.rule].init(w, **self.hyper)
        return w, {}

    def step(self, w, state, t, noise):
        if self.rule is None:
            return self.class_step(w, state, noise)
        g = gradient(self.loss, w, noise)
        if self.name == "sophia" and t % 10 == 1:
            h = torch.autograd.functional.hessian(self.loss, w).diagonal()
            state = {**state, "h": sophia_curvature(state["h"], h, 0.99)}
        return RULES[self.rule].update(w, g, state, t, **self.hyper)

    def class_step(self, w, state, noise):
        w = nn.Parameter(w.clone())
        optimizer = AS_CLASSES[self.name]([w], **self.hyper)
        if state:
            optimizer.state[w].update(state)

        def closure():
            optimizer.zero_grad()
            value = self.loss(w)
            if noise is not None:
                value = value + (w * noise).sum()
            value.backward()
            return value

        optimizer.step(closure)
        kept = {k: optimizer.state[w][k] for k in optimizer.state[w]}
        return w.detach(), kept

    def point(self, w, state):
        if self.rule is None:
            return w
        rule = RULES[self.rule]
        return rule.point(w, state, **{**rule.defaults, **self.hyper})

    def walk(self, start, steps, noise):
        w, state = self.begin(start)
        points = [self.point(w, state)]
        for t in range(1, steps + 1):
            w, state = self.step(
                w, state, t, None if noise is None else noise[t - 1]
            )
            points.append(self.point(w, state))
        return torch.stack(points).view(-1, 2)


def far(theirs, ours):
    """Largest difference, in units of the point's size where above 1."""
    gap = (theirs - ours).abs().amax(-1)
    return (gap / ours.abs().amax(-1).clamp(min=1)).max().item()


def noise_of(js, problem):
    if problem.noise == (0.0, 0.0):
        return None
    drawn = js(
        "Array.from({length: n}, (_, t) => dldnaRandom.normals(seed, t+1))",
        n=STEPS,
        seed=SEED,
    )
    return double(drawn) * double(problem.noise)


TRACE = """(() => {
  const s = dldnaSurfaces.open(given), rule = dldnaRules.table[name];
  const lr = dldnaRules.tune(name, s, start, 100, {}, seed).lr / 3;
  const h = {...rule.defaults, lr}, trace = [];
  let w = [...start], state = rule.init(w, h);
  for (let t = 1; t <= steps; t++) {
    const at = s.batch(t, seed);
    const [w2, state2] = rule.update(w, at(w).g, state, t, h, at);
    trace.push([w, state, w2]);
    [w, state] = [w2, state2];
  }
  const {points, over} = dldnaRules.walk(
    name, s, start, steps, {lr}, seed);
  return {lr, points, over, trace};
})()"""

# Walks that no two roundings share: they amplify the last digit until it
# is seen. Each is held to Python step by step, from JavaScript's own state.
CHAOTIC = {
    ("mars", "double-well"): "large steps between two wells",
    ("sam", "double-well"): "g / |g| turns round where g vanishes",
    ("asam", "himmelblau"): "g / |g| turns round where g vanishes",
    ("sophia", "himmelblau"): "sign steps where the curvature is negative",
    ("shampoo", "plateau"): "gradients on one line: a singular matrix",
}


def trace(js, name, given, start):
    return js(
        TRACE, given=given, name=name, start=list(start), steps=STEPS,
        seed=SEED,
    )  # fmt: skip


@pytest.mark.parametrize("name", ALL)
def test_every_optimizer_on_a_quarter_of_the_problems(js, name):
    quarter = list(PROBLEMS)[list(ALL).index(name) % 4 :: 4]
    check_walks(js, name, quarter)


@pytest.mark.full
@pytest.mark.parametrize("name", ALL)
def test_every_optimizer_on_every_problem(js, name):
    check_walks(js, name, PROBLEMS)


def check_walks(js, name, keys):
    for key in keys:
        problem = PROBLEMS[key]
        noise = noise_of(js, problem)
        got = trace(js, name, described(problem), problem.start)
        stepper = Stepper(name, problem.f, {"lr": got["lr"]})
        if (name, key) in CHAOTIC:
            gap = step_by_step(stepper, got["trace"], noise)
        else:
            ours = stepper.walk(problem.start, STEPS, noise)
            theirs = double(got["points"])
            if got["over"]:
                assert ours[len(theirs) :].abs().max() > 1e11
            else:
                assert len(theirs) == STEPS + 1
            gap = far(theirs, ours[: len(theirs)])
        assert gap < LIMIT, (key, got["lr"])
        moved = np.ptp(np.array(got["points"], float), axis=0).max()
        assert moved > 1e-5, f"{key}: a walk that stands still"


def step_by_step(stepper, steps, noise):
    """Each step of JavaScript's walk, taken again by Python."""
    gaps = []
    for t, (w, state, after) in enumerate(steps, 1):
        point = torch.tensor(w, dtype=torch.float64).view(stepper.shape)
        kept = {k: double(v) for k, v in state.items()}
        if "L0" in kept:
            a, b, c = kept["L0"]
            kept["L0"] = torch.stack([a, b, b, c]).view(2, 2)
        draw = None if noise is None else noise[t - 1]
        ours, _ = stepper.step(point, kept, t, draw)
        gaps.append(far(double(after), ours.view(2)))
    assert len(gaps) == STEPS
    return max(gaps)


def test_all_rules_are_there_with_their_defaults(js):
    table = js("dldnaRules.table")
    assert sorted(table) == ALL
    for name, rule in table.items():
        if name in AS_RULES:
            python, more = AS_RULES[name]
            wanted = {**RULES[python].defaults, **more}
        else:
            w = [nn.Parameter(torch.zeros(2))]
            wanted = AS_CLASSES[name](w).defaults
        for key, value in rule["defaults"].items():
            if key == "k":  # the shell's, steps between two estimates
                continue
            want = wanted[key]
            assert value == (list(want) if isinstance(want, tuple) else want)


@pytest.mark.parametrize("key", PROBLEMS)
def test_the_problems_text(js, key):
    problem = PROBLEMS[key]
    (a, b), (c, d) = problem.bounds
    u = torch.rand(50, 2, dtype=torch.float64)
    points = torch.tensor([a, c]) + u * torch.tensor([b - a, d - c])
    got = js(
        "(s => points.map(p => [s.loss(p), ...s.gradient(p),"
        " ...s.batch(1, 0).diagonal(p)]))(dldnaSurfaces.open(given))",
        given=described(problem),
        points=points.tolist(),
    )
    got = double(got)
    torch.testing.assert_close(got[:, 0], problem.f(points))
    torch.testing.assert_close(got[:, 1:3], problem.gradient(points))
    bends = [
        torch.autograd.functional.hessian(problem.f, p).diagonal()
        for p in points
    ]
    scale = problem.gradient(points).abs().max().item() + 1
    torch.testing.assert_close(
        got[:, 3:], torch.stack(bends), rtol=1e-8, atol=1e-10 * scale
    )


@pytest.fixture(scope="module")
def part():
    return Slice.of(toy_network("tanh", seed=1), [(1, 0, 0), (2, 1, -1)])


def as_given(part, **more):
    # The page's data are short; here they have all digits.
    data = {"x": part.x.tolist(), "y": part.y.tolist()}
    shown = part.to_dict(2.0, resolution=3)
    return {**shown, **data, "kind": "network", **more}


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
@pytest.mark.parametrize(
    "free",
    [[(1, 0, 0), (1, 0, 1)], [(0, 2, 1), (3, 0, -1)], [(2, 1, -1), (1, 2, 0)]],
)
def test_a_network_s_loss_and_gradient(js, activation, free):
    part = Slice.of(toy_network(activation, seed=1), free)
    points = 2 * torch.randn(6, 2, dtype=torch.float64)
    got = js(
        "(s => points.map(p => [s.loss(p), ...s.gradient(p)]))"
        "(dldnaSurfaces.open(given))",
        given=as_given(part),
        points=points.tolist(),
    )
    losses, gradients = part.gradient(points)
    got = double(got)
    torch.testing.assert_close(got[:, 0], losses, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(got[:, 1:], gradients, rtol=1e-9, atol=1e-11)


def test_a_mini_batch_of_the_network(js, part):
    point, n = [0.3, -0.8], len(part.y)
    rows, got, again = js(
        "(s => [dldnaRandom.sample(n, 64, 5, 2), s.batch(2, 5)(point),"
        " s.batch(3, 5)(point)])(dldnaSurfaces.open(given))",
        given=as_given(part, batch_size=64),
        point=point,
        n=n,
    )
    loss, g = part.gradient(double([point]), torch.tensor(rows))
    assert len(rows) == 64
    assert 0 <= min(rows) <= max(rows) < n
    assert got["loss"] == pytest.approx(loss.item(), rel=1e-10)
    assert got["g"] == pytest.approx(g[0].tolist(), rel=1e-9)
    assert again["g"] != got["g"]


@pytest.mark.parametrize("name", ["sgd", "adam", "lamb", "sophia", "pal"])
def test_walks_on_the_network(js, part, name):
    got = js(
        "dldnaRules.walk(name, dldnaSurfaces.open(given), given.start, 40,"
        " {lr: 0.1}, 0)",
        given=as_given(part),
        name=name,
    )
    stepper = Stepper(name, loss_of(part), {"lr": 0.1})
    ours = stepper.walk(part.start.tolist(), 40, None)
    assert far(double(got["points"]), ours) < LIMIT


def loss_of(part):
    """The same network in plain torch, for autograd."""
    act = {"tanh": torch.tanh, "relu": torch.relu}[part.activation]

    def loss(w):
        weights = [m.clone() for m in part.weights]
        biases = [b.clone() for b in part.biases]
        for n, (k, i, j) in enumerate(part.free):
            if j < 0:
                biases[k][i] = w[n]
            else:
                weights[k][i, j] = w[n]
        h = part.x
        for k, (W, b) in enumerate(zip(weights, biases, strict=True)):
            h = h @ W.T + b
            h = act(h) if k < len(weights) - 1 else h
        return ((h[:, 0] - part.y) ** 2).mean()

    return loss


def test_a_grid_is_interpolated_smoothly(js):
    a, b = np.linspace(-2, 2, 33), np.linspace(-1, 3, 41)
    f = np.sin(1.3 * a)[None] * np.cos(b)[:, None] + 0.1 * b[:, None]
    u = torch.rand(40, 2, dtype=torch.float64)
    points = torch.tensor([-1.8, -0.8]) + u * torch.tensor([3.6, 3.6])
    got = js(
        "(s => points.map(p => [s.loss(p), ...s.gradient(p),"
        " s.loss([p[0] + 1e-6, p[1]]) - s.loss([p[0] - 1e-6, p[1]]),"
        " s.loss([p[0], p[1] + 1e-6]) - s.loss([p[0], p[1] - 1e-6])]))"
        "(dldnaSurfaces.open(given))",
        given={"kind": "grid", "grid": f.tolist(), "extent": [-2, 2, -1, 3]},
        points=points.tolist(),
    )
    got = np.array(got)
    x, y = points.numpy().T
    exact = np.sin(1.3 * x) * np.cos(y) + 0.1 * y
    assert np.abs(got[:, 0] - exact).max() < 1e-3
    # The gradient is the interpolant's own.
    np.testing.assert_allclose(got[:, 1:3], got[:, 3:] / 2e-6, atol=1e-8)
    slope = 1.3 * np.cos(1.3 * x) * np.cos(y)
    assert np.abs(got[:, 1] - slope).max() < 2e-2


def test_a_grid_keeps_its_points_and_ends_at_its_edge(js):
    z = np.random.default_rng(0).normal(size=(4, 5))
    given = {"kind": "grid", "grid": z.tolist(), "extent": [0, 4, 0, 3]}
    got = js(
        "(s => [0,1,2,3].map(b => [0,1,2,3,4].map(a => s.loss([a, b]))))"
        "(dldnaSurfaces.open(given))",
        given=given,
    )
    np.testing.assert_allclose(got, z, atol=1e-12)
    walk = js(
        "dldnaRules.walk('lion', dldnaSurfaces.open(given), [2, 1.5], 99,"
        " {lr: 0.3}, 0)",
        given={**given, "grid": (z * 0 + np.arange(5)).tolist()},
    )
    assert walk["over"]["why"] == "left"
    assert len(walk["points"]) == walk["over"]["step"]


def test_the_normal_numbers_are_normal(js):
    z = np.array(
        js("Array.from({length: 4000}, (_, t) => dldnaRandom.normals(7, t))")
    )
    assert np.abs(z.mean(0)).max() < 0.06
    assert np.abs(z.std(0) - 1).max() < 0.05
    assert abs(np.corrcoef(z.T)[0, 1]) < 0.06
    assert abs(np.corrcoef(z[1:, 0], z[:-1, 0])[0, 1]) < 0.06


def test_a_loss_can_be_heard(js):
    tones = js("dldnaSurfaces.pitches([1, 10, 100, 1e9], 1, 100)")
    assert tones == pytest.approx([220, 440, 880, 880])
    assert js("dldnaSurfaces.pitches([-1, 0, 1], -1, 1)") == pytest.approx(
        [220, 440, 880]
    )


def test_optimizers_and_their_settings_come_back_from_words(js):
    text = "sgd*0.05*weight_decay*0.5!adam*0.03*betas.0*0.5*betas.1*0.9"
    found = dict(js("dldnaPlayShare.read(text)", text=text))
    assert found["sgd"] == {"lr": 0.05, "weight_decay": 0.5}
    assert found["adam"] == {"lr": 0.03, "betas/0": 0.5, "betas/1": 0.9}
    again = js(
        "dldnaPlayShare.written(Object.keys(found), (name, key) =>"
        " key in found[name] ? found[name][key]"
        " : dldnaPlayShare.usual(name, key))",
        found=found,
    )
    assert again == text


@pytest.mark.parametrize(
    "text",
    ["", "sgd", "sgd*x", "sgd*-1", "sgd*1e9", "muon*0.1", "toString*1",
     "constructor*0.1"],
)  # fmt: skip
def test_words_that_make_no_sense_are_left_out(js, text):
    assert js("dldnaPlayShare.read(text)", text=text) == []
    more = js(
        "dldnaPlayShare.read(text)", text="sgd*0.1*momentum*0.9*lr*7*x*1"
    )
    assert more == [["sgd", {"lr": 0.1}]]


# Golden: curvatures 1 and 10, so SGD bears rates up to 0.2.
MISSION = """(() => {
  const s = dldnaSurfaces.open(given), start = given.start;
  const walk = (name, h) => dldnaRules.walk(name, s, start, 100, h, 0);
  const now = {walks: {[name]: walk(name, h)}, minima: [],
    again: (n, f) => walk(n, {...h, lr: f * h.lr})};
  return dldnaPlayShare.MISSIONS.map(m => Boolean(m.done(now)));
})()"""


@pytest.mark.parametrize(
    ("name", "h", "done"),
    [
        ("sgd", {"lr": 0.2}, [False, True, False]),
        ("sgd", {"lr": 0.15}, [False, False, False]),
        ("sgd", {"lr": 0.22}, [False, False, False]),
        ("adam", {"lr": 0.1}, [False, False, False]),
        ("adam", {"lr": 1.0, "betas": [0.9, 0]}, [True, False, False]),
    ],
)
def test_a_mission_is_done_when_it_is(js, name, h, done):
    golden = PROBLEMS["golden"]
    given = {**described(golden), "start": list(golden.start)}
    assert js(MISSION, given=given, name=name, h=h) == done
