"""What the slow way gives, to hold other ways against."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from dldna import batches as bt
from dldna.landscape.evaluate.evaluator import Evaluator, Unsupported, Values
from dldna.landscape.evaluate.frozen import Frozen
from dldna.landscape.evaluate.slow import Slow
from dldna.landscape.evaluate.subspace import Subspace

TOLERANCE = 1e-5
ROUGH = 5e-2  # of types with two or three digits
HALVES = {torch.float16, torch.bfloat16}


class Truth:
    """What the slow way gives at some points, to hold other ways against.

    At three points on two small batches, so that a model which couples the
    samples of a batch, or takes something over from the last batch, is found
    out; and at a point far out on all data. The slow way is asked once,
    whatever the number of ways.
    """

    def __init__(self, given: Subspace):
        self.given, k = given, len(given.directions)
        self.points = torch.zeros(3, k, dtype=torch.float64, device="cpu")
        self.points[1], self.points[2] = 0.11, 0.43
        if k > 1:
            self.points[1] = torch.linspace(0.11, -0.07, k, device="cpu")
            self.points[2] = torch.linspace(-0.31, 0.43, k, device="cpu")
        sliced = all(map(bt.sliced, given.batches))
        self.small = given.on(_few(given)) if sliced else self._first_two()
        self._values: Values | None = None
        self._far: tuple[Tensor, Values] | None = None

    def _first_two(self) -> Subspace:
        batches = self.given.batches
        return self.given.on(batches if len(batches) < 3 else batches[:2])

    def values(self) -> Values:
        """Loss and metrics of the slow way at the points."""
        if self._values is None:
            try:
                self._values = Slow(self.small, exact=True)(self.points)
            except Exception:  # bound to the size of its batches
                self.small = self._first_two()
                self._values = Slow(self.small, exact=True)(self.points)
        return self._values

    def check(self, candidate: Evaluator) -> float:
        """Largest relative difference of a way to the slow way.

        Raises:
            Unsupported: it differs too much.
        """
        fast = candidate(self.points)
        if isinstance(candidate, Frozen) and not candidate.hits:
            raise Unsupported("nothing stands still before what moves")
        return self._agree(fast, self.values())

    def far(self) -> tuple[Tensor, Values]:
        """A point far out, and what the slow way gives there on all data."""
        if self._far is None:
            k = len(self.given.directions)
            point = torch.linspace(
                0.83, -0.77, k, dtype=torch.float64, device="cpu"
            )
            self._far = point[None], Slow(self.given, exact=True)(point[None])
        return self._far

    def check_all(self, found: Evaluator) -> None:
        """Hold a way against the slow one on all data, at a point far out.

        A forward may do something else with batches that are larger, or
        more than two.

        Raises:
            Unsupported: it differs too much.
        """
        point, slow = self.far()
        self._agree(found(point), slow)

    def _agree(self, fast: Values, slow: Values) -> float:
        worst = max(_difference(fast[m], slow[m]) for m in slow)
        own = {v.dtype for v in self.given.origin.values()}
        limit = ROUGH if own & HALVES else TOLERANCE
        if self.given.dtype != "bfloat16" and not worst <= limit:
            raise Unsupported(
                f"differs from the slow way by {worst:.1e} relative"
            )
        return worst


def _few(given: Subspace) -> list[Any]:
    """Two small batches of the data."""
    first = given.batches[0]
    n = bt.size(first)
    if given.statistics == "train":
        return [bt.cut(first, 0, min(n, 16))]
    if n == 1:
        return [bt.cut(b, 0, 2) for b in given.batches[:2]]
    half = min(8, n // 2)
    pieces = [bt.cut(first, 0, half), bt.cut(first, half, min(n, 3 * half))]
    return [b for b in pieces if bt.size(b)]


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    """Largest relative difference; equal NaN and inf do not differ."""
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    both = np.isfinite(a) & np.isfinite(b)
    if not (same | both).all():
        return float("inf")
    scale = np.maximum(np.abs(b), 1e-12)
    with np.errstate(invalid="ignore"):
        apart = np.where(same, 0.0, np.abs(a - b) / scale)
    return float(apart.max(initial=0.0))
