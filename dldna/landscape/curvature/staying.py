"""Weights that stay in place while many products are asked for."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext

from torch import Tensor

from dldna.guard import differentiable, untouched
from dldna.landscape.curvature.culprits import explaining
from dldna.landscape.curvature.matrix import SymmetricMatrix
from dldna.landscape.curvature.products import Product
from dldna.objective import Objective
from dldna.objective.kernels import plain_kernels


class StayingMatrix(SymmetricMatrix, Objective):
    """A matrix whose model stays at its point while it is watched.

    To put the weights in place and back for each product takes as long as
    the product of a small network does. A subclass says how a batch is
    multiplied (``_product``), and when no forward is run again for it
    (``stays``).
    """

    stays = False
    _leaves: list[Tensor] | None = None

    def _product(self, i: int) -> Product:
        raise NotImplementedError

    @contextmanager
    def placed(
        self, point: Mapping[str, Tensor] | None = None
    ) -> Iterator[list[Tensor]]:
        """The model at a point, as :class:`Objective` puts it there.

        Args:
            point: parameters by name; by default the model's own.
        """
        if self._leaves is None or point is not None:
            with super().placed(point) as leaves:
                yield leaves
        else:
            with plain_kernels():
                yield self._leaves

    @contextmanager
    def watched(self, what: str, total: int) -> Iterator[None]:
        """Show a bar; the weights stay in place until the block ends.

        Args:
            what: a noun phrase.
            total: number of products, or a bound of it.
        """
        if self.stays:  # each forward begins with the model as it was
            self._prepare()
        settled = self._settled() if self.stays else nullcontext()
        with super().watched(what, total), settled as self._leaves:
            try:
                yield
            finally:
                self._leaves = None

    @untouched()
    @differentiable()
    def _prepare(self) -> None:
        for i, batch in enumerate(self.batches):
            with explaining(self, batch):
                self._product(i)
