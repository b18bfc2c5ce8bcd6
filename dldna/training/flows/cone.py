r"""The covariance that holds a symmetric matrix at or above zero.

With :math:`\mathcal B` symmetric and positive semidefinite on symmetric
matrices, the complementarity problem

.. math::
    X \succeq 0, \qquad A + \mathcal B[X] \succeq 0, \qquad
    \langle X, A + \mathcal B[X] \rangle = 0

is what :math:`\tfrac12\langle X,\mathcal B[X]\rangle+\langle A,X\rangle`
satisfies at its minimum over the cone :math:`X\succeq0`.
"""

import math
from functools import cache

import numpy as np

END = 1e-10  # of the barrier, in units of the problem
SHRINK = 0.1  # of the barrier, from one to the next
MOST = 400  # steps of Newton's method


def complementary(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    r"""Solve the complementarity problem by Newton steps inside the cone.

    Minimises
    :math:`\tfrac12\langle X,\mathcal B[X]\rangle+\langle A,X\rangle
    -\mu\log\det X` while :math:`\mu` goes to nothing, where
    :math:`A+\mathcal B[X]=\mu X^{-1}`.

    Args:
        a: (k, k) symmetric.
        b: (k, k, k, k); ``b[i, j, l, m]`` is what entry (l, m) of X adds
            to entry (i, j).

    Returns:
        (k, k) the matrix X; exactly zero where ``a`` has no negative
        eigenvalue.

    Raises:
        ValueError: no X lifts the negative part of ``a``.

    Example:
        >>> same = np.eye(4).reshape(2, 2, 2, 2)
        >>> x = complementary(np.diag([-2.0, 3.0]), same)
        >>> (abs(x.round(6)) + 0).tolist()
        [[2.0, 0.0], [0.0, 0.0]]

    References:
        Boyd, Vandenberghe, "Convex Optimization", 2004, chapter 11.
    """
    k = len(a)
    if np.linalg.eigvalsh(a)[0] >= 0:
        return np.zeros_like(a)
    basis = _symmetric(k)
    linear = basis @ a.reshape(-1)
    square = basis @ b.reshape(k * k, k * k) @ basis.T
    square = (square + square.T) / 2
    units = np.abs(linear).max(), np.trace(square) / len(square)
    if not units[1] > 0:
        raise ValueError("nothing turns the curvature back: B is zero")
    linear, square = linear / units[0], square / units[1]
    x = _whole(linear, square, basis, k)
    if x is None:
        x = _inside(linear, square, basis, k)
    return (basis.T @ x).reshape(k, k) * units[0] / units[1]


def _whole(linear, square, basis, k: int) -> np.ndarray | None:
    """The solution where all of A + B[X] is zero, if X allows it."""
    try:
        x = -np.linalg.solve(square, linear)
    except np.linalg.LinAlgError:
        return None
    lowest = np.linalg.eigvalsh((basis.T @ x).reshape(k, k))[0]
    return x if lowest >= 0 else None


def _inside(linear, square, basis, k: int) -> np.ndarray:
    """Coordinates of the solution, along the central path."""
    x, mu = basis @ np.eye(k).reshape(-1), 1.0
    for _ in range(MOST):
        inverse = np.linalg.inv((basis.T @ x).reshape(k, k))
        slope = square @ x + linear - mu * (basis @ inverse.reshape(-1))
        bend = square + mu * basis @ np.kron(inverse, inverse) @ basis.T
        move = -np.linalg.solve(bend, slope)
        # In units of X, the step may not reach the cone's edge.
        turned = inverse @ (basis.T @ move).reshape(k, k)
        lowest = np.linalg.eigvals(turned).real.min()
        size = min(1.0, 0.95 / max(-lowest, 1e-12))
        x = x + size * move
        if size == 1.0 and -slope @ move < 0.1 * mu * k:
            if mu <= END:
                return x
            mu *= SHRINK
    raise ValueError("no covariance holds the curvature at the edge")


@cache
def _symmetric(k: int) -> np.ndarray:
    """An orthonormal basis of the symmetric matrices, (k(k+1)/2, k*k)."""
    rows = []
    for i in range(k):
        for j in range(i, k):
            e = np.zeros((k, k))
            e[i, j] = e[j, i] = 1.0 if i == j else math.sqrt(0.5)
            rows.append(e.reshape(-1))
    return np.array(rows)
