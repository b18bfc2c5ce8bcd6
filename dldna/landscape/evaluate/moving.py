"""Tensors of a perceptron along a row of points."""

from typing import Any

import torch
from torch import Tensor

from dldna.landscape.evaluate.plane import Row, along, combined

HUGE = 1e30  # beyond this the fused add-and-ReLU would cut off infinity


class Weights:
    """All parameters at the points of a row, formed when first asked."""

    def __init__(self, path: Any, row: Row):
        self.path, self.row = path, row
        self.formed: dict[str, Tensor] = {}

    def __call__(self, module: str, name: str) -> Tensor | None:
        """(P, *shape) of one parameter or buffer, or None."""
        full = self.path.graph.parameter(module, name)
        if full is None:
            return None
        if full not in self.formed:
            self.formed[full] = self._form(full)
        return self.formed[full]

    def _form(self, full: str) -> Tensor:
        task, row = self.path.task, self.row
        if full in task.origin:
            terms = [task.origin[full], *[d[full] for d in task.directions]]
        elif task.buffer_directions and full in task.buffer_directions[0]:
            moves = [d[full] for d in task.buffer_directions]
            terms = [task.buffers[full], *moves]
        else:
            return task.buffers[full].unsqueeze(0)
        base = combined(terms, row.fixed)
        made = along(base, terms[1 + row.axis], row.steps)
        return made.bfloat16() if self.path.half else made


class Affine:
    """A first-layer output: ``base + s * step`` along the row."""

    def __init__(self, terms: list[Tensor], row: Row, half: bool):
        self.base = combined(terms, row.fixed)
        self.step = terms[1 + row.axis]
        self.small = self.base.numel() < 2**14 or self.base.is_cuda
        if half:
            self.base, self.step = self.base.bfloat16(), self.step.bfloat16()

    def fill(self, out: Tensor, steps: list[float], relu: bool) -> Tensor:
        """Write the (P, F, N) values, after a ReLU if asked."""
        if self.small:
            out = along(self.base, self.step, steps)
            return out.relu_() if relu else out
        fused = getattr(torch, "_add_relu", None) if relu else None
        fused = None if out.dtype == torch.bfloat16 else fused
        if fused is not None and not self._tame(steps):
            fused = None
        for i, s in enumerate(steps):
            if fused is not None:
                fused(self.base, self.step, alpha=s, out=out[i])
            else:
                torch.add(self.base, self.step, alpha=s, out=out[i])
                if relu:
                    out[i].relu_()
        return out

    def _tame(self, steps: list[float]) -> bool:
        if not hasattr(self, "largest"):
            largest = torch.stack(
                [self.base.abs().max(), self.step.abs().max()]
            )
            self.largest = largest.tolist()
        reach = max(abs(s) for s in steps)
        return self.largest[0] + reach * self.largest[1] < HUGE
