"""Copies of multiple eigenvalues, which one starting vector cannot see."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from dldna.landscape.curvature.lanczos import (
    Ritz,
    apart,
    lanczos,
    order_of,
    rank,
)


def multiple(
    matvec: Callable[[Tensor], Tensor],
    found: Ritz,
    tol: float,
    *,
    which: str = "magnitude",
    max_products: int = 1000,
    basis: int = 256,
    generator: torch.Generator | None = None,
) -> Ritz:
    r"""Add the copies of multiple eigenvalues that one start cannot see.

    The Krylov space of one vector holds a single direction of each
    eigenspace, and all other copies are orthogonal to it. So the space
    that was searched, :math:`Q`, is taken out, :math:`PHP` with
    :math:`P=I-Q^\top Q`, and another random vector looks for a pair there
    that belongs before the last one; until none comes. A copy of the last
    one would change nothing, so the search may end where there is none of
    those before it. What is left is small beside such a pair, which
    therefore shows after few products.

    Args:
        matvec: the product with a vector of shape (n,).
        found: k pairs.
        tol: bound of the relative residual.
        which: "magnitude", "largest" or "smallest".
        max_products: give up after this many, those of ``found`` included.
        basis: as in :func:`lanczos`.
        generator: where the new vectors come from.

    Returns:
        The k pairs wanted most, in order.

    References:
        Parlett, "The Symmetric Eigenvalue Problem", SIAM 1998, chapter 13.

    Example:
        >>> a = torch.diag(torch.tensor([3.0, 3.0, 1.0, 0.5]))
        >>> one = lanczos(lambda v: a @ v, torch.ones(4), 2, 1e-6)
        >>> g = torch.Generator().manual_seed(0)
        >>> multiple(lambda v: a @ v, one, 1e-6, generator=g).values
        tensor([3.0000, 3.0000], dtype=torch.float64)
    """
    n = found.vectors.shape[1]
    rows = found.vectors if found.basis is None else found.basis
    eps = torch.finfo(rows.dtype).eps
    while len(rows) < n and found.products < max_products:
        ranks = rank(found.values, which)
        last, floor = float(ranks[-1]), 20 * eps * found.scale
        margin = max(2 * tol * abs(last), floor)
        above = ranks[ranks > last + margin]
        if not len(above):  # a copy of the last one would come after it
            break
        least = float(above[-1])
        enough, spent = least - max(tol * abs(least), floor), found.products
        start = torch.randn(n, generator=generator, device="cpu").to(rows)
        for space in (rows, found.vectors):  # then what the two share
            more = lanczos(
                matvec,
                start,
                1,
                tol,
                which=which,
                enough=enough,
                max_products=max_products - spent,
                basis=basis,
                outside=space,
                generator=generator,
            )
            spent, start = spent + more.products, more.vectors[0]
            better = bool(rank(more.values, which)[0] > last + margin)
            if not better or spent >= max_products:
                break
        found = replace(found, products=spent)
        if not better:
            break
        new = apart(more.vectors, rows)
        if float(new.norm()) > eps**0.5:  # else it lies in the space already
            new = apart(new / new.norm(), rows)
            rows = torch.cat([rows, new / new.norm()])
        found = _merged(found, more, which)
    return replace(found, basis=None)


def _merged(found: Ritz, more: Ritz, which: str) -> Ritz:
    """The pairs wanted most of those found and one more."""
    vector = apart(more.vectors, found.vectors)
    vectors = torch.cat([found.vectors, vector / vector.norm()])
    values = torch.cat([found.values, more.values])
    residuals = torch.cat([found.residuals, more.residuals])
    order = order_of(values, which)[: len(found.values)]
    return replace(
        found,
        values=values[order],
        vectors=vectors[order.to(vectors.device)],
        residuals=residuals[order],
        converged=found.converged and more.converged,
        scale=max(found.scale, more.scale),
    )
