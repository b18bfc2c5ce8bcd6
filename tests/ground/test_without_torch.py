"""What needs no network works where torch is not installed."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dldna import graph
from dldna.problems import PROBLEMS

HERE = Path(__file__).parent


def test_rooms_without_networks_work_without_torch():
    found = subprocess.run(
        [sys.executable, HERE / "without_torch.py"],
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stdout) == (0, ""), found.stderr


@pytest.mark.parametrize("p", PROBLEMS.values(), ids=PROBLEMS)
def test_a_problem_of_arrays_is_that_of_tensors(p):
    xy = np.random.default_rng(0).uniform(-2, 2, (20, 2))
    w = torch.from_numpy(xy)
    np.testing.assert_allclose(p.f(xy), p.f(w), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(
        p.gradient(xy), p.gradient(w), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("activation", graph.ACTIVATIONS)
def test_a_graph_of_arrays_is_that_of_tensors(activation):
    net = graph.build(["xw = a*xp + b*xq", "xo = c*xw*xp"], activation)
    draw = np.random.default_rng(0)
    weights = {k: draw.normal(size=1) for k in net.weights}
    inputs = {k: draw.normal(size=5) for k in net.inputs}
    signals = net.forward(weights, inputs)
    found = net.backward(weights, signals, {"xo": np.ones(5)})
    w = {k: torch.from_numpy(v).requires_grad_() for k, v in weights.items()}
    out = net.forward(w, {k: torch.from_numpy(v) for k, v in inputs.items()})
    out["xo"].sum().backward()
    for k, v in w.items():
        assert isinstance(found[k], np.ndarray)
        np.testing.assert_allclose(found[k], v.grad.numpy(), rtol=1e-12)
