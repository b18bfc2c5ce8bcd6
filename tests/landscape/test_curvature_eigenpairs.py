"""Eigenpairs: against dense matrices, SciPy, PyHessian; signs and errors."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, jacrev

from dldna import params
from dldna.landscape.curvature import (
    NotConvergedWarning,
    Operator,
    gradient_share,
    layer_spectra,
    top_eigenpairs,
)
from dldna.landscape.curvature.lanczos import (
    lanczos,
    tridiagonal,
    warm_start,
)
from dldna.landscape.curvature.pyhessian import pyhessian_eigenpairs
from dldna.records import Spectrum

CE = nn.functional.cross_entropy


def small():
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    return net.double()


def labelled(n=12):
    g = torch.Generator().manual_seed(2)
    x = torch.randn(n, 4, generator=g, dtype=torch.float64)
    return x, torch.randint(0, 3, (n,), generator=g)


def dense(model, loss_fn, x, y):
    """The whole Hessian by torch.func, in the order of the parameters."""
    point = params.copy(params.of(model))

    def f(w):
        p = params.unflatten(w, point)
        return loss_fn(functional_call(model, p, (x,)), y)

    return jacrev(jacrev(f))(params.flatten(point))


def exact(model, x, y, which="magnitude"):
    values, vectors = torch.linalg.eigh(dense(model, CE, x, y))
    key = {"magnitude": -values.abs(), "largest": -values, "smallest": values}
    order = key[which].argsort()
    return values[order].numpy(), vectors[:, order].T.numpy()


def sines(rows, others):
    """Sine of the angle between each pair of unit rows."""
    cosine = (rows * others).sum(1, keepdims=True)
    return np.linalg.norm(rows - cosine * others, axis=1)


@pytest.mark.parametrize("which", ["magnitude", "largest", "smallest"])
def test_pairs_equal_the_dense_ones(which):
    model, (x, y) = small(), labelled()
    values, vectors = exact(model, x, y, which)
    found = top_eigenpairs(model, CE, (x, y), 6, 1e-9, which=which)
    np.testing.assert_allclose(found.eigenvalues, values[:6], rtol=1e-10)
    assert sines(found.eigenvectors, vectors[:6]).max() < 1e-6
    assert (found.residuals <= 1e-9).all()
    assert found.provenance.notes["converged"]


def test_residuals_are_the_true_ones():
    model, (x, y) = small(), labelled()
    h = dense(model, CE, x, y).numpy()
    found = top_eigenpairs(model, CE, (x, y), 3, 1e-2)
    v, values = found.eigenvectors, found.eigenvalues
    gaps = np.linalg.norm(v @ h - values[:, None] * v, axis=1)
    np.testing.assert_allclose(found.residuals, gaps / abs(values), rtol=1e-6)
    assert found.residuals.max() > 1e-6  # stopped in time
    np.testing.assert_allclose(np.linalg.norm(v, axis=1), 1, rtol=1e-12)


def test_all_pairs_of_a_matrix_with_zero_eigenvalues():
    model, (x, y) = small(), labelled()
    found = top_eigenpairs(model, CE, (x, y), 43, 1e-8)
    values, _ = exact(model, x, y)
    np.testing.assert_allclose(found.eigenvalues, values, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_signs_and_values_do_not_depend_on_the_seed(seed):
    model, (x, y) = small(), labelled()
    first = top_eigenpairs(model, CE, (x, y), 4, 1e-9)
    other = top_eigenpairs(model, CE, (x, y), 4, 1e-9, seed=seed + 1)
    np.testing.assert_allclose(
        other.eigenvectors, first.eigenvectors, atol=1e-6
    )
    for v in first.eigenvectors:
        assert v[np.abs(v).argmax()] > 0


def test_the_same_seed_repeats_bit_by_bit():
    model, data = small().float(), labelled()
    data = data[0].float(), data[1]
    a, b = (top_eigenpairs(model, CE, data, 3, seed=5) for _ in range(2))
    assert (a.eigenvectors == b.eigenvectors).all()
    assert a.products == b.products


def test_errors_are_standard_errors_over_slices():
    model, (x, y) = small(), labelled()
    found = top_eigenpairs(model, CE, (x, y), 2, 1e-8, parts=3)
    v = torch.from_numpy(found.eigenvectors)
    forms = []
    for i in range(3):
        part = slice(4 * i, 4 * i + 4)
        h = dense(model, CE, x[part], y[part])
        forms.append(((v @ h) * v).sum(1))
    expected = torch.stack(forms).std(0) / 3**0.5
    np.testing.assert_allclose(found.errors, expected, rtol=1e-6)
    none = top_eigenpairs(model, CE, (x, y), 2, 1e-8, parts=0)
    assert none.errors.shape == (0,)


def test_errors_come_from_the_loader_s_batches():
    model, (x, y) = small(), labelled()
    parts = [(x[i : i + 4], y[i : i + 4]) for i in (0, 4, 8)]
    loader = top_eigenpairs(model, CE, parts, 2, 1e-8)
    sliced = top_eigenpairs(model, CE, (x, y), 2, 1e-8, parts=3)
    np.testing.assert_allclose(loader.errors, sliced.errors, rtol=1e-6)
    np.testing.assert_allclose(loader.eigenvalues, sliced.eigenvalues)


def test_starts_give_spread_and_angle():
    model, data = small(), labelled()
    found = top_eigenpairs(model, CE, data, 3, 1e-6, starts=3)
    notes = found.provenance.notes
    assert len(notes["search_products"]) == 3
    assert found.products == sum(notes["search_products"]) + 1
    assert 1e-9 < max(notes["start_angle"]) < 1e-2
    assert max(notes["start_spread"]) < 1e-6


def test_too_few_products_warn_and_are_on_record():
    model, data = small(), labelled()
    with pytest.warns(NotConvergedWarning, match="of 4 eigenpairs"):
        found = top_eigenpairs(model, CE, data, 4, 1e-8, max_products=6)
    assert not found.provenance.notes["converged"]
    assert found.residuals.max() > 1e-8
    assert found.products == 6 + 1


def test_left_out_parameters_are_zero_in_the_vectors():
    model, (x, y) = small(), labelled()
    found = top_eigenpairs(model, CE, (x, y), 2, 1e-8, params=["2.weight"])
    assert found.eigenvectors.shape == (2, 43)
    assert (found.eigenvectors[:, :25] == 0).all()
    block = dense(model, CE, x, y)[25:40, 25:40]
    values = torch.linalg.eigvalsh(block)
    assert found.eigenvalues[0] == pytest.approx(float(values.abs().max()))


def test_layers_have_their_own_spectra_below_the_whole():
    model, (x, y) = small(), labelled()
    found = layer_spectra(model, CE, (x, y), k=2, tol=1e-8)
    h = dense(model, CE, x, y)
    for name, part in {"0": slice(0, 25), "2": slice(25, 43)}.items():
        values = torch.linalg.eigvalsh(h[part, part])
        top = values[values.abs().argsort(descending=True)[:2]]
        np.testing.assert_allclose(found[name].eigenvalues, top, rtol=1e-8)
        assert found[name].eigenvectors.shape == (2, len(values))


@pytest.mark.full
def test_a_layer_without_entries_has_no_spectrum():
    net = nn.Sequential(nn.Linear(5, 3))
    net.register_parameter("empty", nn.Parameter(torch.zeros(0, 2)))
    data = torch.randn(6, 5), torch.randn(6, 3)
    assert list(layer_spectra(net, nn.MSELoss(), data)) == ["0"]


def test_gradient_share_is_the_projection():
    model, (x, y) = small(), labelled()
    top = top_eigenpairs(model, CE, (x, y), 43, 1e-8)
    shares = gradient_share(model, CE, (x, y), top)
    g = Operator(model, CE, (x, y)).gradient()
    _, vectors = exact(model, x, y)
    expected = np.cumsum((vectors @ (g / g.norm()).numpy()) ** 2)
    np.testing.assert_allclose(shares[:5], expected[:5], atol=1e-6)
    assert shares[-1] == pytest.approx(1)
    with pytest.raises(ValueError, match="different networks"):
        gradient_share(nn.Linear(4, 3).double(), CE, (x, y), top, params=None)


def test_pyhessian_agrees():
    pytest.importorskip("pyhessian")
    model, (x, y) = small(), labelled()
    mine = top_eigenpairs(model, CE, (x, y), 2, 1e-4, which="magnitude")
    CE(model(x), y).backward()
    model.train()
    grads = [p.grad.clone() for p in model.parameters()]
    state = torch.get_rng_state()
    peer = pyhessian_eigenpairs(model, CE, (x, y), 2, 1e-4, max_products=4000)
    np.testing.assert_allclose(peer.eigenvalues, mine.eigenvalues, rtol=1e-5)
    assert sines(peer.eigenvectors, mine.eigenvectors).max() < 1e-2
    assert peer.provenance.notes["search_products"][0] > 20
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    for p, g in zip(model.parameters(), grads, strict=True):
        assert torch.equal(p.grad, g)
    model[0].requires_grad_(False)
    part = pyhessian_eigenpairs(model, CE, (x, y), 1, max_products=4000)
    mine = top_eigenpairs(model, CE, (x, y), 1)
    np.testing.assert_allclose(part.eigenvalues, mine.eigenvalues, rtol=1e-5)
    assert part.eigenvectors.shape == mine.eigenvectors.shape
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="trainable parameters"):
        pyhessian_eigenpairs(model, CE, (x, y))


def test_scipy_agrees():
    sparse = pytest.importorskip("scipy.sparse.linalg")
    model, (x, y) = small(), labelled()
    op = Operator(model, CE, (x, y))
    linear = sparse.LinearOperator(
        op.shape,
        matvec=lambda v: (op @ torch.from_numpy(v.ravel())).numpy(),
        dtype=np.float64,
    )
    values = sparse.eigsh(linear, 4, which="LM", return_eigenvectors=False)
    values = values[np.argsort(-abs(values))]
    found = top_eigenpairs(model, CE, (x, y), 4, 1e-8)
    np.testing.assert_allclose(found.eigenvalues, values, rtol=1e-9)


def test_the_record_survives_the_disk(tmp_path):
    found = top_eigenpairs(small(), CE, labelled(), 2)
    back = Spectrum.load(found.save(tmp_path / "s"))
    assert (back.eigenvectors == found.eigenvectors).all()
    assert back.provenance == found.provenance


def test_model_gradients_modes_and_random_state_stay():
    model, data = small().train(), labelled()
    CE(model(data[0]), data[1]).backward()
    grads = [p.grad.clone() for p in model.parameters()]
    state = torch.get_rng_state()
    top_eigenpairs(model, CE, data, 2)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    for p, g in zip(model.parameters(), grads, strict=True):
        assert torch.equal(p.grad, g)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"k": 0}, "k must be a whole number of at least 1"),
        ({"k": 44}, "k = 44 eigenpairs asked of a matrix with 43 rows"),
        ({"tol": 0.0}, "tol must be greater than 0"),
        ({"tol": -1.0}, "tol must be greater than 0"),
        ({"which": "larges"}, "did you mean 'largest'"),
        ({"backend": "pyhessian"}, "pyhessian_eigenpairs"),
        ({"starts": 0}, "starts must be"),
        ({"parts": -1}, "parts must be"),
        ({"max_products": -3}, "max_products must be"),
    ],
)
def test_bad_input_is_named(wrong, says):
    with pytest.raises(ValueError, match=says):
        top_eigenpairs(small(), CE, labelled(), **wrong)


def test_nan_and_empty_data_are_named():
    x, y = labelled()
    with pytest.raises(ValueError, match="loss is nan"):
        top_eigenpairs(small(), CE, (x / 0 * 0, y))
    with pytest.raises(ValueError, match="empty"):
        top_eigenpairs(small(), CE, [])


# -- the iteration by itself ----------------------------------------------


def symmetric(values, seed=0):
    g = torch.Generator().manual_seed(seed)
    n = len(values)
    q, _ = torch.linalg.qr(torch.randn(n, n, generator=g).double())
    return q @ torch.diag(torch.tensor(values).double()) @ q.T


def run(a, k, tol=1e-10, **options):
    generator = torch.Generator().manual_seed(1)
    start = torch.randn(len(a), generator=generator, dtype=a.dtype)
    return lanczos(
        lambda v: a @ v, start, k, tol, generator=generator, **options
    )


def test_restarts_find_the_same_pairs_with_a_small_basis():
    g = torch.Generator().manual_seed(3)
    a = symmetric(torch.randn(200, generator=g).tolist())
    free, tight = run(a, 4), run(a, 4, basis=20)
    assert free.converged
    assert tight.converged
    torch.testing.assert_close(tight.values, free.values)
    assert tight.products > 20
    gaps = (a @ tight.vectors.T).T - tight.values[:, None] * tight.vectors
    assert float(gaps.norm(dim=1).max()) < 1e-9
    assert sines(tight.vectors.numpy(), free.vectors.numpy()).max() < 1e-6


def test_residuals_of_the_recurrence_are_true_also_after_restarts():
    a = symmetric(torch.linspace(-1, 2, 150).tolist())
    found = run(a, 3, tol=1e-3, basis=12)
    gaps = (a @ found.vectors.T).T - found.values[:, None] * found.vectors
    torch.testing.assert_close(
        gaps.norm(dim=1), found.residuals, rtol=1e-4, atol=1e-9
    )


def test_multiple_eigenvalues_are_found_when_the_space_is_exhausted():
    a = symmetric([5.0, 5.0, -4.0, 1.0] + [0.0] * 20)
    found = run(a, 4)
    expected = torch.tensor([5.0, 5.0, -4.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(found.values, expected)
    gram = found.vectors @ found.vectors.T
    torch.testing.assert_close(gram, torch.eye(4).double())


@pytest.mark.full
@pytest.mark.parametrize(
    ("n", "k", "seed"),
    [(12, 1, 73), (20, 1, 15), (20, 2, 85), (20, 3, 9), (20, 3, 17),
     (30, 2, 7), (30, 2, 27), (30, 3, 21), (30, 3, 35), (30, 4, 2)],
)  # fmt: skip
def test_a_pair_that_settles_first_is_not_taken_for_a_larger_one(n, k, seed):
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(n, n, generator=generator).double()
    a = (a + a.T) / 2
    start = torch.randn(n, generator=generator).double()
    found = lanczos(lambda v: a @ v, start, k, 1e-2)
    exact = torch.linalg.eigvalsh(a)
    exact = exact[exact.abs().argsort(descending=True)][:k]
    torch.testing.assert_close(found.values, exact, rtol=1e-2, atol=0)


def test_the_identity_has_as_many_ones_as_asked():
    found = run(torch.eye(6).double(), 3)
    torch.testing.assert_close(found.values, torch.ones(3).double())


def test_the_basis_stays_orthogonal_in_float32():
    a = symmetric([100.0, 50.0, 20.0] + [0.01 * i for i in range(297)])
    found = run(a.float(), 12, tol=1e-4)
    assert found.converged
    gram = found.vectors @ found.vectors.T
    assert float((gram - torch.eye(12)).abs().max()) < 1e-5


def test_the_tridiagonal_matrix_has_the_moments():
    a = symmetric(torch.linspace(-1, 2, 40).tolist())
    v = torch.ones(40, dtype=torch.float64) / 40**0.5
    diagonal, off = tridiagonal(lambda u: a @ u, v, 5)
    t = torch.diag(diagonal) + torch.diag(off, 1) + torch.diag(off, -1)
    for power in range(10):
        mine = torch.linalg.matrix_power(t, power)[0, 0]
        true = v @ torch.linalg.matrix_power(a, power) @ v
        torch.testing.assert_close(mine, true)
    mine = torch.linalg.matrix_power(t, 10)[0, 0]
    assert abs(mine - v @ torch.linalg.matrix_power(a, 10) @ v) > 1e-6


def test_products_that_are_not_finite_are_named():
    with pytest.raises(ValueError, match="not finite"):
        run(torch.full((3, 3), float("nan")), 1)


def test_a_warm_search_finds_what_has_overtaken_the_last_eigenvector():
    sizes = torch.linspace(0, 1, 40, dtype=torch.float64)
    sizes[0] = 3.0  # was small when the last vector, number 1, was found
    sizes[1] = 2.0
    last = torch.full((1, 40), 0.01, dtype=torch.float64)
    last[0, :2] = torch.tensor([0.0, 1.0])  # nothing of the new one in it
    fresh = torch.randn(40, generator=torch.Generator().manual_seed(0))

    def top(start, **more):
        found = lanczos(
            lambda v: sizes * v, start, 1, 1e-6, which="largest", **more
        )
        return float(found.values[0])

    assert top(last[0], least=9) == pytest.approx(2.0)  # it stays there
    start = warm_start(last, fresh.double())
    assert top(start, least=9) == pytest.approx(3.0, rel=1e-9)
