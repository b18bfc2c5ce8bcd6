"""Means over the data, batch by batch, for many points at once."""

from typing import Any

import numpy as np
from torch import Tensor

from dldna.landscape.evaluate.evaluator import Values
from dldna.landscape.evaluate.subspace import Subspace
from dldna.params import exact


class Total:
    """Means over the data, from means or sums over batches, in float64.

    Batches count as :meth:`Subspace.weight_of` says.

    Args:
        subspace: what is measured.
        points: number of points that are measured together.
    """

    def __init__(self, subspace: Subspace, points: int):
        self.subspace = subspace
        names = ("loss", *subspace.metrics)
        self.sums = {name: np.zeros(points) for name in names}
        self.weights = {name: np.zeros(points) for name in names}

    def add(self, name: str, at, value, batch: Any) -> None:
        """Add one batch's loss or metric at some points."""
        weight = self.subspace.weight_of(batch, name)
        if weight == 0:  # its mean is NaN
            return
        if isinstance(value, Tensor):
            value = exact(value.detach()).cpu().numpy()
        summed = name == "loss" and self.subspace.summed
        value = np.asarray(value, dtype=np.float64)
        self.sums[name][at] += value * (1 if summed else weight)
        self.weights[name][at] += weight

    def means(self) -> Values:
        """Sums divided by weights; NaN where nothing counts."""
        with np.errstate(invalid="ignore"):
            return {k: v / self.weights[k] for k, v in self.sums.items()}
