"""The path for multilayer perceptrons: many points in one pass.

The products of the first layer's weights with the data are linear in the
coordinates: for weights W0 + a D1 + b D2 they are

    X W0^T + a X D1^T + b X D2^T,

three matrices that are computed once for the plane, and along a row of the
grid only one addition is left of the first layer, which usually holds
nearly all of the arithmetic. Deeper weights are formed for a row of points
and multiplied in batches. Activations are kept as (points, features,
images) in tiles of images that stay in cache.
"""

from typing import Any

import torch
from torch import Tensor, fx

from dldna import batches as bt
from dldna.landscape.evaluate.graph import (
    Graph,
    Unsupported,
    chain,
    is_linear,
)
from dldna.landscape.evaluate.losses import add_losses, joined, per_sample
from dldna.landscape.evaluate.moving import Weights
from dldna.landscape.evaluate.plane import Row, rows
from dldna.landscape.evaluate.run import Run
from dldna.landscape.evaluate.task import Task, Total, Values

TILE = 256  # images
CACHE = 10 * 2**20  # bytes of activations that are worked on at once
ROW = 64  # points


class Mlp:
    """Many points at once through linear layers and activations.

    Args:
        task: what is evaluated.
        memory: bytes it may use.

    Raises:
        Unsupported: the model is something else.
    """

    name = "mlp"

    def __init__(self, task: Task, memory: float):
        if task.statistics not in ("eval", "interpolate"):
            raise Unsupported(f"statistics={task.statistics!r}")
        self.task = task
        self.graph = Graph(task)
        self.kind = per_sample(task)
        self.notes: dict[str, Any] = {}
        self.half = task.precision == "bfloat16"
        self.widest = _widest(self.graph)
        self.batches = task.batches
        if self.kind:
            self.batches = joined(self.batches, TILE)
        item = 8 if task.precision == "float64" else 4
        weights = item * sum(v.numel() for v in task.origin.values())
        self.row = int(max(1, min(ROW, memory / 4 / weights)))
        largest = max(bt.size(b) for b in self.batches)
        cell = item * self.widest * min(TILE, largest)
        self.at_once = int(max(1, min(ROW, CACHE / cell, memory / 4 / cell)))
        self.chunk = 16 * self.row
        self._kept: dict[tuple[int, str], list[Tensor]] = {}
        self._room = memory / 4
        self._buffers: dict[str, Tensor] = {}

    def __call__(self, coords: Tensor) -> Values:
        """Loss and metrics at (P, K) coordinates; each (P,) float64."""
        coords = self.task.check(coords)
        total = Total(self.task, len(coords))
        with torch.no_grad():
            for row in rows(coords, self.row):
                self._row(total, row)
        return total.means()

    def _row(self, total: Total, row: Row) -> None:
        weights = Weights(self, row)
        for b, batch in enumerate(self.batches):
            n = bt.size(batch)
            tiles = [
                self._tile(weights, row, (b, i), bt.cut(batch, i, i + TILE))
                for i in range(0, n, TILE)
            ]
            logits = tiles[0] if len(tiles) == 1 else torch.cat(tiles, 2)
            add_losses(total, row.at, logits, batch, self.kind)

    def _tile(self, weights: Weights, row: Row, key, batch) -> Tensor:
        """Logits (P, C, N) of a row of points on one tile of images."""
        run = Run(self, weights, row, key, batch)
        count = len(row.steps)
        parts = [
            run(slice(i, min(i + self.at_once, count)))
            for i in range(0, count, self.at_once)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def buffer(self, name: str, shape: tuple[int, ...], dtype) -> Tensor:
        """Memory for a step's result, used again at the next tile."""
        size = shape[0] * shape[1] * shape[2]
        kept = self._buffers.get(name)
        if kept is None or kept.numel() < size or kept.dtype != dtype:
            kept = torch.empty(size, dtype=dtype, device=self.task.device)
            self._buffers[name] = kept
        return kept[:size].view(shape)

    def products(self, key, node: fx.Node, x: Tensor) -> list[Tensor]:
        """First-layer products with a tile: one (F, N) per term."""
        kept = self._kept.get((*key, node.name))
        if kept is not None:
            return kept
        x, task = x.t(), self.task
        made = []
        for i, point in enumerate([task.origin, *task.directions]):
            weight, bias = self.named(node, point)
            z = weight @ x
            made.append(z if bias is None else z.add_(bias.unsqueeze(1)))
            self._room -= made[i].numel() * made[i].element_size()
        if self._room > 0:
            self._kept[(*key, node.name)] = made
        return made

    def named(self, node: fx.Node, point, names=("weight", "bias")):
        """A layer's tensors at a point; None for those it lacks."""
        full = [self.graph.parameter(node.target, n) for n in names]
        return [None if f is None else point.get(f) for f in full]


def _widest(graph: Graph) -> int:
    layers = [n for n in graph.nodes if is_linear(graph, n)]
    if not layers:
        raise Unsupported("there is no linear layer")
    wide = [
        graph.modules[n.target].out_features
        for i, n in enumerate(layers)
        if i or chain(graph, n) is None  # or it is made a little at a time
    ]
    return max(wide)
