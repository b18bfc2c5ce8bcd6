"""A Hessian that goes from point to point of a plane."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dldna.landscape.curvature.extremes import LEAST, Ends, extremes
from dldna.landscape.curvature.operator import Operator
from dldna.landscape.evaluate import Subspace
from dldna.landscape.evaluate.slow import placed, recalibrate

BASIS_BYTES = 2**32  # of vectors and products that one search keeps


class MovingHessian(Operator):
    """The Hessian at any point of a plane, made once.

    The model, the loss and the data are checked when it is made, at the
    model's own weights.

    Args:
        subspace: the plane, with what batch normalisation uses on it.
        **options: of :class:`Operator`.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> net, x = nn.Linear(1, 1, bias=False), torch.ones(2, 1)
        >>> origin = {"weight": torch.ones(1, 1)}
        >>> cube = lambda y, batch: y.pow(3).mean()
        >>> plane = Subspace.of(net, cube, [(x, x)], origin, [origin])
        >>> H = MovingHessian(plane)
        >>> H.move([1.0])
        >>> float(H @ torch.ones(1))  # 6 w at w = 2
        12.0
    """

    def __init__(self, subspace: Subspace, **options: Any):
        train = subspace.statistics == "train"
        super().__init__(
            subspace.model,
            subspace.loss_fn,
            subspace.batches,
            statistics="train" if train else "eval",
            **options,
        )
        self.stays = False
        self.subspace = subspace

    def move(self, coords: list[float]) -> None:
        """Go to a point of the plane.

        Args:
            coords: one for each direction.
        """
        found = self.subspace.parameters_at(coords)
        self.buffers = self._statistics(found, coords).items
        self.point = {k: self._typed(found[k]) for k in self.point}
        self._rest |= {
            k: self._typed(found[k]) for k in self._rest if k in found
        }
        self._kept.clear()

    def ends(
        self,
        tol: float,
        limit: int,
        generator: torch.Generator,
        begin: Tensor | None = None,
    ) -> Ends:
        """Both ends of the spectrum here, as :func:`extremes` finds them.

        Args:
            tol: see there.
            limit: most products of the search.
            generator: of what is drawn.
            begin: (p, n) where it begins; a random vector by default.
        """
        cold = begin is None
        if cold:
            begin = torch.randn(1, self.n, generator=generator, device="cpu")
        size = torch.finfo(self.dtype).bits // 8
        return extremes(
            self.__matmul__,
            begin.to(**self.cast),
            tol,
            least=LEAST if cold else 2,
            max_products=limit,
            basis=min(BASIS_BYTES // (2 * size * self.n), 100),
            generator=generator,
        )

    def _statistics(
        self, point: Mapping[str, Tensor], coords: list[float]
    ) -> dict[str, Tensor]:
        at = self.subspace.buffers_at(coords)
        if self.subspace.statistics != "recalibrate":
            return at
        with placed(self.subspace) as put:
            put(point, at)
            recalibrate(self.subspace, put)
            now = self.subspace.model.named_buffers()
            return {k: b.detach().clone() for k, b in now}
