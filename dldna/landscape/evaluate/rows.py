"""The operations of a perceptron on a tile, for a row of points."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx

from dldna.landscape.evaluate import graph as gr
from dldna.landscape.evaluate.affine import Affine, Weights
from dldna.landscape.evaluate.crossings import along_row, tame
from dldna.landscape.evaluate.graph import Unsupported
from dldna.landscape.evaluate.row import Row, combined


class Tile(NamedTuple):
    """What is computed once for a tile of images.

    Args:
        inputs: values of the nodes that do not depend on the point.
        first: products of first layers with the data, (N, F) per term.
    """

    inputs: dict[fx.Node, Any]
    first: dict[fx.Node, list[Tensor]]


def tile(way: Any, batch: Any) -> Tile:
    """Evaluate the fixed nodes and the first layers' products."""
    given, values = way.graph.inputs(batch), {}
    for node in way.program.fixed:
        if node.op == "placeholder":
            if node.target in given:
                values[node] = given[node.target]
            continue
        args, kwargs = fx.node.map_arg(
            (node.args, node.kwargs), values.__getitem__
        )
        if node.op == "call_function":
            values[node] = node.target(*args, **kwargs)
        elif node.op == "call_method":
            values[node] = getattr(args[0], node.target)(*args[1:], **kwargs)
        else:
            values[node] = way.graph.run(node, way.at_origin, args, kwargs)
    points = [way.subspace.origin, *way.subspace.directions]
    first = {}
    for step in way.program.steps:
        if step.kind != "first":
            continue
        x = values[step.node.args[0]]
        if x.ndim != 2:
            raise Unsupported("a linear layer on more than features")
        names = way.names[step.node]
        first[step.node] = [_product(x, names, p) for p in points]
    return Tile(values, first)


def _product(x: Tensor, names: dict[str, str], point) -> Tensor:
    z = x @ point[names["weight"]].t()
    return z.add_(point[names["bias"]]) if "bias" in names else z


class Run:
    """The operations of the model on one tile, for a row of points.

    Args:
        way: the way that asks.
        weights: gives all that moves; all but the weights that crossings
            need, if asked with True.
        row: the points.
        tile: the images.
    """

    def __init__(
        self,
        way: Any,
        weights: Callable[[bool], Weights],
        row: Row,
        tile: Tile,
    ):
        self.way, self.row, self.tile = way, row, tile
        self.crossed = self._crossed() if way.crosses(row) else {}
        self.weights = weights(bool(self.crossed))
        skipped = {way.program.folds[node] for node in self.crossed}
        self.first = {
            node: Affine(terms, row, way.half)
            for node, terms in tile.first.items()
            if node not in skipped
        }

    def _crossed(self) -> dict[fx.Node, Tensor]:
        """(P, N, M) sums of each layer after a ReLU, if numbers are tame."""
        found, row = {}, self.row
        for node, first in self.way.program.folds.items():
            name = self.way.names[node]["weight"]
            ends = []
            for terms in (self.tile.first[first], self.way.terms(name)):
                ends += [combined(terms, row.fixed), terms[1 + row.axis]]
            if not tame(*ends):
                return {}
            found[node] = along_row(*ends, row.steps)
        return found

    def __call__(self, part: slice) -> Tensor:
        """Logits (P, C, N) for part of the row's points.

        The next call may write over them.
        """
        self.part, self.at = part, self.weights(part)
        values: dict[fx.Node, Tensor] = {}
        for node, kind, relu in self.way.program.steps:
            if node in self.first:
                value = self._first(node)
            elif node in self.crossed:
                value = self._after(node)
            elif kind == "pointwise":
                value = self._pointwise(node, values)
            elif kind == "first" or node.args[0] not in values:
                continue  # inside a crossing
            else:
                value = getattr(self, f"_{kind}")(node, values[node.args[0]])
            values[node] = value.relu_() if relu else value
        return values[self.way.program.output]

    def _of(self, node: fx.Node, name: str) -> Tensor | None:
        full = self.way.names[node].get(name)
        return None if full is None else self.at[full]

    def _same(self, node: fx.Node, x: Tensor) -> Tensor:
        return x

    def _first(self, node: fx.Node) -> Tensor:
        affine = self.first[node]
        shape = (self.part.stop - self.part.start, *affine.base.shape)
        out = self.way.buffer(node.name, shape, affine.base.dtype)
        return affine(self.part, out).transpose(1, 2)

    def _after(self, node: fx.Node) -> Tensor:
        out, bias = self.crossed[node][self.part], self._of(node, "bias")
        if self.way.half:
            out = out.bfloat16()
        out = out if bias is None else out.add_(bias.unsqueeze(1))
        return out.transpose(1, 2)

    def _linear(self, node: fx.Node, x: Tensor) -> Tensor:
        weight, bias = self._of(node, "weight"), self._of(node, "bias")
        shape = (len(x), weight.shape[1], x.shape[2])
        out = self.way.buffer(node.name, shape, x.dtype)
        if bias is None:
            return torch.bmm(weight, x, out=out)
        return torch.baddbmm(bias.unsqueeze(2), weight, x, out=out)

    def _prelu(self, node: fx.Node, x: Tensor) -> Tensor:
        slope = self._of(node, "weight").unsqueeze(2)
        return torch.where(x > 0, x, slope * x)

    def _norm(self, node: fx.Node, x: Tensor) -> Tensor:
        mean = self._of(node, "running_mean")
        if mean is None:
            raise Unsupported("batch norm without running statistics")
        eps = self.way.graph.modules[node.target].eps
        scale = torch.rsqrt(self._of(node, "running_var").clamp_min(0) + eps)
        weight, bias = self._of(node, "weight"), self._of(node, "bias")
        scale = scale if weight is None else scale * weight
        shift = -mean * scale
        shift = shift if bias is None else shift + bias
        shift, scale = (t.to(x.dtype).unsqueeze(2) for t in (shift, scale))
        return torch.addcmul(shift, x, scale)

    def _pointwise(self, node: fx.Node, values) -> Tensor:
        args, kwargs = fx.node.map_arg(
            (node.args, node.kwargs), values.__getitem__
        )
        kwargs = {k: v for k, v in kwargs.items() if k != "inplace"}
        if node.op == "call_module":
            module = self.way.graph.modules[node.target]
            if getattr(module, "inplace", False):
                args = (args[0].clone(),)
            return module(*args)
        if gr.writes(node):
            args = (args[0].clone(), *args[1:])
        if node.op == "call_function":
            return node.target(*args, **kwargs)
        return getattr(args[0], node.target)(*args[1:], **kwargs)
