r"""The space of the largest eigenvalues, followed along a path.

In coordinates scaled by :math:`P^{1/2}` the matrix is
:math:`P^{-1/2}HP^{-1/2}`. One step of subspace iteration at each point
keeps the space up to date, since it needs only products that the flow
takes anyway, and from time to time Lanczos looks for eigenvalues that have
overtaken it.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from dldna.landscape.curvature.lanczos import lanczos, warm_start

NEAR = 0.93  # of the edge: a direction is critical from here on
FAR = 0.85  # and ceases to be so below
TOLERANCE = 1e-2  # of the search: relative residual
LEAST = 4  # products beyond those for the space


class TopSpace:
    """An orthonormal basis, its critical columns first.

    Args:
        n: number of weights.
        most: largest number of critical directions.
        edge: the curvature at which the optimizer swings.
    """

    def __init__(self, n: int, most: int, edge: float):
        self.most, self.edge = min(most, n), edge
        self.basis = torch.zeros(n, 0, dtype=torch.float64, device="cpu")
        self.critical = 0
        self.changed = True
        self._random = torch.Generator().manual_seed(0)

    @property
    def open(self) -> bool:
        """Whether nothing is known beyond the critical directions."""
        n, k = self.basis.shape
        return k == self.critical and k < n

    def search(self, product: Callable[[Tensor], Tensor]) -> None:
        """Find the space anew, starting from the last one.

        Args:
            product: with a vector (n,), in scaled coordinates.
        """
        n, old = self.basis.shape
        start = torch.randn(
            n, generator=self._random, dtype=torch.float64, device="cpu"
        )
        start = start.to(self.basis)
        if old:
            start = warm_start(self.basis.T, start)
        count = min(self.critical + 2, n)
        while True:
            found = lanczos(
                product, start, count, TOLERANCE, which="largest",
                least=min(n, count + LEAST), max_products=20 * count + 40,
                generator=self._random,
            )  # fmt: skip
            inside = int((found.values > FAR * self.edge).sum())
            if inside < count or count >= min(self.most + 1, n):
                break
            start = found.vectors.sum(0)
            count = min(count + 2, self.most + 1, n)
        self._settle(found.values.to(start), found.vectors.T)

    def follow(self, images: Tensor) -> None:
        """One step of subspace iteration.

        Args:
            images: (n, k) products with the basis, scaled.
        """
        inner = self.basis.T @ images
        values, turn = torch.linalg.eigh((inner + inner.T) / 2)
        values, turn = values.flip(0), turn.flip(1)
        self._settle(values, torch.linalg.qr(images @ turn)[0])

    def _settle(self, values: Tensor, vectors: Tensor) -> None:
        """Choose the critical directions and turn them to the last ones."""
        near = int((values > NEAR * self.edge).sum())
        far = int((values > FAR * self.edge).sum())
        m = min(max(near, min(self.critical, far)), self.most)
        same = m == self.critical
        self.changed = self.changed or not same
        vectors = vectors[:, : m + 1]  # one beyond, to see who comes
        if same and m:
            old, new = self.basis[:, :m], vectors[:, :m]
            left, _, right = torch.linalg.svd(new.T @ old)
            vectors = torch.cat([new @ (left @ right), vectors[:, m:]], 1)
        self.basis, self.critical = vectors.contiguous(), m
