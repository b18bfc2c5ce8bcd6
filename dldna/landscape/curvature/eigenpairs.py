"""The largest eigenpairs of a network's curvature, with their residuals."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dldna import checks, params
from dldna.landscape.curvature.call import (
    check_call,
    difference_products,
    is_matrix,
)
from dldna.landscape.curvature.copies import multiple
from dldna.landscape.curvature.foreign import accepts_matrix, matrix_of
from dldna.landscape.curvature.forms import checked
from dldna.landscape.curvature.lanczos import WHICH, Ritz, lanczos
from dldna.landscape.curvature.operator import Operator
from dldna.objective import accepts_objective
from dldna.params import exact
from dldna.records import Spectrum

BASIS_BYTES = 2**31


class NotConvergedWarning(UserWarning):
    r"""An eigenpair's relative residual is larger than was asked for.

    :func:`top_eigenpairs` gives it when
    :math:`\|Hv-\lambda v\|/|\lambda|` is above ``tol`` after
    ``max_products`` products, or where the rounding of float32 does not
    let it fall further. The record is returned all the same, and its
    ``residuals`` say how good each pair is: the eigenvalue is wrong by
    about the square of the residual, while the eigenvector may be wrong
    by much more where two eigenvalues lie close together. What to do:
    raise ``max_products``, raise ``tol``, or take
    ``dtype=torch.float64``.

    Example:
        >>> layer = nn.Linear(9, 1)
        >>> data = torch.randn(20, 9), torch.randn(20, 1)
        >>> import warnings
        >>> with warnings.catch_warnings(record=True) as said:
        ...     warnings.simplefilter("always")
        ...     _ = top_eigenpairs(layer, nn.MSELoss(), data, max_products=2)
        >>> [w.category.__name__ for w in said]
        ['NotConvergedWarning']
    """


@checks.renamed(mode="statistics")
@difference_products
@accepts_matrix
@accepts_objective
def top_eigenpairs(
    model: nn.Module,
    loss_fn: Callable,
    data: Any,
    k: int = 2,
    tol: float = 1e-3,
    *,
    which: str = "magnitude",
    seed: int = 0,
    starts: int = 1,
    parts: int = 8,
    max_products: int | None = None,
    pad: bool = True,
    **options: Any,
) -> Spectrum:
    r"""Find the k largest eigenpairs of the Hessian, each with its residual.

    Lanczos with full reorthogonalisation runs until the relative residual
    :math:`\|Hv-\lambda v\|/|\lambda|` of every pair is at most ``tol``.
    The residuals in the record are those of the search, with all that
    orthogonalisation took out of it; a further product with a sum of the
    vectors holds all of them to the truth. Where that fails, and for
    several batches, they come from k further products, taken one by one
    over the batches. For a symmetric matrix an eigenvalue lies within
    :math:`\|Hv-\lambda v\|` of :math:`\lambda`; the error of
    :math:`\lambda` itself is about the square of the residual.

    *Error bars.* ``errors`` is the standard error of
    :math:`\lambda=\sum_b \frac{m_b}{m} v^\top H_b v` over the batches
    ``b``: how much the eigenvalue would change with other samples, for
    this ``v``. A single batch is cut into ``parts`` slices. An error bar
    from few parts is uncertain itself: its relative standard error is
    about :math:`1/\sqrt{2(B-1)}` for :math:`B` batches or slices, 27 % for
    8 and 9 % for 64. For better ones raise ``parts``, or give the data as
    a loader of more batches, up to 64.

    *Starts.* With ``starts > 1`` the search is repeated from other starting
    vectors, and ``provenance.notes`` holds the spread (``start_spread``)
    and the largest angle in degrees (``start_angle``) of the pairs.

    *Multiplicity.* The k largest are counted with their multiplicity:
    further random starts outside the space that was found look for copies
    that belong before the last pair, until none comes.

    *Sign.* An eigenvector is defined up to its sign; here its entry of
    largest magnitude is positive.

    Args:
        model: any ``nn.Module``; it is not written to. Or, in place of
            all three, an objective, or a symmetric matrix with ``shape``
            and ``@``, as an operator of curvlinops or SciPy.
        loss_fn: a torch loss, or a callable ``(output, batch)``; a mean
            over the samples.
        data: a loader, a batch, or tensors; see :mod:`dldna.batches`.
        k: number of eigenpairs.
        tol: bound of the relative residual.
        which: "magnitude" (largest absolute value), "largest" or
            "smallest" (most negative).
        seed: seed of the starting vector.
        starts: number of starting vectors, for a spread over seeds.
        parts: number of slices of a single batch; 0 for no error bars
            from a single batch.
        max_products: give up after this many products for each start; by
            default ``200 + 40 k``.
        pad: whether eigenvectors run over all parameters of the model,
            zero where one was left out, or only over those that may move.
        **options: of :class:`Operator`: ``matrix``, ``params``,
            ``dtype``, ``statistics``, ``way``, ``limit``, ``adaptive``.

    Returns:
        The pairs in the order of ``which``, the eigenvectors in the order
        of the model's parameters.

    Raises:
        ValueError: ``k`` larger than the number of parameters, ``tol``
            not positive, an unknown option, no data, or a loss that is
            not finite.

    Warns:
        NotConvergedWarning: a residual is larger than ``tol``. The record
            is returned all the same, with the residuals as they are.

    Example:
        >>> layer = nn.Linear(3, 1, bias=False)
        >>> x = torch.diag(torch.tensor([1.0, 2.0, 3.0]))
        >>> found = top_eigenpairs(layer, nn.MSELoss(), (x, x[:, :1]))
        >>> found.eigenvalues.round(4)  # 2 x^2 / 3
        array([6.    , 2.6667])

    References:
        Lanczos, 1950. Sagun, Bottou, LeCun, "Eigenvalues of the Hessian
        in deep learning", 2016, arXiv 1611.07476.
    """
    checks.count("k", k)
    checks.positive("tol", tol)
    checks.count("starts", starts)
    checks.count("parts", parts, 0)
    checks.choice("which", which, WHICH)
    checks.whole("seed", seed)
    if max_products is None:
        max_products = 200 + 40 * k
    limit = checks.count("max_products", max_products)
    if "backend" in options:
        raise ValueError(
            "backend= is gone: leave it out, or call dldna.landscape."
            "curvature.pyhessian.pyhessian_eigenpairs for what PyHessian's "
            "power iteration finds"
        )
    check_call(model, options, top_eigenpairs, Operator)
    with matrix_of(model, loss_fn, data, **options) as operator:
        _check_k(k, operator.n)
        seeds = [seed + i for i in range(starts)]
        what = f"top eigenpairs (at most {starts * limit} products)"
        with operator.watched(what, starts * limit):
            found = [
                search(operator, k, tol, which=which, seed=s, limit=limit)
                for s in seeds
            ]
        record = verified(operator, found, tol=tol, seed=seed, parts=parts)
    whole = not pad or is_matrix(model)
    return record if whole else padded(record, moves(operator))


def search(
    operator: Operator,
    k: int,
    tol: float,
    *,
    which: str,
    seed: int,
    limit: int,
) -> Ritz:
    """Lanczos from a random vector, and again for further copies.

    Args:
        operator: the matrix.
        k: number of pairs.
        tol: bound of the relative residual.
        which: "magnitude", "largest" or "smallest".
        seed: seed of the starting vector.
        limit: largest number of products.

    Returns:
        The Ritz pairs.
    """
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(
        operator.n, generator=generator, dtype=operator.dtype, device="cpu"
    )
    item = torch.finfo(operator.dtype).bits // 8
    room = BASIS_BYTES // (item * operator.n)
    matvec, basis = operator.__matmul__, max(2 * k + 10, min(room, 400))
    settings = {
        "which": which,
        "max_products": limit,
        "basis": basis,
        "generator": generator,
    }
    tol = 0.9 * tol  # leaves room for rounding
    found = lanczos(matvec, start.to(operator.device), k, tol, **settings)
    return multiple(matvec, found, tol, **settings)


def verified(
    operator: Operator,
    found: Sequence[Ritz],
    *,
    tol: float,
    seed: int,
    parts: int,
    backend: str = "lanczos",
) -> Spectrum:
    """Check pairs by true products and put them on record.

    Args:
        operator: the matrix.
        found: the pairs of each start; the first ones are recorded.
        tol: bound of the relative residual, for the warning.
        seed: seed of the first start.
        parts: number of slices of a single batch.
        backend: who found the pairs.

    Returns:
        The record; eigenvectors run over the operator's parameters only.
    """
    v = found[0].vectors
    known = checked(operator, found[0], parts)
    values, gaps, forms, weights = known or _by_products(operator, v, parts)
    eps = torch.finfo(operator.dtype).eps
    floor = 20 * eps * max(found[0].scale, float(values.abs().max()))
    tiny = torch.finfo(torch.float64).tiny
    residuals = gaps / values.abs().clamp_min(max(floor, tiny))
    flipped = v.amax(1, keepdim=True) < -v.amin(1, keepdim=True)
    v = v * torch.where(flipped, -1, 1)
    notes = {
        "search_products": [r.products for r in found],
        "tol": tol,
        "backend": backend,
    }
    if len(found) > 1:
        notes |= _over_starts(found)
    late = (residuals > tol) & (gaps > floor)
    notes["converged"] = not bool(late.any())
    wide = operator.dtype == torch.float64
    if late.any():
        checks.warn(
            f"{int(late.sum())} of {len(v)} eigenpairs have a residual above "
            f"{tol:g} (largest {float(residuals[late].max()):.1e}) after "
            f"{found[0].products} products: raise max_products"
            + (", raise tol" if wide else ", raise tol, or take float64"),
            NotConvergedWarning,
        )
    return Spectrum(
        eigenvalues=values.cpu().numpy(),
        eigenvectors=v.cpu().numpy(),
        residuals=residuals.cpu().numpy(),
        products=operator.products,
        matrix=operator.matrix,
        errors=_standard_errors(forms.cpu(), weights),
        provenance=operator.provenance("top eigenpairs", seed, **notes),
    )


def _by_products(operator: Operator, v: Tensor, parts: int) -> tuple:
    """Eigenvalues, residuals, forms and shares by a product for each."""
    hv, forms, weights = operator.over_batches(v, parts)
    exact_v, exact_hv = exact(v), exact(hv)
    values = (exact_v * exact_hv).sum(1)
    gaps = (exact_hv - values[:, None] * exact_v).norm(dim=1)
    return values, gaps, forms, weights


def _check_k(k: int, n: int) -> None:
    if k > n:
        raise ValueError(
            f"k = {k} eigenpairs asked of a matrix with {n} rows: "
            f"k can be at most {n}"
        )


def _standard_errors(forms: Tensor, weights: Tensor) -> np.ndarray:
    b = len(weights)
    if b < 2:
        return np.zeros(0)
    mean = weights @ forms
    squares = (weights[:, None] * (forms - mean)).square().sum(0)
    return (squares * b / (b - 1)).sqrt().numpy()


def _over_starts(found: Sequence[Ritz]) -> dict[str, list[float]]:
    values = torch.stack([r.values for r in found])
    first = exact(found[0].vectors)
    angles = []
    for other in found[1:]:
        v = exact(other.vectors)
        cosine = (first * v).sum(1, keepdim=True)
        sine = (v - cosine * first).norm(dim=1)  # exact for small angles
        angles.append(torch.rad2deg(torch.atan2(sine, cosine[:, 0].abs())))
    return {
        "start_spread": values.std(0).tolist(),
        "start_angle": torch.stack(angles).max(0).values.tolist(),
    }


def moves(operator: Operator) -> np.ndarray:
    """Which scalars of all the model's parameters the operator moves."""
    return np.concatenate(
        [
            np.full(p.numel(), name in operator.point)
            for name, p in params.of(operator.model).items()
        ]
    )


def padded(record: Spectrum, mask: np.ndarray) -> Spectrum:
    """The record with zeros where a parameter was left out."""
    if mask.all():
        return record
    rows = record.eigenvectors
    full = np.zeros((len(rows), len(mask)), dtype=rows.dtype)
    full[:, mask] = rows
    return dataclasses.replace(record, eigenvectors=full)
