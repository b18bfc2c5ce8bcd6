"""Traces and diagonals from random probes, with their standard errors."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dldna import checks
from dldna.landscape.curvature.call import (
    check_call,
    difference_products,
)
from dldna.landscape.curvature.density import signs
from dldna.landscape.curvature.foreign import accepts_matrix, matrix_of
from dldna.landscape.curvature.operator import Operator
from dldna.objective import accepts_objective
from dldna.params import exact
from dldna.records import Estimate

METHODS = ("hutchinson", "hutch++")


@checks.renamed(mode="statistics")
@difference_products
@accepts_matrix
@accepts_objective
def trace(
    model: nn.Module,
    loss_fn: Callable,
    data: Any,
    *,
    products: int = 99,
    tol: float | None = None,
    method: str = "hutch++",
    seed: int = 0,
    **options: Any,
) -> Estimate:
    r"""Estimate the trace of the Hessian.

    *Hutchinson*: with random signs :math:`z`,
    :math:`\mathrm{E}[z^\top H z]=\mathrm{tr}\,H`, so the mean over probes
    is unbiased. Its variance is :math:`2\sum_{i\neq j}H_{ij}^2` per probe:
    a few large eigenvalues make it poor.

    *Hutch++* takes these out first. A third of the products goes into
    :math:`HS` with a Gaussian :math:`S`. With :math:`Q` an orthonormal
    basis of its columns and :math:`P=I-QQ^\top`,

    .. math:: \mathrm{tr}\,H = \mathrm{tr}\,Q^\top HQ + \mathrm{tr}\,PHP,

    where the first term is exact and the second is left to Hutchinson.

    ``error`` is the standard error of the random part.

    Args:
        model: any ``nn.Module``; it is not written to. Or, in place of
            all three, an objective, or a symmetric matrix with ``shape``
            and ``@``, as an operator of curvlinops or SciPy.
        loss_fn: a torch loss, or a callable ``(output, batch)``.
        data: a loader, a batch, or tensors; see :mod:`dldna.batches`.
        products: largest number of products.
        tol: stop as soon as the standard error is at most this fraction
            of the estimate (after at least 8 probes).
        method: "hutch++" or "hutchinson".
        seed: seed of the probes.
        **options: of :class:`Operator`.

    Returns:
        The trace, its standard error and the products spent.

    Raises:
        ValueError: fewer than 6 products, an unknown method or option, no
            data, or a loss that is not finite.

    Example:
        >>> layer = nn.Linear(2, 1, bias=False)
        >>> x = torch.diag(torch.tensor([1.0, 2.0]))
        >>> found = trace(layer, nn.MSELoss(), (x, x[:, :1]))
        >>> float(found.value.round(4)), found.products
        (5.0, 4)

    References:
        Hutchinson, Commun. Stat. Simul. Comput. 18, 1989. Meyer, Musco,
        Musco, Woodruff, "Hutch++: optimal stochastic trace estimation",
        SOSA 2021, arXiv 2010.09649.
    """
    checks.choice("method", method, METHODS)
    checks.count("products", products, 6)
    if tol is not None:
        checks.positive("tol", tol)
    check_call(model, options, trace, Operator)
    with (
        matrix_of(model, loss_fn, data, **options) as operator,
        operator.watched("trace", products),
    ):
        return trace_of(operator, products, tol, method, seed)


def trace_of(
    operator: Operator,
    products: int = 99,
    tol: float | None = None,
    method: str = "hutch++",
    seed: int = 0,
) -> Estimate:
    """As :func:`trace`, for an operator that is there already."""
    before = operator.products
    checks.whole("seed", seed)
    generator = torch.Generator().manual_seed(seed)
    exact, basis, samples = _probed(operator, products, tol, method, generator)
    value = exact + (float(np.mean(samples)) if samples else 0.0)
    return Estimate(
        value=np.asarray(value),
        error=np.asarray(_error(samples) if samples else 0.0),
        products=operator.products - before,
        method=method,
        samples=np.asarray(samples),
        matrix=operator.matrix,
        provenance=operator.provenance(
            "trace", seed, rank=0 if basis is None else len(basis)
        ),
    )


@checks.renamed(mode="statistics")
@difference_products
@accepts_matrix
@accepts_objective
def diagonal(
    model: nn.Module,
    loss_fn: Callable,
    data: Any,
    *,
    products: int = 99,
    seed: int = 0,
    **options: Any,
) -> Estimate:
    r"""Estimate the diagonal of the Hessian.

    With random signs :math:`z`, :math:`\mathrm{E}[z\odot Hz]` is the
    diagonal. The variance of entry :math:`i` is
    :math:`\sum_{j\neq i}H_{ij}^2` per probe; the error is estimated for
    each entry from the probes.

    Args:
        model: any ``nn.Module``; it is not written to. Or, in place of
            all three, an objective, or a symmetric matrix with ``shape``
            and ``@``, as an operator of curvlinops or SciPy.
        loss_fn: a torch loss, or a callable ``(output, batch)``.
        data: a loader, a batch, or tensors; see :mod:`dldna.batches`.
        products: number of products; at least 2, for the error.
        seed: seed of the probes.
        **options: of :class:`Operator`.

    Returns:
        Diagonal (n,) and standard errors (n,), in the order of the
        parameters that may move.

    Raises:
        ValueError: fewer than 2 products, an unknown option, no data, or a
            loss that is not finite.

    Example:
        >>> layer = nn.Linear(2, 1, bias=False)
        >>> x = torch.diag(torch.tensor([1.0, 2.0]))
        >>> diagonal(layer, nn.MSELoss(), (x, x[:, :1])).value.round(4)
        array([1., 4.])

    References:
        Bekas, Kokiopoulou, Saad, "An estimator for the diagonal of a
        matrix", Appl. Numer. Math. 57, 2007.
    """
    checks.count("products", products, 2)
    checks.whole("seed", seed)
    check_call(model, options, diagonal, Operator)
    with matrix_of(model, loss_fn, data, **options) as operator:
        generator = torch.Generator().manual_seed(seed)
        mean = torch.zeros(operator.n, dtype=torch.float64, device="cpu")
        squares = torch.zeros_like(mean)
        with operator.watched("diagonal", products):
            for i in range(products):  # Welford's running mean and variance
                z = signs(operator, generator)
                sample = exact(z * (operator @ z)).cpu()
                step = sample - mean
                mean += step / (i + 1)
                squares += step * (sample - mean)
        error = (squares / (products - 1) / products).sqrt()
        return Estimate(
            value=mean.numpy(),
            error=error.numpy(),
            products=operator.products,
            method="bekas",
            matrix=operator.matrix,
            provenance=operator.provenance("diagonal", seed),
        )


def _probed(
    operator: Operator,
    products: int,
    tol: float | None,
    method: str,
    generator: torch.Generator,
) -> tuple[float, Tensor | None, list[float]]:
    """The exact part of the trace, its basis, and samples of the rest."""
    exact, basis = 0.0, None
    last = operator.products + products
    if method == "hutch++":
        basis = _range(operator, products // 3, generator)
        for q in basis:
            exact += _dot(q, operator @ q)
    samples: list[float] = []
    whole = basis is not None and len(basis) == operator.n
    while operator.products < last and not whole:
        z = _outside(signs(operator, generator), basis)
        samples.append(_dot(z, operator @ z))
        enough = len(samples) >= 8 and tol is not None
        if enough and _error(samples) <= tol * abs(exact + np.mean(samples)):
            break
    return exact, basis, samples


def _range(operator: Operator, k: int, generator: torch.Generator) -> Tensor:
    """(r, n) orthonormal rows that span the image of k random vectors."""
    k = min(k, operator.n)
    images = []
    for _ in range(k):
        z = torch.randn(operator.n, generator=generator, device="cpu")
        images.append(operator @ z.to(operator.device))
    image = torch.stack(images)
    q, r = torch.linalg.qr(image.T)
    size = r.diagonal().abs()
    keep = size > 1e3 * torch.finfo(q.dtype).eps * size.max()
    return q[:, keep].T.contiguous()


def _outside(z: Tensor, basis: Tensor | None) -> Tensor:
    if basis is None or len(basis) == 0:
        return z
    return z - basis.T @ (basis @ z)


def _dot(a: Tensor, b: Tensor) -> float:
    return float(exact(a) @ exact(b))


def _error(samples: list[float]) -> float:
    if len(samples) < 2:
        return float("nan")
    return float(np.std(samples, ddof=1) / len(samples) ** 0.5)
