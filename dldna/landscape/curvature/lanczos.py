r"""Eigenpairs of a large symmetric matrix from few of its products.

Lanczos builds an orthonormal basis :math:`Q` of the Krylov space
:math:`\{v, Hv, H^2v, \dots\}`, in which :math:`H` is tridiagonal:
:math:`HQ = QT + \beta\, q\, e_m^\top`. Eigenpairs :math:`(\theta, u)` of the
small matrix :math:`T` give Ritz pairs :math:`(\theta, Qu)` of :math:`H`, and
their residual is known without a further product:
:math:`\|HQu-\theta Qu\| = \beta\,|u_m|`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dldna.params import exact

WHICH = ("magnitude", "largest", "smallest")
FRESH = 0.2  # of a random direction in a warm start
SIGNS = {"magnitude": (1, -1), "largest": (1,), "smallest": (-1,)}
UNLIKELY = 1e-3  # share of the mean that 1 random start in 40 has less of


@dataclass(frozen=True, eq=False)
class Ritz:
    """What Lanczos knows when it stops.

    Args:
        values: (k,) Ritz values, float64.
        vectors: (k, n) Ritz vectors of unit length, rows.
        residuals: (k,) lengths of ``H v - theta v``, by the recurrence and
            what orthogonalisation has taken out of it.
        products: number of products spent.
        converged: whether every residual is within the tolerance.
        basis: (m, n) the space that was searched; rows. None if it came
            from more than one start.
        scale: the largest entry that the small matrix has had; what is
            1e-15 of it (float64) is rounding.
    """

    values: Tensor
    vectors: Tensor
    residuals: Tensor
    products: int
    converged: bool
    basis: Tensor | None = None
    scale: float = 0.0


def lanczos(
    matvec: Callable[[Tensor], Tensor],
    start: Tensor,
    k: int,
    tol: float,
    *,
    which: str = "magnitude",
    least: int = 0,
    enough: float | None = None,
    max_products: int = 1000,
    basis: int = 256,
    outside: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Ritz:
    r"""Find k eigenpairs by Lanczos with full reorthogonalisation.

    The basis grows until the residual of every wanted Ritz pair is at
    most ``tol * |theta|``, and no other pair could still pass the last of
    them: that which grows towards a wanted eigenvalue may yet lie below
    one that has settled. A basis of ``basis`` vectors is squeezed to
    its best Ritz vectors and grows again (thick restart). When the
    Krylov space is exhausted, a random direction is added and the search
    goes on until nothing better comes, so that further copies of a
    multiple eigenvalue are found. Before that, one vector cannot see
    multiplicity: no Krylov method that starts from one vector can.

    Args:
        matvec: the product with a vector of shape (n,).
        start: (n,) where the Krylov space begins.
        k: number of pairs.
        tol: bound of the relative residual.
        which: "magnitude", "largest" or "smallest".
        least: make at least this many products, for a start that may
            lie close to an eigenvector which is not the wanted one.
        enough: stop as soon as the residuals say that the pairs in sight
            lie below this (in the order of ``which``; a magnitude for
            "magnitude").
        max_products: give up after this many.
        basis: largest number of vectors kept; at least ``k + 3``.
        outside: orthonormal rows; what is found is orthogonal to them, and
            they are no eigenvectors of value 0 that would count.
        generator: where new directions come from.

    Returns:
        The pairs in order, wanted most first.

    References:
        Lanczos, J. Res. Nat. Bur. Standards 45, 1950. Wu and Simon,
        "Thick-restart Lanczos method for large symmetric eigenvalue
        problems", SIAM J. Matrix Anal. Appl. 22, 2000.

    Example:
        >>> a = torch.diag(torch.tensor([3.0, -7.0, 1.0, 0.5]))
        >>> lanczos(lambda v: a @ v, torch.ones(4), 2, 1e-6).values
        tensor([-7.0000,  3.0000], dtype=torch.float64)
    """
    n = start.numel()
    room = n if outside is None else n - len(outside)
    cap = min(room, max(basis, k + 3))
    start = apart(start, outside)
    q = start.new_empty(min(cap, 32), n)
    t = torch.zeros(cap, cap, dtype=torch.float64, device="cpu")
    lost = torch.zeros_like(t[0])  # of H q, left out of t
    eps = torch.finfo(start.dtype).eps
    q[0] = start / start.norm()
    m, fresh, spent, scale, pure = 1, 1, 0, 0.0, True
    last = None  # the wanted values when the space was last exhausted
    while True:
        j = m - 1
        w = apart(matvec(q[j]), outside)
        spent += 1
        if not torch.isfinite(w.norm()):
            raise ValueError(
                "a product with the matrix of curvature is not finite; "
                "look for NaN or very large parameters, or use float64"
            )
        # The recurrence first, then one sweep against the whole basis.
        near = q[:m] if fresh == 1 else q[j - 1 : m]
        c = near @ w
        w = torch.addmv(w, near.T, c, alpha=-1)
        if fresh == 1:
            t[j, :m] = t[:m, j] = exact(c).cpu()
        else:
            t[j, j] = float(c[-1])
        c = q[:m] @ w
        w = apart(w.addmv_(q[:m].T, c, alpha=-1), outside)
        lost[j], beta = float(c.norm()), float(w.norm())
        scale = max(scale, float(t[j, j].abs()), beta)
        values, vectors = torch.linalg.eigh(t[:m, :m])
        order = order_of(values, which)
        order, others = order[:k], order[k:]
        exhausted = beta <= 10 * eps * scale
        tail = 0.0 if exhausted else beta
        gaps = tail * vectors[-1].abs()
        residuals, floor = gaps[order], 10 * eps * scale
        bounds = (tol * values[order].abs()).clamp_min(floor)
        fine = bool((residuals <= bounds).all())
        reach = rank(values, which) + gaps
        hidden = (reach[others] > reach[order[-1]]) & (
            gaps[others] > bounds[-1]
        )
        done = m >= k and fine and (exhausted or spent >= least)
        done = done and not bool(hidden.any())
        if enough is not None and reach[order].max() < enough:
            at = SIGNS[which]
            shares = [unseen(t[:m, :m], tail, s * enough) for s in at]
            done = done or n * max(shares) < UNLIKELY
        if done and exhausted:
            now = values[order]
            done = last is not None and torch.allclose(
                now, last, rtol=tol, atol=floor
            )
            last = now
        if done or m == room or spent >= max_products:
            chosen = vectors[:, order].to(q)
            found = chosen.T @ q[:m]
            found /= found.norm(dim=1, keepdim=True)
            residuals += lost[:m] @ vectors[:, order].abs()
            space = q[:m] if pure else None
            fine = m >= k and fine
            values = values[order]
            return Ritz(values, found, residuals, spent, fine, space, scale)
        if m == cap:  # squeeze
            keep = min(k + max(2, (cap - k) // 2), cap - 1)
            order = order_of(values, which)[:keep]
            q[:keep] = vectors[:, order].T.to(q) @ q[:m]
            lost[:keep] = lost[:m] @ vectors[:, order].abs()
            t.zero_()
            t[:keep, :keep] = torch.diag(values[order])
            m, fresh = keep, 0
        if exhausted:
            pure = False
            w = torch.randn(n, generator=generator, device="cpu").to(q)
            beta = 0.0
            fresh = 0
            for _ in range(2):
                w = apart(apart(w, outside), q[:m])
        if m == len(q):
            q = torch.cat([q, q.new_empty(min(len(q), cap - m), n)])
        torch.div(w, w.norm(), out=q[m])
        t[m, m - 1] = t[m - 1, m] = beta
        m += 1
        fresh += 1


def apart(v: Tensor, rows: Tensor | None) -> Tensor:
    """A vector, or rows, without the part in the space of others.

    Args:
        v: (n,) or (k, n).
        rows: orthonormal; None for nothing to take out.
    """
    return v if rows is None else v - (v @ rows.T) @ rows


def warm_start(vectors: Tensor, fresh: Tensor) -> Tensor:
    """Where to search for eigenvectors that have moved a little.

    A little of a random direction is mixed in: an eigenvector alone would
    never lead to another one that has overtaken it.

    Args:
        vectors: (k, n) the last ones.
        fresh: (n,) a random direction.
    """
    known = vectors.sum(0)
    return known / known.norm() + FRESH * fresh / fresh.norm()


def tridiagonal(
    matvec: Callable[[Tensor], Tensor], start: Tensor, steps: int
) -> tuple[Tensor, Tensor]:
    """Run some steps of Lanczos and return the tridiagonal matrix.

    Args:
        matvec: the product with a vector of shape (n,).
        start: (n,) first vector, of any length.
        steps: number of steps; fewer are made if the space is exhausted.

    Returns:
        Diagonal (m,) and off-diagonal (m - 1,), float64.

    Example:
        >>> a = torch.diag(torch.tensor([1.0, 3.0]))
        >>> diagonal, off = tridiagonal(lambda v: a @ v, torch.ones(2), 2)
        >>> [round(float(x), 4) for x in (*diagonal, *off)]
        [2.0, 2.0, 1.0]
    """
    n = start.numel()
    steps = min(steps, n)
    q = start.new_empty(steps, n)
    q[0] = start / start.norm()
    diagonal, off = [], []
    for j in range(steps):
        w = matvec(q[j])
        diagonal.append(float(q[j] @ w))
        w = w - diagonal[j] * q[j]
        if j:
            w -= off[-1] * q[j - 1]
        w -= q[: j + 1].T @ (q[: j + 1] @ w)
        beta = float(w.norm())
        size = max(map(abs, diagonal + off), default=0.0)
        eps = torch.finfo(start.dtype).eps
        if j + 1 == steps or beta <= 10 * eps * size:
            break
        off.append(beta)
        q[j + 1] = w / beta
    exact = {"dtype": torch.float64, "device": "cpu"}
    return torch.tensor(diagonal, **exact), torch.tensor(off, **exact)


def unseen(t: Tensor, beta: float, value: float) -> float:
    r"""Largest share that an eigenvector could have had of the start.

    If :math:`Hu=\lambda u`, then :math:`c=Qu` solves
    :math:`(\lambda-T)c=\beta\gamma\,e_m` with :math:`\gamma` its part of
    the next vector, and :math:`|c|^2+\gamma^2\le 1`: what is small in the
    start grows along the basis, and would be larger than all there is.
    """
    tail = torch.zeros(len(t), dtype=t.dtype, device="cpu")
    tail[-1] = beta
    left = value * torch.eye(len(t), dtype=t.dtype, device="cpu") - t
    c, singular = torch.linalg.solve_ex(left, tail)
    if singular:  # an eigenvalue of the small matrix itself
        return 1.0
    return float(c[0].square() / (c @ c + 1))


def rank(values: Tensor, which: str) -> Tensor:
    """What is largest for the pair that is wanted most."""
    if which == "magnitude":
        return values.abs()
    return values if which == "largest" else -values


def order_of(values: Tensor, which: str) -> Tensor:
    """Positions of the values, wanted most first."""
    return rank(values, which).argsort(descending=True)
