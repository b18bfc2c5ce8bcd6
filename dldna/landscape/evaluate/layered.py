"""The way for networks in general: layer by layer, one point at a time.

The model's graph of operations is walked with seven savings, none of which
changes a result by more than rounding:

- Parameters of a point are formed layer by layer while they are needed,
  never as a whole copy.
- What comes before the first layer that moves is computed once.
- Batch norm with running statistics is folded into the layer before it,
  weights and directions alike where its own parameters do not move.
- The first layer's outputs are linear in the coordinates: computed once
  for the plane, a point costs one addition.
- 3x3 convolutions of many channels on small maps take fewer products
  (:mod:`dldna.landscape.evaluate.winograd`).
- A max-pooling after a first layer, and the losses, are worked out for
  several points at once (:mod:`dldna.landscape.evaluate.front`).
- Images go through in tiles that stay in cache, channels last, and ReLU
  and residual additions write in place.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx

from dldna.landscape.evaluate import graph as gr
from dldna.landscape.evaluate.analysis import Plan
from dldna.landscape.evaluate.evaluator import Values
from dldna.landscape.evaluate.graph import Unsupported
from dldna.landscape.evaluate.layerwise import Point
from dldna.landscape.evaluate.losses import (
    add_losses,
    add_one,
    joined,
    per_sample,
)
from dldna.landscape.evaluate.row import Row, rows
from dldna.landscape.evaluate.subspace import Subspace, is_large
from dldna.landscape.evaluate.total import Total

POINTS = 64  # of a row at most
ROW = 64 * 2**20  # bytes of formed weights for a row of points
LOGITS = 2**20  # bytes of outputs whose losses are taken together


class Layered:
    """One point at a time through a rearranged graph.

    Args:
        subspace: what is evaluated.
        memory: bytes it may use.

    Raises:
        Unsupported: the model cannot be traced.

    Attributes:
        foreign: whether layers move that it cannot rearrange.
    """

    name = "layered"

    def __init__(self, subspace: Subspace, memory: float):
        if subspace.statistics == "recalibrate":
            raise Unsupported("statistics are recomputed at each point")
        self.subspace = subspace
        self.notes: dict[str, Any] = {}
        weights = sum(v.nbytes for v in subspace.origin.values())
        fit = min(POINTS, ROW / weights, memory / 8 / weights)
        self.chunk = int(max(1, fit))
        self.large = is_large(subspace)
        self.half = subspace.dtype == "bfloat16"
        self.plan = Plan(subspace)
        self.foreign = self.plan.foreign()
        self.kind = (
            None if subspace.statistics == "train" else per_sample(subspace)
        )
        self.batches = subspace.batches
        if self.kind:
            self.batches = joined(self.batches, self.plan.tile())
        # a batch for all points of a row, or a point for all batches
        self.together = self.chunk > 1 or len(self.batches) == 1
        # formed weights are kept for all batches, what a row shares for it
        alone = len(self.batches) == 1 or self.chunk == 1
        if alone and not self.large and weights <= memory / 8:
            self.chunk = POINTS
        self.room = memory / 4
        self.shared: dict[int, dict[fx.Node, Any]] = {}
        self._scratch: dict[Any, Tensor] = {}

    def __call__(self, coords: Tensor) -> Values:
        """Loss and metrics at (P, K) coordinates; each (P,) float64."""
        coords = self.subspace.check(coords)
        total = Total(self.subspace, len(coords))
        with torch.no_grad():
            for row in rows(coords, self.chunk):
                self._row(total, row)
        return total.means()

    def _row(self, total: Total, row: Row) -> None:
        bases: dict[tuple[int, fx.Node], Any] = {}
        points = []
        for i, s in enumerate(row.steps):
            point = list(row.fixed)
            point[row.axis] = s
            points.append(Point(self, self.plan, point, row, i, bases))
        if self.together:
            for b in range(len(self.batches)):
                self._on(total, row.at, points, b)
                bases.clear()
            return
        for p, at in zip(row.at, points, strict=True):
            for b in range(len(self.batches)):
                self._on(total, [p], [at], b)
            at.formed.clear()

    def _on(self, total: Total, where, points: list[Point], b: int) -> None:
        """Some points on one batch; losses in the same call where they can."""
        batch, waiting = self.batches[b], []
        for p, at in zip(where, points, strict=True):
            output = at.run(b, batch)
            if self.half and isinstance(output, Tensor):
                output = output.float()
            if not self.kind or output.ndim != 2:
                add_one(total, p, output, batch)
                continue
            # its memory may be written over by the next point
            waiting.append((p, output.t().clone()))
            if len(waiting) * output.nbytes > LOGITS or p == where[-1]:
                which, logits = zip(*waiting, strict=True)
                stacked = torch.stack(logits)
                add_losses(total, list(which), stacked, batch, self.kind)
                waiting.clear()

    def inputs(self, b: int, batch: Any) -> dict[fx.Node, Any]:
        """Values that no point changes, computed once per batch."""
        kept = self.shared.get(b)
        if kept is not None:
            return kept
        plan, values = self.plan, {}
        given, left = plan.graph.inputs(batch), dict(plan.inside)
        origin = Point.at_origin(self)
        for node in plan.graph.nodes:
            if node.op == "placeholder":
                if node.target in given:
                    values[node] = self._laid_out(given[node.target])
            elif node in plan.fixed:
                values[node] = origin.plain(node, values)
                for source in node.all_input_nodes:
                    left[source] -= 1
                    if not left[source] and source not in plan.outside:
                        del values[source]
        size = sum(t.nbytes for t in values.values() if torch.is_tensor(t))
        if size < self.room:
            self.room -= size
            self.shared[b] = values
        return values

    def _laid_out(self, value: Any) -> Any:
        if not isinstance(value, Tensor) or not value.is_floating_point():
            return value
        value = value.bfloat16() if self.half else value
        if value.ndim == 4:
            value = value.contiguous(memory_format=torch.channels_last)
        return value

    def memory(self, like: Tensor) -> Callable[..., Tensor]:
        """Gives memory for a shape and a use; without one it may be kept."""

        def empty(shape: tuple[int, ...], use: str = "") -> Tensor:
            if not use and len(self.batches) > 1:
                return like.new_empty(shape)
            return self.scratch(shape, like, use or "kept")

        return empty

    def scratch(
        self, shape: tuple[int, ...], like: Tensor, use: Any = None
    ) -> Tensor:
        """Memory for a value that soon dies, one for each use."""
        key = shape, like.dtype, use
        if key not in self._scratch:
            same = shape == like.shape  # and then in the same layout
            made = torch.empty_like(like) if same else like.new_empty(shape)
            self._scratch[key] = made
        return self._scratch[key]

    def call(self, node: fx.Node, values: dict[fx.Node, Any]) -> Any:
        """Run a node that has no parameters."""
        args, kwargs = fx.node.map_arg(
            (node.args, node.kwargs), lambda n: values[n]
        )
        if node.op == "call_module":
            module = self.plan.graph.modules[node.target]
            if getattr(module, "inplace", False):
                args = (args[0].clone(), *args[1:])
            return module(*args, **kwargs)
        if gr.writes(node):
            args = (args[0].clone(), *args[1:])
        if node.op == "call_method":
            name = "reshape" if node.target == "view" else node.target
            if name == "reshape" and isinstance(args[1], torch.dtype):
                name = "view"
            return getattr(args[0], name)(*args[1:], **kwargs)
        return node.target(*args, **kwargs)
