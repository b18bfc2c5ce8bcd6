"""Quadratic forms of each slice of a batch, without a product for each."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import jvp, vmap

from dldna import batches as bt
from dldna import params
from dldna.landscape.curvature.lanczos import Ritz
from dldna.objective import Objective
from dldna.objective.kernels import forward_kernels
from dldna.objective.pieces import adds_up, slices

MANY = 64  # batches; with more, error bars come from joined ones


def pieces(operator: Any, parts: int) -> list[Any]:
    """The batches that error bars come from.

    Args:
        operator: the matrix.
        parts: number of slices of a single batch, where it may be cut.
    """
    given = operator.given if len(operator.given) <= MANY else operator.batches
    if len(given) == 1 and parts > 1 and operator.statistics == "eval":
        cuts = slices(operator, parts)
        return cuts if adds_up(operator, cuts) else given
    return given


def checked(operator: Any, found: Ritz, parts: int) -> tuple | None:
    r"""Residuals of a search and forms of the slices, held to the truth.

    All residuals are held to one product with a sum of the vectors, and
    the forms, which forward derivatives give, to their sum
    :math:`\sum_b s_b v^\top H_b v = \lambda`.

    Args:
        operator: the matrix.
        found: the pairs and the residuals that the search knows of.
        parts: number of slices of a single batch.

    Returns:
        Eigenvalues (k,), residuals (k,), forms (B, k) and shares (B,), all
        float64; or None where something differs, or the data are several
        batches, so that the products of each are to be asked.
    """
    one = isinstance(operator, Objective) and len(operator.given) == 1
    known = bool(found.residuals.isfinite().all())
    if not (known and one) or operator.way == "difference":
        return None
    values, top = found.values, float(found.values.abs().max())
    weights = 1 / values.abs().clamp_min(1e-3 * top or 1.0)
    both = torch.stack([weights, weights * values]).to(found.vectors)
    total, claimed = both @ found.vectors
    gap = operator @ total - claimed
    noise = 20 * torch.finfo(operator.dtype).eps * top * float(total.norm())
    if not float(gap.norm()) <= float(weights @ found.residuals) + noise:
        return None
    cuts = pieces(operator, parts)
    if len(cuts) == 1:
        whole = torch.ones(1, dtype=torch.float64)
        return values, found.residuals, values[None], whole
    forms = _forms(operator, found.vectors, cuts)
    shares = torch.tensor(operator.shares(cuts)).double()
    if forms is None or not torch.allclose(
        shares @ forms, values, rtol=0, atol=1e-4 * top
    ):
        return None
    return values, found.residuals, forms, shares


def _forms(operator: Any, rows: Tensor, cuts: list[Any]) -> Tensor | None:
    """Second derivatives of each slice's loss along each row: (B, k).

    One forward through the whole batch serves all slices.
    """
    if operator.matrix != "hessian":
        return None
    sizes = [*map(bt.size, cuts)]
    (batch,) = operator.given

    def losses(point: dict[str, Tensor]) -> Tensor:
        def call(*args, **kwargs):
            return params.call(operator.model, point, args, kwargs)

        output = bt.apply(call, bt.split(batch)[0])
        if not isinstance(output, Tensor) or len(output) != sum(sizes):
            raise TypeError("the output has no row for each sample")
        each = zip(output.split(sizes), cuts, strict=True)
        return torch.stack([operator.value(z, cut) for z, cut in each])

    def form(v: dict[str, Tensor]) -> Tensor:
        def slope(point: dict[str, Tensor]) -> Tensor:
            return jvp(losses, (point,), (v,))[1]

        return jvp(slope, (operator.point,), (v,))[1]

    if operator.adaptive:
        rows = rows * operator.flat(operator.point).abs()
    each = [operator.cut(row) for row in rows]
    try:
        with (
            operator.placed(),
            forward_kernels(),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")  # of operations without a batch
            return params.exact(_over_rows(operator, form, each)).cpu()
    except Exception:  # not all operations have forward derivatives
        return None


def _over_rows(operator: Any, form: Callable, each: list[dict]) -> Tensor:
    """The forms (B, k); all rows at once where no layer convolves."""
    if operator.convolves():
        return torch.stack([form(v) for v in each], 1)
    together = {k: torch.stack([v[k] for v in each]) for k in each[0]}
    return vmap(form, out_dims=1, chunk_size=16)(together)
