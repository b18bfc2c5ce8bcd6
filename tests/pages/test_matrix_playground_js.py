"""The matrix playground's JavaScript takes the package's steps."""

import numpy as np
import pytest
import torch
from v8 import Engine

from dldna.optim import RULES
from dldna.pages import MATRIX_PLAYERS

LIMIT = 1e-6
SCRIPTS = (
    *("random", "playground_rules", "matrix_math", "matrix_rules"),
    "matrix_playground_rules",
)
# As the problems' texts say it; A, B, C, M are what the page draws.
LOSSES = {
    "regression": lambda W, A, B, C: ((A @ W @ B - C) ** 2).sum() / 2,
    "target": lambda W, C: ((W - C) ** 2).sum() / 2,
    "factors": lambda W, M: ((W @ W.T - M) ** 2).sum() / 4,
}
AS_RULES = {
    "momentum": ("sgd", {"momentum": 0.9}),
    "nesterov": ("sgd", {"momentum": 0.9, "nesterov": True}),
}
SEEING = ("adafactor", "muon", "shampoo", "soap")


@pytest.fixture(scope="module")
def js():
    engine = Engine(*SCRIPTS)
    yield engine
    engine.close()


def double(values, shape=None):
    values = torch.tensor(values, dtype=torch.float64)
    return values if shape is None else values.reshape(shape)


def problem(js, key):
    """The problem's loss in torch, its start and its shape."""
    got = js(
        "(p => ({...p, W: p.start(1)}))(dldnaMatrixPlay.PROBLEMS[key])",
        key=key,
    )
    given = {k: double(v, (6, 6)) for k, v in got["given"].items()}
    W = double(got["W"], got["shape"])
    return (lambda W: LOSSES[key](W, **given)), W


def gradient(loss, W):
    W = W.detach().requires_grad_()
    return torch.autograd.grad(loss(W), W)[0]


@pytest.mark.parametrize("key", LOSSES)
def test_a_problem_is_what_its_text_says(js, key):
    loss, W = problem(js, key)
    got = js(
        "dldnaMatrixPlay.PROBLEMS[key].at(W)", key=key, W=W.flatten().tolist()
    )
    assert got["loss"] == pytest.approx(loss(W).item(), rel=1e-12)
    torch.testing.assert_close(
        double(got["g"], W.shape), gradient(loss, W), rtol=1e-10, atol=1e-12
    )


def test_the_problems_have_the_singular_values_they_name(js):
    both = js("Object.values(dldnaMatrixPlay.PROBLEMS).map(p => p.given)")
    for name in "AB":
        values = torch.linalg.svdvals(double(both[0][name], (6, 6)))
        assert (values[0] / values[-1]).item() == pytest.approx(10)
    values = torch.linalg.svdvals(double(both[1]["C"], (6, 6)))
    assert (values[0] / values[-1]).item() == pytest.approx(100)
    values = torch.linalg.eigvalsh(double(both[2]["M"], (6, 6)))[3:]
    assert values.tolist() == pytest.approx([0.1, 0.5, 1.0])


TRACE = """(() => {
  const p = dldnaMatrixPlay.PROBLEMS[key];
  const rule = dldnaMatrixRules.table[name];
  const lr = dldnaMatrixPlay.tune(p, name, 50, 1);
  const h = {...rule.defaults, lr, weight_decay: 0}, trace = [];
  let w = p.start(1), state = rule.init(w, h, p.shape);
  for (let t = 1; t <= steps; t++) {
    const [next, kept] = rule.update(w, p.at(w).g, state, t, h, p.shape);
    trace.push([state, next]);
    [w, state] = [next, kept];
  }
  const {points} = dldnaMatrixPlay.walk(p, name, lr, steps, 1);
  return {lr, trace, points};
})()"""

# No two roundings share these walks: Muon circles around the minimum, and
# SOAP's second step divides what is only rounding by its own size. Each
# step is taken again from JavaScript's own state.
CHAOTIC = ("muon", "soap")


def gaps(js, key, name, steps):
    """Distance of each step from Python's."""
    loss, W = problem(js, key)
    got = js(TRACE, key=key, name=name, steps=steps)
    assert got["points"][1:] == [after for _, after in got["trace"]]
    key_, more = AS_RULES.get(name, (name, {}))
    rule = RULES[key_]
    hyper = {**more, "lr": got["lr"]}
    if "weight_decay" in rule.defaults:
        hyper["weight_decay"] = 0.0
    state, far = rule.init(W, **hyper), []
    shapes = {k: v.shape for k, v in state.items()}
    for t, (kept, after) in enumerate(got["trace"], 1):
        if name in CHAOTIC:
            W = double(got["points"][t - 1], W.shape)
            state = {k: double(kept[k], shapes[k]) for k in shapes}
        W, state = rule.update(W, gradient(loss, W), state, t, **hyper)
        far.append((double(after, W.shape) - W).abs().max().item())
        if name in CHAOTIC and key == "regression" and t < steps:
            # Of a basis, the signs of its columns are free.
            theirs = got["trace"][t][0]
            far += [
                (double(theirs[k], shapes[k]).abs() - v.abs())
                .abs()
                .max()
                .item()
                for k, v in state.items()
            ]
    points = double(got["points"])
    assert len(far) >= steps
    assert (points[-1] - points[0]).abs().max() > 0.1
    return far


@pytest.mark.parametrize("name", SEEING)
def test_rules_that_see_a_matrix_are_python_s(js, name):
    assert max(gaps(js, "regression", name, 60)) < LIMIT


@pytest.mark.full
@pytest.mark.parametrize("key", LOSSES)
@pytest.mark.parametrize("name", MATRIX_PLAYERS)
def test_every_optimizer_on_every_problem(js, name, key):
    assert max(gaps(js, key, name, 200)) < LIMIT


def test_the_rules_have_the_package_s_defaults(js):
    table = js("dldnaMatrixRules.table")
    for name in SEEING:
        for key, value in table[name]["defaults"].items():
            want = RULES[name].defaults[key]
            assert value == (list(want) if isinstance(want, tuple) else want)


@pytest.mark.parametrize("shape", [(4, 3), (3, 4), (5, 5)])
def test_singular_values_eigenvalues_and_bases_are_numpy_s(js, shape):
    A = np.random.default_rng(0).normal(size=shape)
    n, m = shape
    flat = A.ravel().tolist()
    values = js("dldnaMatrix.singular(A, n, m)", A=flat, n=n, m=m)
    assert values == pytest.approx(np.linalg.svd(A, compute_uv=False))
    S = A @ A.T
    got = js("dldnaMatrix.eigen(S, n)", S=S.ravel().tolist(), n=n)
    Q, kept = np.array(got["vectors"]).reshape(n, n), np.array(got["values"])
    np.testing.assert_allclose((Q * kept) @ Q.T, S, atol=1e-12)
    np.testing.assert_allclose(Q.T @ Q, np.eye(n), atol=1e-12)
    assert (np.diff(kept) <= 0).all()
    if n >= m:
        Q = np.array(js("dldnaMatrix.orthonormal(A, n, m)", A=flat, n=n, m=m))
        R = Q.reshape(n, m).T @ A
        np.testing.assert_allclose(R, np.triu(R), atol=1e-12)
        assert (np.diag(R) > 0).all()
        np.testing.assert_allclose(Q.reshape(n, m) @ R, A, atol=1e-12)


def test_a_shadow_says_how_much_it_holds(js):
    rng = np.random.default_rng(1)
    walks = [rng.normal(size=(7, 5)), rng.normal(size=(4, 5))]
    got = js(
        "dldnaMatrixPlay.shadow(walks)", walks=[w.tolist() for w in walks]
    )
    both = np.concatenate(walks)
    values = np.linalg.svd(both - both.mean(0), compute_uv=False) ** 2
    assert got["explained"] == pytest.approx(values[:2].sum() / values.sum())
    shadows = np.concatenate(got["walks"])
    assert (shadows**2).sum() == pytest.approx(values[:2].sum())
