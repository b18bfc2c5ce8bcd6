r"""The covariance of the oscillation at one point of a central flow.

With the :math:`P`-orthonormal critical directions :math:`u_i`,
:math:`\Sigma=\sum_{ij}X_{ij}u_iu_j^\top` and
:math:`T_{ij}=\nabla_w\,u_i^\top H u_j`, the flow moves by

.. math::
    \dot w=-rK\bigl(\nabla L+\tfrac12\textstyle\sum_{ij}X_{ij}T_{ij}\bigr),
    \qquad
    \dot\nu=a\bigl((\nabla L)^2+\mathrm{diag}(H\Sigma H)-\nu\bigr)

and the room below the edge, :math:`C=U^\top(cP-H)U`, after one step is
:math:`A+\mathcal B[X]` with

.. math::
    A&=C+a\,c\,U^\top\mathrm{diag}(P'((\nabla L)^2-\nu))U
        +r\langle T,K\nabla L\rangle\\
    \mathcal B[X]&=a\,c^3\,U^\top\mathrm{diag}(P'
        \mathrm{diag}(PUXU^\top P))U+\tfrac r2\langle T,K\,T[X]\rangle .

:math:`X` is the smallest oscillation that keeps it from becoming negative:
the complementarity problem of :func:`complementary`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dldna.training.flows.cone import complementary
from dldna.training.flows.slopes import Slopes

ALWAYS = 2  # directions for which all T are fresh at each step


@dataclass(frozen=True)
class Memory:
    """The second moment and what comes of it.

    Args:
        nu: (n,) moving average of the squared gradient; None for P = 1.
        p: (n,) the diagonal of P.
        bend: (n,) its derivative by nu.
        share: of nu that one step renews.
        scalar: whether one average serves all weights.
    """

    nu: Tensor | None
    p: Tensor
    bend: Tensor
    share: float
    scalar: bool

    def squared(self, rows: Tensor) -> Tensor:
        """The squares of vectors (..., n), or their sums over the weights."""
        squares = rows.square()
        if self.scalar:
            squares = squares.sum(-1, keepdim=True).expand_as(squares)
        return squares


class Thirds:
    """The slopes T of the curvature in the critical directions.

    The diagonal ones come with the products at each step. The others vary
    slowly in a basis that turns as little as it can, and are taken anew at
    each step only for few directions.
    """

    def __init__(self):
        self.age = 0
        self.mixed: dict[tuple[int, int], Tensor] = {}

    def at(
        self, slopes: Slopes, w, g, u: Tensor, diagonal: list, changed: bool
    ) -> Tensor:
        """All of them, (m, m, n).

        Args:
            slopes: where gradients come from.
            w: (n,) weights.
            g: (n,) gradient.
            u: (n, m) the directions.
            diagonal: m tensors (n,), the slopes of each by itself.
            changed: whether the directions are not those of before.
        """
        m = u.shape[1]
        self.age += 1
        if changed or self.age > max(m - ALWAYS, 0):
            self.age, self.mixed = 0, {}
            for i in range(m):
                for j in range(i):
                    both = slopes.along(w, g, u[:, i] + u[:, j])[1]
                    rest = diagonal[i] + diagonal[j]
                    self.mixed[i, j] = (both - rest) / 2
        rows = [
            diagonal[i] if i == j else self.mixed[max(i, j), min(i, j)]
            for i in range(m)
            for j in range(m)
        ]
        return torch.stack(rows).view(m, m, -1)


def covariance(
    room: Tensor,
    u: Tensor,
    thirds: Tensor,
    g: Tensor,
    rate: float,
    edge: float,
    damped: Callable[[Tensor], Tensor],
    memory: Memory,
) -> tuple[Tensor, float]:
    """The covariance X in the critical directions.

    Args:
        room: (m, m) the matrix C.
        u: (n, m) the directions.
        thirds: (m, m, n) the slopes T.
        g: (n,) gradient.
        rate: r.
        edge: c.
        damped: the map K for rows (..., n).
        memory: of the squared gradient.

    Returns:
        X (m, m), and by how much the conditions of complementarity are
        missed, relative to the sizes of X and of what the step does to C.
    """
    moved = damped(thirds)
    a = room + rate * (moved @ g)
    b = rate / 2 * torch.einsum("ijn,kln->ijkl", moved, thirds)
    if memory.nu is not None:
        gain = memory.share * edge * memory.bend
        drift = gain * (memory.squared(g) - memory.nu)
        a = a + u.T @ (drift[:, None] * u)
        pu = edge * memory.p[:, None] * u
        if memory.scalar:
            inner = u.T @ (gain[:, None] * u)
            b = b + torch.einsum("ij,kl->ijkl", inner, pu.T @ pu)
        else:
            b = b + torch.einsum("n,ni,nj,nk,nl->ijkl", gain, u, u, pu, pu)
    a, b = ((a + a.T) / 2).cpu().numpy(), b.cpu().numpy()
    x = complementary(a, b)
    left = a + np.einsum("ijkl,kl->ij", b, x)
    return torch.from_numpy(x).to(u), _missed(x, left, np.abs(a).max())


def _missed(x: np.ndarray, left: np.ndarray, size: float) -> float:
    """Relative violation of X >= 0, C >= 0 and <X, C> = 0."""
    trace = max(float(np.trace(x)), np.finfo(float).tiny)
    return max(
        -float(np.linalg.eigvalsh(x)[0]) / trace,
        -float(np.linalg.eigvalsh(left)[0]) / size,
        abs(float((x * left).sum())) / (trace * size),
    )
