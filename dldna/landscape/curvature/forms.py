"""Quadratic forms of each slice of a batch, without a product for each."""

import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor
from torch.func import jvp, vmap

from dldna import batches as bt
from dldna import params
from dldna.landscape.curvature.lanczos import Ritz
from dldna.landscape.curvature.taylor import Taylor, derivatives
from dldna.objective import Objective
from dldna.objective.kernels import forward_kernels
from dldna.objective.pieces import adds_up, slices

ROWS = 16  # directions that one forward serves
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
    single = isinstance(operator, Objective) and len(operator.given) == 1
    known = bool(found.residuals.isfinite().all())
    if not (known and single) or operator.way == "difference":
        return None
    values, top = found.values, float(found.values.abs().max())
    weights = 1 / values.abs().clamp_min(1e-3 * top or 1.0)
    both = torch.stack([weights, weights * values]).to(found.vectors)
    total, claimed = both @ found.vectors
    gap = operator @ total - claimed
    noise = 20 * torch.finfo(operator.dtype).eps * top * float(total.norm())
    if not float(gap.norm()) <= float(weights @ found.residuals) + noise:
        return None
    one = torch.ones(1, dtype=torch.float64, device="cpu")
    whole = values, found.residuals, values[None], one
    if parts < 2 or operator.statistics != "eval":
        return whole
    cuts = slices(operator, parts)
    if len(cuts) == 1:
        return whole
    forms = _forms(operator, found.vectors, cuts)
    shares = torch.tensor(operator.shares(cuts), device="cpu").double()
    if forms is not None and torch.allclose(
        shares @ forms, values, rtol=0, atol=1e-4 * top
    ):
        return values, found.residuals, forms, shares
    return None if adds_up(operator, cuts) else whole


def _forms(operator: Any, rows: Tensor, cuts: list[Any]) -> Tensor | None:
    """Second derivatives of each slice's loss along each row: (B, k).

    One forward through the whole batch serves all slices.
    """
    if operator.matrix != "hessian":
        return None
    sizes = [*map(bt.size, cuts)]
    if operator.adaptive:
        rows = rows * operator.flat(operator.point).abs()

    def losses(output: Any) -> Tensor:
        if not isinstance(output, Tensor) or len(output) != sum(sizes):
            raise TypeError("the output has no row for each sample")
        each = zip(output.split(sizes), cuts, strict=True)
        return torch.stack([operator.value(z, cut) for z, cut in each])

    ways = (_nested,) if operator.convolves() else (_along_rows, _nested)
    for way in ways:
        with (
            suppress(Exception),  # not all operations have what it needs
            operator.placed() as leaves,
            forward_kernels(),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")  # of operations without a batch
            return params.exact(way(operator, losses, rows, leaves)).cpu()
    return None


def _along_rows(
    operator: Any, losses: Callable, rows: Tensor, leaves: list[Tensor]
) -> Tensor:
    """The forms (B, k), some rows at once, by Taylor mode."""
    forms = []
    for some in rows.split(ROWS):
        parts = zip(*(operator.cut(row).values() for row in some), strict=True)
        moving = zip(leaves, map(torch.stack, parts), strict=True)
        with torch.no_grad():
            with Taylor([*moving]) as taylor:
                z = operator.output(operator.given[0])
            ((_, form),) = derivatives(
                lambda z: (losses(z),), [z], [taylor.of(z)]
            )
        forms.append(form)
    return torch.cat(forms).T


def _nested(
    operator: Any, losses: Callable, rows: Tensor, leaves: list[Tensor]
) -> Tensor:
    """The forms (B, k), by a forward derivative of a forward derivative."""
    (batch,) = operator.given

    def value(point: dict[str, Tensor]) -> Tensor:
        def call(*args, **kwargs):
            return params.call(operator.model, point, args, kwargs)

        return losses(bt.apply(call, bt.split(batch)[0]))

    def form(v: dict[str, Tensor]) -> Tensor:
        def slope(point: dict[str, Tensor]) -> Tensor:
            return jvp(value, (point,), (v,))[1]

        return jvp(slope, (operator.point,), (v,))[1]

    each = [operator.cut(row) for row in rows]
    if operator.convolves():  # slower and larger together
        return torch.stack([form(v) for v in each], 1)
    together = {k: torch.stack([v[k] for v in each]) for k in each[0]}
    return vmap(form, out_dims=1, chunk_size=ROWS)(together)
