"""What every matrix of curvature has, ours or another package's."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dldna import checks
from dldna.landscape.curvature.call import watch


def _nothing() -> None:
    """Nobody watches."""


class SymmetricMatrix:
    """A symmetric matrix by its products with vectors.

    A subclass multiplies (``__matmul__``) and calls ``tick`` after each
    product.
    """

    n: int
    dtype: torch.dtype
    device: torch.device
    products: int
    tick: Callable[[], None] = staticmethod(_nothing)

    @property
    def shape(self) -> tuple[int, int]:
        """(n, n), where n is the number of scalars that may move."""
        return self.n, self.n

    def __matmul__(self, vectors: Tensor) -> Tensor:
        raise NotImplementedError

    @contextmanager
    def watched(self, what: str, total: int) -> Iterator[None]:
        """Show a bar that moves on with each product of the block.

        Args:
            what: a noun phrase.
            total: number of products, or a bound of it.

        Example:
            >>> from torch import nn
            >>> from dldna.landscape.curvature import Operator
            >>> x = torch.ones(3, 1)
            >>> H = Operator(nn.Linear(1, 1), nn.MSELoss(), (x, x))
            >>> with H.watched("products", 2):
            ...     _ = H @ torch.eye(2)
            >>> H.products
            2
        """
        try:
            with watch(what, total) as self.tick:
                yield
        finally:
            self.tick = _nothing

    def to_scipy(self) -> Any:
        """The same matrix for SciPy's routines, such as ``eigsh``.

        Returns:
            A ``scipy.sparse.linalg.LinearOperator`` of the same products;
            they count in ``products`` as others do.

        Raises:
            ImportError: SciPy is not installed (extra ``science``).

        Example:
            >>> from scipy.sparse.linalg import eigsh
            >>> from torch import nn
            >>> from dldna.landscape.curvature import Operator
            >>> x = torch.diag(torch.tensor([1.0, 2.0, 3.0]))
            >>> layer = nn.Linear(3, 1, bias=False)
            >>> H = Operator(layer, nn.MSELoss(), (x, x[:, :1]))
            >>> values, _ = eigsh(H.to_scipy(), k=1)
            >>> float(values[0].round(4))  # 2 x^2 / 3
            6.0
        """
        sparse = checks.need("scipy.sparse.linalg", "science", "to_scipy()")

        def product(vectors: np.ndarray) -> np.ndarray:
            return (self @ np.array(vectors)).cpu().numpy()

        return sparse.LinearOperator(
            self.shape,
            matvec=product,
            rmatvec=product,
            matmat=product,
            rmatmat=product,
            dtype=torch.empty(0, dtype=self.dtype, device="cpu").numpy().dtype,
        )
