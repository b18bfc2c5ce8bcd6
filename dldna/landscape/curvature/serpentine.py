"""The walk over a plane that carries eigenvectors from point to point."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dldna.landscape.curvature.extremes import Ends, predicted
from dldna.landscape.curvature.moving import MovingHessian
from dldna.landscape.scan.store import Store
from dldna.objective import NotFinite

EVERY = 25  # points from one cold start that looks again to the next
VALUES = ("smallest", "largest", "residuals", "products")


@dataclass
class Serpentine:
    """Rows to and fro, each search begun at what its neighbours found.

    Args:
        axes: coordinates along both directions.
        tol: see :func:`extremes`.
        seed: of cold starts.
        limit: most products of a search.
        warm: whether neighbours are asked at all.
    """

    axes: tuple[np.ndarray, np.ndarray]
    tol: float
    seed: int
    limit: int
    warm: bool
    hessian: MovingHessian = field(init=False)
    above: list[Tensor | None] | None = None

    def __post_init__(self):
        shape = tuple(map(len, self.axes))
        self.values = {k: np.full(shape, np.nan) for k in VALUES}
        self.values["residuals"] = np.full((*shape, 2), np.nan)
        self.again = np.full(shape, np.nan)  # 1 where a cold start was better

    def kept(self, i: int) -> dict[str, np.ndarray]:
        """What is kept of a row for good."""
        return {k: v[i] for k, v in self.values.items()} | {
            "again": self.again[i]
        }

    def resume(self, store: Store) -> int:
        """Take finished rows from a folder; how many."""
        last, count = None, 0
        for number, tile in enumerate(store.tiles()):
            found = store.get(tile) if tile == number else None
            if found is None:
                break
            for name, value in (self.values | {"again": self.again}).items():
                value[number] = found[name]
            if "vectors" in found:
                last, count = found["vectors"], number + 1
        if last is None:
            return 0
        known = np.isfinite(self.values["largest"][count - 1])
        self.above = [
            torch.from_numpy(v).to(**self.hessian.cast) if k else None
            for v, k in zip(last, known, strict=True)
        ]
        return count

    def row(self, i: int, tick: Callable[[], None]) -> dict[str, np.ndarray]:
        """One row, from the side where the last one ended."""
        n = len(self.axes[1])
        here: list[Tensor | None] = [None] * n
        order = range(n) if i % 2 == 0 else range(n - 1, -1, -1)
        step = order.step
        for number, j in enumerate(order):
            begin = self._begin(here, j, step, number)
            found = self._point(i, j, i * n + number, begin)
            if found is not None:
                here[j] = found.vectors
            tick()
        self.above = here
        none = torch.zeros(2, self.hessian.n, **self.hessian.cast)
        rows = [none if v is None else v for v in here]
        return self.kept(i) | {"vectors": torch.stack(rows).cpu().numpy()}

    def _begin(self, here, j: int, step: int, number: int) -> Tensor | None:
        """Where the search at a point begins; None for anywhere."""
        above = self.above or [None] * len(here)
        if number == 0:
            return above[j]
        last, beside, behind = here[j - step], above[j], above[j - step]
        if last is None:
            return beside
        if beside is not None and behind is not None:
            return predicted(last, (beside, behind))
        if number > 1 and here[j - 2 * step] is not None:
            return predicted(last, (last, here[j - 2 * step]))
        return last

    def _point(
        self, i: int, j: int, number: int, begin: Tensor | None
    ) -> Ends | None:
        at = [float(self.axes[0][i]), float(self.axes[1][j])]
        generator = torch.Generator().manual_seed(self.seed + number)
        before, ends = self.hessian.products, self.hessian.ends
        try:
            self.hessian.move(at)
            if begin is None or not self.warm:
                finer = self.tol / 10 if self.warm else self.tol
                found = ends(finer, self.limit, generator)
            else:
                found = ends(self.tol, self.limit, generator, begin)
                if number % EVERY == 0:
                    other = ends(self.tol, self.limit, generator)
                    found, better = _outer(found, other)
                    self.again[i, j] = better
        except NotFinite:
            found = None
        v = self.values
        v["products"][i, j] = self.hessian.products - before
        if found is not None:
            v["smallest"][i, j], v["largest"][i, j] = found.values
            v["residuals"][i, j] = found.residuals
        return found

    def notes(self) -> dict[str, Any]:
        """What the record says of the search."""
        looked = np.isfinite(self.again)
        v = self.values
        ends = np.stack([v["smallest"], v["largest"]], -1)
        size = np.abs(ends)
        room = self.tol * np.maximum(
            size, self.tol * size.max(-1, keepdims=True)
        )
        late = (v["residuals"] > room * (1 + 1e-6)).any(-1)
        return {
            "tol": self.tol,
            "warm": self.warm,
            "search_products": int(np.nansum(v["products"])),
            "looked again": int(looked.sum()),
            "found further out": int(np.nansum(self.again)),
            "not converged": int(late.sum()),
            "not finite": int(np.isnan(v["largest"]).sum()),
        }


def _outer(one: Ends, two: Ends) -> tuple[Ends, bool]:
    """Of two searches the values further out, and whether one was two's.

    Rayleigh quotients lie within the spectrum, so what lies further out is
    nearer to the truth.
    """
    sign = torch.tensor([-1.0, 1.0], dtype=torch.float64, device="cpu")
    room = 0.01 * torch.maximum(one.values.abs(), two.values.abs())
    better = sign * (two.values - one.values) > room
    pick = better[:, None].to(one.vectors.device)
    return Ends(
        torch.where(better, two.values, one.values),
        torch.where(pick, two.vectors, one.vectors),
        torch.where(better, two.residuals, one.residuals),
        one.products + two.products,
        one.converged and two.converged,
    ), bool(better.any())
