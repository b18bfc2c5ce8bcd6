"""The way for multilayer perceptrons: many points in one pass.

The products of the first layer's weights with the data are linear in the
coordinates: for weights W0 + a D1 + b D2 they are

    X W0^T + a X D1^T + b X D2^T,

three matrices that are computed once for the plane, and along a row of the
grid only one addition is left of the first layer, which usually holds
nearly all of the arithmetic. A few points go through the network together:
their weights are formed, and multiplied in batches with activations kept as
(points, features, images), in tiles of images. How many is a compromise:
more points cost fewer calls, fewer points stay in cache.

Where a ReLU and a second linear layer follow, a long row costs only the
crossings of the hidden units (:mod:`dldna.landscape.evaluate.crossings`).
"""

import math
from collections import Counter
from functools import cache
from itertools import chain
from typing import Any

import torch
from torch import Tensor, fx, nn

from dldna import batches as bt
from dldna.landscape.evaluate.affine import Moving, Weights
from dldna.landscape.evaluate.crossings import LONGEST, pays
from dldna.landscape.evaluate.evaluator import Values
from dldna.landscape.evaluate.graph import Graph
from dldna.landscape.evaluate.losses import add_losses, joined, per_sample
from dldna.landscape.evaluate.program import Program
from dldna.landscape.evaluate.row import Row, rows
from dldna.landscape.evaluate.rows import Run, Tile, tile
from dldna.landscape.evaluate.subspace import Subspace
from dldna.landscape.evaluate.total import Total

TILE = 256  # images
HOT = 2 * 2**20  # bytes of the widest activations at once, per thread
ROW = 64  # points
TENSORS = ("weight", "bias", "running_mean", "running_var")


def perceptron(model: nn.Module) -> bool:
    """Whether all that a model has to learn is of a kind known here."""
    kinds = (nn.Linear, nn.BatchNorm1d, nn.PReLU)
    return all(
        type(module) in kinds
        for module in model.modules()
        if next(module.parameters(recurse=False), None) is not None
    )


class Mlp:
    """Many points at once through linear layers and activations.

    Args:
        subspace: what is evaluated.
        memory: bytes it may use.

    Raises:
        Unsupported: the model is something else.
    """

    name = "mlp"

    def __init__(self, subspace: Subspace, memory: float):
        subspace.refuse_statistics_of_data()
        self.subspace = subspace
        self.graph = Graph(subspace)
        self.program = Program(self.graph)
        self.names = {s.node: self._named(s.node) for s in self.program.steps}
        self.moving = self._moving()
        self.kind = per_sample(subspace)
        self.notes: dict[str, Any] = {}
        self.half = subspace.dtype == "bfloat16"
        self.batches = subspace.batches
        if self.kind:
            self.batches = joined(self.batches, TILE)
        item = 8 if subspace.dtype == "float64" else 4
        weights = item * sum(v.numel() for v in subspace.origin.values())
        largest = min(TILE, max(bt.size(b) for b in self.batches))
        self.several = sum(-(-bt.size(b) // TILE) for b in self.batches) > 1
        wide, after = self.program.widest, self.program.widest_after
        # the fewest outputs of a layer that crossings may serve
        self.outputs = min(self._outputs(), default=0)
        longest = LONGEST if self.outputs else ROW
        room = memory / 4 / max(weights, item * largest * after)
        self.row = int(max(1, min(longest, room)))
        hot = min(HOT * torch.get_num_threads(), memory / 4)
        self.at_once = tuple(
            int(max(1, min(ROW, hot / (item * largest * features))))
            for features in (wide, after)
        )
        self.chunk = 16 * self.row
        self._room = memory / 4
        self._tiles: dict[tuple[int, int], Tile] = {}
        self._memory: dict[str, Tensor] = {}
        self._buffers: dict[Any, Tensor] = {}

    def _moving(self) -> tuple[Moving, Moving]:
        """All that moves, and without the weights that crossings need."""
        wanted = Counter(
            name
            for step in self.program.steps
            if step.kind != "first"
            for name in self.names[step.node].values()
        )
        crossed = {self.names[n]["weight"] for n in self.program.folds}
        rest = [n for n in wanted if n not in crossed or wanted[n] > 1]
        return Moving(self.subspace, list(wanted)), Moving(self.subspace, rest)

    def _outputs(self) -> list[int]:
        if self.subspace.device.type != "cpu":
            return []
        modules = self.graph.modules
        return [modules[n.target].out_features for n in self.program.folds]

    def crosses(self, row: Row) -> bool:
        """Whether a row is cheaper by the crossings of its units."""
        threads = torch.get_num_threads()
        if not self.outputs or not pays(row.steps, self.outputs, threads):
            return False
        self.notes["rows"] = "by crossings of hidden units"
        return True

    def terms(self, name: str) -> list[Tensor]:
        """A parameter at the origin, and its step along each direction."""
        subspace = self.subspace
        return [subspace.origin[name], *[d[name] for d in subspace.directions]]

    def at_origin(self, name: str) -> Tensor:
        """A parameter or buffer that no point changes."""
        given = self.subspace
        return (given.origin if name in given.origin else given.buffers)[name]

    def _named(self, node: fx.Node) -> dict[str, str]:
        """Full names of a layer's tensors, for those it has."""
        if node.op != "call_module":
            return {}
        full = {n: self.graph.parameter(node.target, n) for n in TENSORS}
        return {n: name for n, name in full.items() if name is not None}

    def __call__(self, coords: Tensor) -> Values:
        """Loss and metrics at (P, K) coordinates; each (P,) float64."""
        coords = self.subspace.check(coords)
        total = Total(self.subspace, len(coords))
        with torch.no_grad():
            for row in rows(coords, self.row):
                self._row(total, row)
        return total.means()

    def _row(self, total: Total, row: Row) -> None:
        weights = cache(
            lambda crossed: Weights(
                self, self.moving[crossed], row, keep=self.several
            )
        )
        for b, batch in enumerate(self.batches):
            tiles = [
                self._logits(weights, row, self._tile(b, i, batch))
                for i in range(0, bt.size(batch), TILE)
            ]
            logits = tiles[0] if len(tiles) == 1 else torch.cat(tiles, 2)
            add_losses(total, row.at, logits, batch, self.kind)

    def _logits(self, weights, row: Row, images: Tile) -> Tensor:
        """(P, C, N) of a row of points on one tile of images."""
        run, logits = Run(self, weights, row, images), None
        count = len(row.steps)
        at_once = self.at_once[bool(run.crossed)]
        for i in range(0, count, at_once):
            part = slice(i, min(i + at_once, count))
            found = run(part)
            if logits is None:
                dtype = torch.float32 if self.half else found.dtype
                shape = (count, *found.shape[1:])
                logits = found.new_empty(shape, dtype=dtype)
            logits[part] = found
        return logits

    def _tile(self, b: int, start: int, batch: Any) -> Tile:
        """What is computed once for some images; kept while there is room."""
        kept = self._tiles.get((b, start))
        if kept is not None:
            return kept
        made = tile(self, bt.cut(batch, start, start + TILE))
        held = [*made.inputs.values(), *chain(*made.first.values())]
        self._room -= sum(t.nbytes for t in held if torch.is_tensor(t))
        if self._room > 0:
            self._tiles[b, start] = made
        return made

    def buffer(self, name: str, shape: tuple[int, ...], dtype) -> Tensor:
        """Memory for a step's result, used again at the next tile."""
        key = name, shape, dtype
        if key not in self._buffers:
            whole = self._memory.get(name)
            size = math.prod(shape)
            if whole is None or whole.numel() < size or whole.dtype != dtype:
                whole = torch.empty(
                    size, dtype=dtype, device=self.subspace.device
                )
                self._memory[name] = whole
            self._buffers[key] = whole[:size].view(shape)
        return self._buffers[key]
