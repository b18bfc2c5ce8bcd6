"""Fitted wells against known parameters, autograd and closed forms."""

import warnings

import numpy as np
import pytest
import torch

from dldna.landscape.shape.wells import (
    PoorFit,
    descend,
    fit_gaussian,
    fit_quadratic,
    fit_wells,
)
from dldna.records import Record, Surface

pytest.importorskip("scipy")


def surface(z, extent=0.2):
    a, b = (np.linspace(-extent, extent, n) for n in z.shape)
    return Surface(
        alphas=a,
        betas=b,
        losses=z,
        evaluated=np.isfinite(z),
        centre_loss=float("nan"),
    )


def well(n=40, extent=0.2, x0=0.0, y0=0.0, A=2.0, sx=0.08, sy=0.12, off=2.5):
    x = np.linspace(-extent, extent, n)
    u, v = (x[:, None] - x0) / sx, (x[None, :] - y0) / sy
    return off - A * np.exp(-(u**2 + v**2) / 2)


def parabola(n=40, extent=0.2):
    x = np.linspace(-extent, extent, n)
    u, v = x[:, None] - 0.03, x[None, :] + 0.05
    return 1.5 + 0.5 * (4 * u**2 + 2 * 1.5 * u * v + 9 * v**2)


def test_a_well_is_found_again():
    fit = fit_gaussian(surface(well(x0=0.02, y0=-0.05)))
    wanted = {"A": 2, "x0": 0.02, "y0": -0.05, "sx": 0.08, "sy": 0.12}
    for name, value in wanted.items():
        assert fit.values[name] == pytest.approx(value, rel=1e-6)
    assert fit.values["offset"] == pytest.approx(2.5)
    assert fit.r2 == pytest.approx(1)
    assert fit.rmse < 1e-8


def test_a_fixed_rim_biases_depth_and_widths():
    z = well(x0=0.03, y0=0.02)
    fit = fit_gaussian(surface(z), offset=z.max())
    found = [fit.values[k] for k in ("A", "sx", "sy")]
    np.testing.assert_allclose(found[0], 1.997, atol=5e-4)
    np.testing.assert_allclose(found[1:], [0.0796, 0.1196], atol=5e-5)
    assert fit.rmse > 1e-4
    assert fit.values["offset"] == z.max()


@pytest.mark.full
def test_widths_are_positive_and_axes_in_order():
    for seed in range(5):
        g = np.random.default_rng(seed)
        true = {
            "x0": g.uniform(-0.1, 0.1),
            "y0": g.uniform(-0.1, 0.1),
            "sx": g.uniform(0.05, 0.1),
            "sy": g.uniform(0.05, 0.1),
        }
        noise = 0.01 * g.standard_normal((40, 40))
        fit = fit_gaussian(surface(well(**true) + noise))
        errors = np.sqrt(np.diag(fit.covariance))
        for i, name in enumerate(("x0", "y0", "sx", "sy"), start=1):
            assert abs(fit.values[name] - true[name]) < 5 * errors[i]
        assert fit.rmse == pytest.approx(0.01, rel=0.05)


def test_a_parabola_beats_the_well_on_a_parabola():
    wells = fit_wells(surface(parabola()))
    assert wells.better == "quadratic"
    q = wells.quadratic
    assert q.r2 == pytest.approx(1)
    np.testing.assert_allclose(q.hessian, [[4, 1.5], [1.5, 9]], rtol=1e-8)
    np.testing.assert_allclose(q.bottom, [0.03, -0.05], rtol=1e-8)
    assert float(q(torch.tensor(q.bottom, dtype=torch.float64))) == (
        pytest.approx(1.5)
    )
    assert wells.gaussian.r2 < q.r2
    assert fit_wells(surface(well())).better == "gaussian"


def test_covariance_of_the_parabola_equals_scipys():
    from scipy.optimize import curve_fit

    z = parabola(9) + 0.1 * np.random.default_rng(0).standard_normal((9, 9))
    s = surface(z)
    x, y = (v.ravel() for v in np.meshgrid(s.alphas, s.betas, indexing="ij"))

    def model(_, c, bx, by, hxx, hxy, hyy):
        bent = (hxx * x**2 + hyy * y**2) / 2 + hxy * x * y
        return c + bx * x + by * y + bent

    found, covariance = curve_fit(model, None, z.ravel(), p0=np.ones(6))
    fit = fit_quadratic(s)
    np.testing.assert_allclose(list(fit.values.values()), found, rtol=1e-4)
    size = np.sqrt(np.outer(*[np.diagonal(covariance)] * 2))
    np.testing.assert_allclose(
        fit.covariance / size, covariance / size, atol=1e-5
    )


@pytest.mark.parametrize("make", [fit_gaussian, fit_quadratic])
def test_gradient_and_hessian_equal_autograd(make):
    fit = make(surface(well() + parabola()))
    g = torch.Generator().manual_seed(0)
    xy = torch.rand(7, 2, generator=g, dtype=torch.float64) * 0.4 - 0.2
    xy.requires_grad_()
    fit(xy).sum().backward()
    torch.testing.assert_close(fit.gradient(xy.detach()), xy.grad)
    at = torch.tensor(fit.bottom, dtype=torch.float64)
    hessian = torch.autograd.functional.hessian(fit, at)
    np.testing.assert_allclose(fit.hessian, hessian, rtol=1e-9, atol=1e-9)
    assert float(fit.gradient(at).norm()) < 1e-9
    z = fit(
        torch.stack(
            torch.meshgrid(
                *[torch.linspace(-0.2, 0.2, 40, dtype=torch.float64)] * 2,
                indexing="ij",
            ),
            -1,
        )
    ).numpy()
    np.testing.assert_allclose(
        z + fit.residuals, well() + parabola(), rtol=1e-10
    )


def test_the_stable_rate_is_the_edge():
    """Below 2 s^2 / A descent settles; above it never does."""
    fit = fit_gaussian(surface(well()))
    assert fit.stable_rate == pytest.approx(2 * 0.08**2 / 2.0, rel=1e-6)
    ends = {}
    for factor in (0.95, 1.05):
        rate = factor * fit.stable_rate
        path = descend(
            fit,
            (0.001, 0.0),
            lambda p, rate=rate: torch.optim.SGD(p, lr=rate),
            steps=300,
        )
        ends[factor] = np.abs(path[-5:, 0]).max()
    assert ends[0.95] < 1e-6
    assert ends[1.05] > 1e-3


def test_far_from_the_well_there_is_no_way_to_it():
    fit = fit_gaussian(surface(well()))
    rate = fit.stable_rate / 2
    path = descend(
        fit, (1.0, 1.0), lambda p: torch.optim.SGD(p, lr=rate), steps=50
    )
    np.testing.assert_allclose(path[:, :2], 1.0)


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.SGD(p, lr=1e-3, momentum=0.8),
        lambda p: torch.optim.Adam(p, lr=1e-2),
        lambda p: torch.optim.LBFGS(p, lr=0.1, max_iter=2),
    ],
)
def test_any_torch_optimizer_walks(make):
    fit = fit_gaussian(surface(well()))
    path = descend(fit, (0.1, -0.1), make, steps=200)
    assert path.shape == (201, 3)
    assert path[0].tolist()[:2] == [0.1, -0.1]
    assert np.abs(path[-1, :2]).max() < 0.02
    values = [float(fit(torch.tensor(p[:2]))) for p in path]
    np.testing.assert_allclose(path[:, 2], values)


def test_holes_are_left_out_and_counted():
    z = well()
    z[3, 5], z[7, 7], z[0, 0] = np.nan, np.inf, np.nan
    fit = fit_gaussian(surface(z))
    assert fit.left_out == 3
    assert np.isnan(fit.residuals).sum() == 3
    assert fit.values["sx"] == pytest.approx(0.08, rel=1e-6)
    assert fit_quadratic(surface(z)).left_out == 3


def plain_well(x, x0, y0, s, depth=2.0):
    return 4 - depth * np.exp(
        -((x[:, None] - x0) ** 2 + (x - y0) ** 2) / (2 * s * s)
    )


@pytest.mark.parametrize("s", [0.35, 0.6, 1.0, 2.0])
def test_every_well_that_the_grid_shows_is_found(s):
    """81 places of each of four widths, on a grid of step 0.3."""
    x = np.linspace(-3, 3, 21)
    for x0 in np.linspace(-2, 2, 9):
        for y0 in np.linspace(-2, 2, 9):
            fit = fit_gaussian(surface(plain_well(x, x0, y0, s), 3))
            assert fit.r2 == pytest.approx(1, abs=1e-12), (x0, y0)
            assert [fit.values[k] for k in ("A", "x0", "y0", "sx", "sy")] == (
                pytest.approx([2, x0, y0, s, s], abs=1e-6)
            )


@pytest.mark.parametrize("spike", [-3.0, 3.0])
@pytest.mark.parametrize("corner", [(0, 0), (0, -1), (-1, 0), (-1, -1)])
def test_a_spike_in_a_corner_does_not_hide_the_well(corner, spike):
    x = np.linspace(-3, 3, 21)
    z = plain_well(x, -1.0, 0.5, 0.6)
    z[corner] += spike
    fit = fit_gaussian(surface(z, 3))
    assert fit.values["x0"] == pytest.approx(-1, abs=0.02)
    assert fit.values["sy"] == pytest.approx(0.6, abs=0.1)


def test_widths_below_half_a_step_are_not_searched():
    z = np.full((21, 21), 4.0)
    z[5, 7] = 2.0
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            fit = fit_gaussian(surface(z, 3))
        except RuntimeError:  # or none is found
            return
    assert min(fit.values["sx"], fit.values["sy"]) >= 0.15
    assert [w.category for w in said] == [PoorFit]


def test_a_well_that_explains_nothing_says_so():
    x = np.linspace(-3, 3, 21)
    waves = np.cos(9 * x)[:, None] * np.cos(9 * x)
    with pytest.warns(PoorFit, match="next to nothing"):
        fit = fit_gaussian(surface(waves, 3), offset=20.0)
    assert fit.r2 < 0.01


def test_a_flat_surface():
    wells = fit_wells(np.full((5, 5), 3.0))
    assert np.isnan(wells.quadratic.r2)
    assert wells.quadratic.rmse < 1e-12
    assert all(np.isnan(fit_quadratic(np.ones((4, 4))).bottom)) or (
        fit_quadratic(np.ones((4, 4))).rmse < 1e-12
    )


def test_records_survive_a_file(tmp_path):
    fit = fit_gaussian(surface(well()))
    back = Record.load(fit.save(tmp_path / "fit"))
    assert back.values == fit.values
    xy = torch.tensor([0.1, 0.05], dtype=torch.float64)
    assert float(back(xy)) == float(fit(xy))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: fit_quadratic(np.ones((2, 3))), "at least 7"),
        (lambda: fit_gaussian(well(), offset=np.nan), "offset"),
        (lambda: descend(sum, (1, 2, 3), torch.optim.Adam), "two finite"),
        (lambda: descend(sum, (1, np.inf), torch.optim.Adam), "two finite"),
        (lambda: descend(sum, (1, 2), torch.optim.Adam, 0), "steps"),
    ],
)
def test_bad_input_is_named(call, text):
    with pytest.raises(ValueError, match=text):
        call()
