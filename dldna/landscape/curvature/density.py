"""The density of all eigenvalues, by stochastic Lanczos quadrature."""

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
from dldna.landscape.curvature.foreign import accepts_matrix, matrix_of
from dldna.landscape.curvature.lanczos import tridiagonal
from dldna.landscape.curvature.operator import Operator
from dldna.objective import accepts_objective
from dldna.records import Density


@checks.renamed(mode="statistics")
@difference_products
@accepts_matrix
@accepts_objective
def spectral_density(
    model: nn.Module,
    loss_fn: Callable,
    data: Any,
    *,
    probes: int = 8,
    steps: int = 64,
    sigma: float | None = None,
    points: int = 1000,
    seed: int = 0,
    **options: Any,
) -> Density:
    r"""Estimate the density of all eigenvalues of the Hessian.

    For a random vector :math:`v` of length 1, :math:`m` steps of Lanczos
    give a tridiagonal matrix :math:`T=U\Theta U^\top`. Its eigenvalues
    :math:`\theta_i` with the weights :math:`U_{1i}^2` are the Gauss
    quadrature of the density seen by :math:`v`: their moments agree with
    :math:`v^\top H^j v` up to :math:`j=2m-1`. The density is the mean over
    probes of

    .. math:: \phi(t)=\sum_i U_{1i}^2\,
        \mathcal N(t;\,\theta_i,\,\sigma^2).

    Every bump is as wide as ``sigma``; nothing narrower can be seen.

    Args:
        model: any ``nn.Module``; it is not written to. Or, in place of
            all three, an objective, or a symmetric matrix with ``shape``
            and ``@``, as an operator of curvlinops or SciPy.
        loss_fn: a torch loss, or a callable ``(output, batch)``.
        data: a loader, a batch, or tensors; see :mod:`dldna.batches`.
        probes: number of random vectors.
        steps: Lanczos steps for each probe; it costs as many products.
        sigma: width of the bumps, in units of the eigenvalues; by default
            1 % of the range of the nodes.
        points: number of grid points.
        seed: seed of the probes.
        **options: of :class:`Operator`.

    Returns:
        Density with its spread over probes, nodes and weights.

    Raises:
        ValueError: a count below 1, a width that is not positive, an
            unknown option, no data, or a loss that is not finite.

    Example:
        >>> layer = nn.Linear(2, 1, bias=False)
        >>> x = torch.diag(torch.tensor([1.0, 2.0]))
        >>> found = spectral_density(layer, nn.MSELoss(), (x, x[:, :1]))
        >>> found.nodes[0].round(4)  # the eigenvalues themselves
        array([1., 4.])

    References:
        Golub and Welsch, Math. Comp. 23, 1969. Ubaru, Chen, Saad, SIAM J.
        Matrix Anal. Appl. 38, 2017. Ghorbani, Krishnan, Xiao, ICML 2019,
        arXiv 1901.10159.
    """
    for name, value in [
        ("probes", probes),
        ("steps", steps),
        ("points", points),
    ]:
        checks.count(name, value)
    if sigma is not None:
        checks.positive("sigma", sigma)
    checks.whole("seed", seed)
    check_call(model, options, spectral_density, Operator)
    with matrix_of(model, loss_fn, data, **options) as operator:
        generator = torch.Generator().manual_seed(seed)
        m = min(steps, operator.n)
        nodes = np.full((probes, m), np.nan)
        weights = np.zeros((probes, m))
        with operator.watched("spectral density", probes * m):
            for i in range(probes):
                start = signs(operator, generator)
                theta, w = quadrature(operator, start, m)
                nodes[i, : len(theta)] = theta
                weights[i, : len(w)] = w
        made = operator.provenance("spectral density", seed, steps=m)
    grid, sigma = _grid(nodes, sigma, points)
    each = _bumps(grid, nodes, weights, sigma)
    error = each.std(0, ddof=1) if probes > 1 else np.full(points, np.nan)
    return Density(
        grid=grid,
        density=each.mean(0),
        spread=error / probes**0.5,
        nodes=nodes,
        weights=weights,
        sigma=float(sigma),
        n=operator.n,
        products=operator.products,
        matrix=operator.matrix,
        provenance=made,
    )


def quadrature(
    operator: Operator, start: Tensor, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of the Gauss quadrature seen by one vector.

    Args:
        operator: the matrix.
        start: (n,) the vector.
        steps: number of nodes; fewer where the Krylov space ends.

    Returns:
        The nodes (m,) in increasing order and their weights (m,).
    """
    diagonal, off = tridiagonal(lambda v: operator @ v, start, steps)
    t = torch.diag(diagonal) + torch.diag(off, 1) + torch.diag(off, -1)
    theta, u = torch.linalg.eigh(t)
    return theta.numpy(), u[0].square().numpy()


def signs(operator: Operator, generator: torch.Generator) -> Tensor:
    """A random vector of entries -1 and 1, shape (n,)."""
    bits = torch.randint(
        0, 2, (operator.n,), generator=generator, device="cpu"
    )
    return (2 * bits - 1).to(device=operator.device, dtype=operator.dtype)


def _grid(nodes: np.ndarray, sigma: float | None, points: int):
    low, high = np.nanmin(nodes), np.nanmax(nodes)
    if sigma is None:
        span = high - low
        sigma = 0.01 * (span if span > 0 else max(abs(high), 1.0))
    return np.linspace(low - 5 * sigma, high + 5 * sigma, points), sigma


def _bumps(grid, nodes, weights, sigma) -> np.ndarray:
    """(P, G) density of each probe."""
    out = np.zeros((len(nodes), len(grid)))
    for row, theta, w in zip(out, nodes, weights, strict=True):
        for t, weight in zip(theta, w, strict=True):
            if weight > 0:
                row += weight * np.exp(-0.5 * ((grid - t) / sigma) ** 2)
    return out / (sigma * np.sqrt(2 * np.pi))
