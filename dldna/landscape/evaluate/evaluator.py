"""What every way of evaluating is: points in, losses out."""

from typing import Any, Protocol

import numpy as np
from torch import Tensor

Values = dict[str, np.ndarray]


class Unsupported(Exception):
    """What a way of evaluating cannot do; the next way is tried."""


class Evaluator(Protocol):
    """Something that knows the loss at every point of a plane.

    Attributes:
        name: how it does it, for the record ("slow", "mlp", ...).
        notes: what else the record should say (JSON values).
        chunk: a good number of points to ask for at once.
    """

    name: str
    notes: dict[str, Any]
    chunk: int

    def __call__(self, coords: Tensor) -> Values:
        """Loss and metrics at points given by their coordinates.

        Args:
            coords: (P, K) float64; point p is
                ``origin + sum_k coords[p, k] * directions[k]``.

        Returns:
            "loss" and every metric, each (P,) float64.
        """
        ...
