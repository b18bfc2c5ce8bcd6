r"""Both ends of a spectrum at once, from wherever a search may begin.

Rayleigh and Ritz: of all vectors in the span of an orthonormal basis
:math:`V` (rows), those that make :math:`u^\top Hu` smallest and largest come
from the ends of the small matrix :math:`VHV^\top`, and the two values lie
within the spectrum of :math:`H`. The basis grows by the residual
:math:`Hu-\theta u` of the end that is further off. From one vector this is
Lanczos; other than Lanczos it may begin with any vectors, and its residuals
are those of products that were made.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dldna.params import exact

LEAST = 4  # vectors, before a search from a random vector may end
ENOUGH = 0.7  # of a vector's length, after which it is taken off once


@dataclass(frozen=True, eq=False)
class Ends:
    """The smallest and the largest eigenvalue, in this order.

    Args:
        values: (2,) float64.
        vectors: (2, n) of unit length, rows.
        residuals: (2,) lengths of ``H v - theta v``, float64.
        products: number of products spent.
        converged: whether both residuals are within the tolerance.
    """

    values: Tensor
    vectors: Tensor
    residuals: Tensor
    products: int
    converged: bool


def extremes(
    matvec: Callable[[Tensor], Tensor],
    start: Tensor,
    tol: float,
    *,
    least: int = 2,
    max_products: int = 200,
    basis: int = 64,
    generator: torch.Generator | None = None,
) -> Ends:
    r"""Find both ends of a spectrum, warm or cold.

    It ends when the residual of each end is at most
    :math:`\tau\max(|\theta|,\tau s)`, where :math:`s` is the larger
    magnitude of the two: an end much smaller than :math:`\tau s` need not
    be known to :math:`\tau` of itself. A basis of ``basis`` vectors is
    squeezed to the Ritz vectors at both ends, without further products.

    Args:
        matvec: the product with a vector of shape (n,).
        start: (p, n) vectors to begin with, as the ends of a neighbour.
        tol: :math:`\tau`.
        least: make at least this many products.
        max_products: give up after this many.
        basis: largest number of vectors kept; at least 6.
        generator: where a new direction comes from, should the space be
            exhausted.

    Returns:
        The two ends.

    References:
        Davidson, "The iterative calculation of a few of the lowest
        eigenvalues", J. Comput. Phys. 17, 1975, here without a
        preconditioner. Parlett, "The Symmetric Eigenvalue Problem", SIAM
        1998, chapter 11.

    Example:
        >>> a = torch.diag(torch.tensor([3.0, -7.0, 1.0, 0.5]))
        >>> extremes(lambda v: a @ v, torch.ones(1, 4), 1e-6).values
        tensor([-7.0000,  3.0000], dtype=torch.float64)
    """
    n = start.shape[1]
    cap = min(n, max(basis, 6))
    v, w = start.new_empty(cap, n), start.new_empty(cap, n)
    fresh = [*start.unbind(0)]
    small = torch.zeros(cap, cap, dtype=torch.float64, device="cpu")
    m, spent, scale = 0, 0, 0.0
    while True:
        for new in fresh:
            new = _outside(new, v[:m], generator)
            if m == n or new is None:
                continue
            v[m], w[m] = new, matvec(new)
            row = exact(v[: m + 1] @ w[m]).cpu()
            small[m, : m + 1] = small[: m + 1, m] = row
            m, spent = m + 1, spent + 1
        values, turn = torch.linalg.eigh(small[:m, :m])
        ends = [0, -1]
        theta, top = values[ends], turn[:, ends].to(v)
        u = top.T @ v[:m]
        r = top.T @ w[:m] - theta.to(u)[:, None] * u
        length = exact(r.norm(dim=1)).cpu()
        scale = max(scale, float(values.abs().max()))
        bound = tol * theta.abs().clamp_min(tol * scale)
        fine = bool((length <= bound).all()) and m > 1
        if m == n or spent >= max_products or (fine and spent >= least):
            u = u / u.norm(dim=1, keepdim=True)
            return Ends(theta, u, length, spent, fine or m == n)
        if m == cap:
            m = _squeeze(v, w, turn)
            kept = torch.cat([values[: m // 2], values[-(m // 2) :]])
            small[:m, :m] = torch.diag(kept)
        off = length / bound.clamp_min(torch.finfo(torch.float64).tiny)
        fresh = [r[int(off.argmax())]]


def _outside(
    new: Tensor, rows: Tensor, generator: torch.Generator | None
) -> Tensor | None:
    """The part of a vector outside a space, of length 1.

    A vector that lies within is replaced by a random one.
    """
    n = new.numel()
    for _ in range(3):
        before = after = new.norm()
        for _ in range(2):
            last = after
            new = new - rows.T @ (rows @ new)
            after = new.norm()
            if after > ENOUGH * last:  # little was lost: nothing is left
                break
        if after > 10 * torch.finfo(new.dtype).eps * before and after > 0:
            return new / after
        new = torch.randn(n, generator=generator, device="cpu").to(rows)
    return None


def _squeeze(v: Tensor, w: Tensor, turn: Tensor) -> int:
    """Keep the Ritz vectors at both ends, in place; say how many."""
    each = len(v) // 4
    chosen = torch.cat([turn[:, :each], turn[:, -each:]], 1).T.to(v)
    for rows in (v, w):
        rows[: 2 * each] = chosen @ rows
    return 2 * each


def aligned(vectors: Tensor, to: Tensor) -> tuple[Tensor, Tensor]:
    """Unit rows with the signs of others, and how alike they are.

    Args:
        vectors: (k, n) rows.
        to: (k, n) rows.

    Returns:
        The rows, and the cosine (k, 1) of each to its partner, 0 to 1.
    """
    cosine = (vectors * to).sum(1, keepdim=True)
    return torch.where(cosine < 0, -vectors, vectors), cosine.abs()


def predicted(
    last: Tensor, others: tuple[Tensor, Tensor], alike: float = 0.5
) -> Tensor:
    r"""Eigenvectors at the next point, from those around it.

    .. math:: u \approx u_1 + u_2 - u_3

    where :math:`u_1` stands one step before and :math:`u_2` one step
    beside it, and :math:`u_3` one step before :math:`u_2`: exact for
    vectors that are bilinear in the coordinates. Along one line
    :math:`u_2=u_1` and :math:`u_3` is two steps before.

    Args:
        last: (2, n) :math:`u_1`.
        others: :math:`u_2` and :math:`u_3`.
        alike: where a cosine is below this, it is another eigenvector, and
            :math:`u_1` alone is taken.

    Returns:
        (2, n) unit rows.

    Example:
        >>> u = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> predicted(u, (-u, u))
        tensor([[1., 0.],
                [0., 1.]])
    """
    beside, one = aligned(others[0], last)
    behind, two = aligned(others[1], beside)
    ahead = last + beside - behind
    ahead = ahead / ahead.norm(dim=1, keepdim=True)
    good = (one > alike) & (two > alike)
    return torch.where(good, ahead, last)
