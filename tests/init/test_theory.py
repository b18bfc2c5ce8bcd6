"""Gaussian integrals and recursions against closed forms and SciPy."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from dldna import init
from dldna.init import gaussian


@pytest.mark.parametrize("q", [1e-6, 0.3, 1.0, 7.0])
@pytest.mark.parametrize("slope", [0.0, 0.01, 0.25, 1.0])
def test_leaky_relu_closed_form(q, slope):
    m = init.moments(nn.LeakyReLU(slope), q)
    assert m.mean == pytest.approx(
        (1 - slope) * math.sqrt(q / (2 * math.pi)), rel=1e-12, abs=1e-15
    )
    assert m.second == pytest.approx(q * (1 + slope**2) / 2, rel=1e-12)
    assert m.slope == pytest.approx((1 + slope**2) / 2, rel=1e-12)
    assert m.variance == pytest.approx(m.second - m.mean**2)


@pytest.mark.parametrize("q", [0.2, 1.0, 4.0])
def test_erf_closed_form(q):
    """Williams 1997: E[erf(u) erf(v)], and E[erf'^2]."""
    m = init.moments("erf", q)
    assert m.second == pytest.approx(
        2 / math.pi * math.asin(2 * q / (1 + 2 * q)), rel=1e-11
    )
    assert m.slope == pytest.approx(
        4 / math.pi / math.sqrt(1 + 4 * q), rel=1e-11
    )
    joint = init.joint_mean(torch.erf, q, 0.4)
    assert joint == pytest.approx(
        2 / math.pi * math.asin(0.8 * q / (1 + 2 * q)), rel=1e-10
    )


@pytest.mark.parametrize("name", gaussian.ACTIVATIONS)
def test_against_adaptive_quadrature(name):
    integrate = pytest.importorskip("scipy.integrate")
    phi, q = gaussian.ACTIVATIONS[name], 1.7

    def f(z):
        u = torch.tensor(math.sqrt(q) * z, dtype=torch.float64)
        return float(phi(u)) ** 2 * math.exp(-z * z / 2)

    parts = [integrate.quad(f, a, b, epsabs=1e-12)[0]
             for a, b in [(-12, 0), (0, 12)]]  # fmt: skip
    expected = sum(parts) / math.sqrt(2 * math.pi)
    assert init.moments(name, q).second == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("c", [-1.0, -0.6, 0.0, 0.5, 0.99, 1.0])
def test_arc_cosine_kernel(c):
    """Cho & Saul 2009: E[relu(u) relu(v)] in closed form."""
    angle = math.acos(c)
    expected = (math.sin(angle) + (math.pi - angle) * c) / (2 * math.pi)
    assert init.joint_mean(torch.relu, 1.0, c) == pytest.approx(
        expected, abs=1e-11
    )
    assert init.correlation_map(
        "relu", c, math.sqrt(2), q=3.0
    ) == pytest.approx(2 * expected, abs=1e-11)


def test_slope_of_the_correlation_map_is_chi_1():
    sigma_w, sigma_b = 1.8, 0.3
    q = init.fixed_length("tanh", sigma_w, sigma_b)
    h = 1e-5
    rise = 1 - init.correlation_map("tanh", 1 - h, sigma_w, sigma_b, q)
    chi = init.chi_1("tanh", sigma_w, sigma_b)
    assert rise / h == pytest.approx(chi, rel=1e-4)
    assert init.length_map("tanh", q, sigma_w, sigma_b) == pytest.approx(q)


def test_edge_of_chaos():
    assert init.critical_sigma_w("relu") == pytest.approx(math.sqrt(2))
    assert init.critical_sigma_w("linear") == pytest.approx(1)
    assert init.critical_sigma_w("tanh") == pytest.approx(1, abs=1e-6)
    # Schoenholz et al. 2017: sigma_w^2 = 1.76 at sigma_b^2 = 0.05
    edge = init.critical_sigma_w("tanh", math.sqrt(0.05))
    assert edge**2 == pytest.approx(1.76, abs=0.01)
    assert init.chi_1("tanh", edge, math.sqrt(0.05)) == pytest.approx(
        1, abs=1e-6
    )
    assert init.chi_1("tanh", 0.9 * edge, math.sqrt(0.05)) < 1
    assert init.chi_1("tanh", 1.1 * edge, math.sqrt(0.05)) > 1
    assert init.depth_scale(math.exp(-0.1)) == pytest.approx(10)


def test_fixed_lengths():
    assert init.fixed_length("relu", 1.5) == math.inf
    assert init.fixed_length("tanh", 0.9) == 0
    assert init.fixed_length("linear", 0.5, 1.0) == pytest.approx(4 / 3)


def test_recursion_by_hand():
    r = init.predict_layers(
        ["relu", "linear"], [3.0, 5.0], [7.0, 11.0],
        second_moment=2.0, sigma_b=0.5,
    )  # fmt: skip
    np.testing.assert_allclose(r.pre, [6.25, 5 * 6.25 / 2 + 0.25])
    np.testing.assert_allclose(r.second, [3.125, 15.875])
    np.testing.assert_allclose(r.grad, [0.5 * 11.0, 1.0])


def test_bad_input():
    with pytest.raises(ValueError, match="did you mean 'tanh'"):
        init.moments("tahn")
    with pytest.raises(TypeError, match="elementwise"):
        init.moments(3)
    with pytest.raises(ValueError, match="q must be"):
        init.moments("relu", -1.0)
    with pytest.raises(ValueError, match="correlation"):
        init.joint_mean(torch.tanh, 1.0, 1.5)
    with pytest.raises(ValueError, match="2 layers, but 3"):
        init.predict_layers(["relu"] * 3, [1.0, 1.0])
    with pytest.raises(ValueError, match="number of layers"):
        init.predict_layers("relu", [])
    with pytest.raises(ValueError, match="no fixed point"):
        init.chi_1("relu", 2.0)
    with pytest.raises(ValueError, match="no meaning"):
        init.correlation_map("tanh", 0.5, 0.5)
    with pytest.raises(ValueError, match="no edge"):
        init.critical_sigma_w("relu", 0.2)
