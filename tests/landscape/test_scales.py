"""Wavelets against closed forms, PyWavelets and fixed numbers."""

import numpy as np
import pytest

from dldna.landscape.shape.scales import Scales, component, cwt, decompose
from dldna.records import Line, Record

pywt = pytest.importorskip("pywt")


def bowl(n=40, m=40):
    x, y = np.linspace(-1, 1, n), np.linspace(-1, 1, m)
    return x[:, None] ** 2 + 2 * y**2 + 0.3 * np.sin(5 * x)[:, None] * y


def test_levels_are_named_right():
    """pywt's list index 1 is the coarsest level; level 1 is the finest."""
    z = np.random.default_rng(0).standard_normal((40, 40))
    s = decompose(z, levels=2)
    assert s.levels == 2
    assert [s.detail(j)[0].shape for j in (1, 2)] == [(20, 20), (10, 10)]
    assert s.approximation.shape == (10, 10)
    coded = pywt.wavedec2(z, "haar", level=2)
    for ours, theirs in ((1, 2), (2, 1)):
        for a, b in zip(s.detail(ours), coded[theirs], strict=True):
            np.testing.assert_array_equal(a, b)


def test_energy_is_conserved():
    z = np.random.default_rng(0).standard_normal((40, 40))
    s = decompose(z, levels=2)
    total = s.approximation_energy + s.energies.sum()
    assert total == pytest.approx((z**2).sum(), rel=1e-12)
    assert s.surplus == pytest.approx(0, abs=1e-12)
    odd = decompose(z[:25, :25], levels=2)
    assert odd.detail(1)[0].shape == (13, 13)
    assert odd.detail(2)[0].shape == (7, 7)
    assert odd.surplus > 1e-3


def test_four_patches_are_left_by_default():
    for n, levels in ((8, 1), (40, 3), (41, 3), (64, 4), (3, 1)):
        assert decompose(np.eye(n)).levels == levels


def test_checkerboard_is_all_finest():
    board = np.indices((16, 16)).sum(0) % 2
    s = decompose(board, levels=4)
    np.testing.assert_allclose(s.energies, [64, 0, 0, 0], atol=1e-12)
    assert s.roughness == pytest.approx(1)
    along, across, both = s.detail(1)
    assert (both**2).sum() == pytest.approx(64)
    assert abs(along).max() < 1e-12
    assert abs(across).max() < 1e-12


def test_constant():
    s = decompose(np.ones((8, 8)), levels=2)
    np.testing.assert_allclose(s.approximation, 4)
    np.testing.assert_allclose(s.local_mean(), 1)
    assert s.energies.sum() == pytest.approx(0, abs=1e-20)
    assert s.roughness == 0


def test_haar_approximation_is_the_local_mean():
    z = np.random.default_rng(1).standard_normal((16, 8))
    blocks = z.reshape(4, 4, 2, 4).mean((1, 3))
    np.testing.assert_allclose(decompose(z, levels=2).local_mean(), blocks)


def test_directions_are_named_right():
    wave = np.sin(np.arange(16.0))
    for z, kind in (
        (np.outer(wave, np.ones(16)), "alpha"),
        (np.outer(np.ones(16), wave), "beta"),
    ):
        s = decompose(z)
        for name, c in s.details.items():
            if not name.startswith(kind):
                assert abs(c).max() < 1e-12
        assert abs(s.details[kind + "1"]).max() > 0.1


@pytest.mark.parametrize("wavelet", ["haar", "db4", "sym5", "coif2"])
def test_white_noise_has_three_quarters_in_every_wavelet(wavelet):
    draw = np.random.default_rng(0).standard_normal
    found = [decompose(draw((64, 64)), wavelet) for _ in range(8)]
    mean = np.mean([s.roughness for s in found])
    assert mean == pytest.approx(0.75, abs=0.012)
    one = decompose(z := draw((64, 64)), wavelet, levels=2)
    coded = pywt.wavedec2(z, wavelet, "periodization", level=2)
    np.testing.assert_allclose(one.approximation, coded[0])


@pytest.mark.parametrize("wavelet", ["haar", "db4", "db20", "sym8", "coif5"])
@pytest.mark.parametrize("shape", [(8, 8), (2, 6), (64, 32), (12, 20)])
def test_energies_add_up_in_every_wavelet(wavelet, shape):
    """Also where the wavelet is longer than the surface, and no warning."""
    z = 3 + np.random.default_rng(1).standard_normal(shape)
    s = decompose(z, wavelet, levels=1)
    assert s.surplus == pytest.approx(0, abs=1e-8)
    parts = [component(s, level) for level in range(s.levels + 1)]
    np.testing.assert_allclose(sum(parts), z, atol=1e-8)
    gram = np.array([[float((a * b).sum()) for a in parts] for b in parts])
    assert abs(gram[0, 1]) < 1e-7 * gram[0, 0]


def test_haar_has_no_border():
    z = np.random.default_rng(2).standard_normal((25, 31))
    s = decompose(z, levels=2)
    for ours, theirs in zip(
        (s.approximation, s.detail(2), s.detail(1)),
        pywt.wavedec2(z, "haar", "symmetric", level=2),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_every_orthogonal_wavelet_reconstructs_or_is_refused():
    z = 1000 + bowl(32, 32)
    for name in pywt.wavelist(kind="discrete"):
        if not pywt.Wavelet(name).orthogonal:
            continue
        try:
            s = decompose(z, name)
        except ValueError as error:
            assert name == "dmey", error
            assert "orthogonal only to" in str(error)
        else:
            parts = sum(component(s, j) for j in range(s.levels + 1))
            np.testing.assert_allclose(parts, z, rtol=1e-8)
            lifted = decompose(z + 1e6, name).roughness
            assert lifted == pytest.approx(s.roughness, rel=1e-3)


@pytest.mark.parametrize("wavelet", ["haar", "db2", "sym4"])
@pytest.mark.parametrize("shape", [(40, 40), (25, 31), (41, 41)])
def test_components_add_up(wavelet, shape):
    z = bowl(*shape)
    s = decompose(z, wavelet)
    parts = [component(s, level) for level in range(s.levels + 1)]
    np.testing.assert_allclose(sum(parts), z, atol=1e-10)


def test_components_of_different_levels_stand_at_right_angles():
    z = np.random.default_rng(2).standard_normal((32, 32))
    s = decompose(z)
    parts = np.stack([component(s, j).ravel() for j in range(s.levels + 1)])
    gram = parts @ parts.T
    wanted = np.diag([s.approximation_energy, *s.energies])
    np.testing.assert_allclose(gram, wanted, atol=1e-9)


def test_roughness_of_noise_and_of_a_bowl():
    found = [
        decompose(
            np.random.default_rng(seed).standard_normal((64, 64))
        ).roughness
        for seed in range(20)
    ]
    assert np.mean(found) == pytest.approx(0.75, abs=0.01)
    assert decompose(bowl(64, 64)).roughness < 0.01
    noisy = bowl(64, 64) + 0.3 * np.random.default_rng(0).standard_normal(
        (64, 64)
    )
    assert 0.01 < decompose(noisy).roughness < 0.75
    shifted = decompose(bowl(64, 64) + 100).roughness
    assert shifted == pytest.approx(decompose(bowl(64, 64)).roughness)


def test_cwt_of_a_gaussian_is_known():
    x = np.linspace(-3, 3, 1201)
    s, centre = 0.15, 0.4
    r = cwt(Line(x, np.exp(-((x - centre) ** 2) / (2 * s**2))), [0.05, 0.2])
    norm = 2 / (np.sqrt(3) * np.pi**0.25)
    for a, row in zip(r.scales, r.coefficients, strict=True):
        v, b = s**2 + a**2, x - centre
        gauss = np.sqrt(2 * np.pi) * s * a / np.sqrt(v)
        gauss = gauss * np.exp(-(b**2) / (2 * v))
        wanted = -(a**1.5) * norm * gauss * (b**2 / v**2 - 1 / v)
        np.testing.assert_allclose(row, wanted, atol=1e-7)


def test_cwt_finds_the_length_of_a_wave():
    x = np.linspace(-4, 4, 1601)
    scales = np.geomspace(0.02, 0.5, 200)
    for k in (6.0, 20.0):
        r = cwt(Line(x, np.cos(k * x)), scales)
        peak = scales[np.abs(r.coefficients[:, 800]).argmax()]
        assert peak == pytest.approx(np.sqrt(2.5) / k, rel=0.02)


def test_cwt_is_near_pywavelets():
    x = np.linspace(-1, 1, 401)
    f = np.exp(-(((x - 0.2) / 0.1) ** 2)) * x
    h = x[1] - x[0]
    ours = cwt(Line(x, f), [40 * h]).coefficients[0]
    theirs, _ = pywt.cwt(f, [40], "mexh")  # in samples, piecewise constant
    scale = np.abs(ours).max()
    np.testing.assert_allclose(ours, theirs[0] * np.sqrt(h), atol=0.03 * scale)


def test_cwt_of_a_constant_is_nothing_and_edges_are_marked():
    r = cwt(np.full(50, 7.0))
    np.testing.assert_allclose(r.coefficients, 0, atol=1e-5)
    assert r.trusted[0].sum() > r.trusted[-1].sum()
    assert not r.trusted[:, 0].any()


def test_records_survive_a_file(tmp_path):
    s = decompose(bowl())
    back = Record.load(s.save(tmp_path / "s"))
    assert isinstance(back, Scales)
    np.testing.assert_array_equal(component(back, 1), component(s, 1))
    r = cwt(np.arange(20.0))
    again = Record.load(r.save(tmp_path / "r"))
    np.testing.assert_array_equal(again.coefficients, r.coefficients)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: decompose(bowl(), "har"), "did you mean 'haar'"),
        (lambda: decompose(bowl(), "bior2.2"), "not orthogonal"),
        (lambda: decompose(bowl(), levels=9), "at most 5 levels"),
        (lambda: decompose(bowl(), levels=0), "levels"),
        (lambda: decompose([[1.0, np.nan], [1, 2]]), "1 of 4 losses"),
        (lambda: component(decompose(bowl()), 9), "1 .finest. to 3"),
        (lambda: decompose(bowl()).detail(0), "level"),
        (lambda: cwt([1.0, 2.0]), "at least 8"),
        (lambda: cwt(np.full(9, np.nan)), "NaN"),
        (lambda: cwt(Line(np.arange(9.0) ** 2, np.ones(9))), "evenly"),
        (lambda: cwt(np.ones(9), [0.5]), "one step"),
    ],
)
def test_bad_input_is_named(call, text):
    with pytest.raises(ValueError, match=text):
        call()
