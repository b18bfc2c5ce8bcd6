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
from torch import Tensor, fx, nn

from dldna import batches as bt
from dldna.landscape.evaluate import graph as gr
from dldna.landscape.evaluate.graph import Graph, Unsupported
from dldna.landscape.evaluate.losses import add_losses, joined, per_sample
from dldna.landscape.evaluate.plane import Row, along, combined, rows
from dldna.landscape.evaluate.task import Task, Total, Values

TILE = 256  # images
CACHE = 10 * 2**20  # bytes of activations that are worked on at once
ROW = 64  # points
HUGE = 1e30  # beyond this the fused add-and-ReLU would cut off infinity


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
        weights = _Weights(self, row)
        for b, batch in enumerate(self.batches):
            n = bt.size(batch)
            tiles = [
                self._tile(weights, row, (b, i), bt.cut(batch, i, i + TILE))
                for i in range(0, n, TILE)
            ]
            logits = tiles[0] if len(tiles) == 1 else torch.cat(tiles, 2)
            add_losses(total, row.at, logits, batch, self.kind)

    def _tile(self, weights: "_Weights", row: Row, key, batch) -> Tensor:
        """Logits (P, C, N) of a row of points on one tile of images."""
        run = _Run(self, weights, row, key, batch)
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


class _Weights:
    """All parameters at the points of a row, formed when first asked."""

    def __init__(self, path: Mlp, row: Row):
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


class _Affine:
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


class _Run:
    """The operations of the model on one tile, for a row of points."""

    def __init__(self, path: Mlp, weights: _Weights, row: Row, key, batch):
        self.path, self.weights, self.row, self.key = path, weights, row, key
        self.shared: dict[fx.Node, Any] = {}
        self.affine: dict[fx.Node, _Affine] = {}
        self.n = bt.size(batch)
        given = path.graph.inputs(batch)
        for node in path.graph.nodes:
            self._share(node, given)

    def _share(self, node: fx.Node, given: dict[str, Any]) -> None:
        """Compute what does not depend on the point."""
        graph, task = self.path.graph, self.path.task
        if node.op == "placeholder":
            if node.target in given:
                self.shared[node] = given[node.target]
            return
        moving = [n for n in node.all_input_nodes if n not in self.shared]
        if node.op in ("output", "get_attr") or moving:
            return
        if node.op == "call_module":
            module = graph.modules[node.target]
            if type(module) is nn.Linear:
                x = self.shared[node.args[0]]
                if x.ndim != 2:
                    raise Unsupported("a linear layer on more than features")
                terms = self.path.products(self.key, node, x)
                self.affine[node] = _Affine(terms, self.row, self.path.half)
                return
            if any(True for _ in module.parameters()) or any(
                True for _ in module.buffers()
            ):
                raise Unsupported(f"{type(module).__name__} on the data")
        args, kwargs = fx.node.map_arg(
            (node.args, node.kwargs), lambda n: self.shared[n]
        )
        if node.op == "call_function":
            self.shared[node] = node.target(*args, **kwargs)
        elif node.op == "call_method":
            self.shared[node] = getattr(args[0], node.target)(
                *args[1:], **kwargs
            )
        else:
            self.shared[node] = task.model.get_submodule(node.target)(
                *args, **kwargs
            )

    def __call__(self, part: slice) -> Tensor:
        """Logits (P, C, N) for part of the row's points."""
        self.part, self.steps = part, self.row.steps[part]
        values: dict[fx.Node, Tensor] = {}
        rectified: set[fx.Node] = set()
        graph = self.path.graph
        for node in graph.nodes:
            if node in self.shared or node.op in ("placeholder", "get_attr"):
                continue
            if node.op == "output":
                return self._output(node, values)
            ahead = next(iter(node.users), None)
            relu = (
                graph.users[node] == 1
                and ahead.op != "output"
                and gr.is_relu(graph, ahead)
            )
            if node in self.affine:
                values[node] = self._first(node, relu)
            elif node in rectified:
                values[node] = values[node.args[0]]
                relu = False
            else:
                values[node] = self._step(node, values, relu)
                relu = (
                    relu
                    and node.op == "call_module"
                    and (type(graph.modules[node.target]) is nn.Linear)
                )
            if relu:
                rectified.add(ahead)
        raise Unsupported("the graph has no output")

    def _output(self, node: fx.Node, values) -> Tensor:
        if not isinstance(node.args[0], fx.Node):
            raise Unsupported("the output is not one tensor")
        out = values.get(node.args[0])
        if out is None:
            raise Unsupported("the output does not depend on the parameters")
        out = out.float() if self.path.half else out
        # the buffer that holds it is written again by the next part
        return out.clone() if len(self.row.steps) > len(out) else out

    def _first(self, node: fx.Node, relu: bool) -> Tensor:
        affine = self.affine[node]
        shape = (len(self.steps), *affine.base.shape)
        out = self.path.buffer(node.name, shape, affine.base.dtype)
        return affine.fill(out, self.steps, relu)

    def _step(self, node: fx.Node, values, relu: bool) -> Tensor:
        graph = self.path.graph
        if node.op == "call_module":
            module = graph.modules[node.target]
            x = values.get(node.args[0])
            if type(module) is nn.Linear:
                return self._linear(node, x, relu)
            if type(module) is nn.BatchNorm1d:
                return self._norm(node, module, x)
            if type(module) is nn.PReLU:
                slope = self._of(node, "weight").unsqueeze(2)
                return torch.where(x > 0, x, slope * x)
            if type(module) is nn.Flatten and module.start_dim == 1:
                return x
        if gr.is_nothing(graph, node):
            return values[node.args[0]]
        if word_is_flatten(node):
            return values[node.args[0]]
        if not gr.is_pointwise(graph, node):
            raise Unsupported(f"{node.format_node()}")
        return self._pointwise(node, values)

    def _pointwise(self, node: fx.Node, values) -> Tensor:
        def value(n: fx.Node):
            if n not in values:
                raise Unsupported("data and activations are mixed")
            return values[n]

        args, kwargs = fx.node.map_arg((node.args, node.kwargs), value)
        kwargs = {k: v for k, v in kwargs.items() if k != "inplace"}
        if node.op == "call_function":
            if gr.writes(node):
                args = (args[0].clone(), *args[1:])
            return node.target(*args, **kwargs)
        if node.op == "call_method":
            if gr.writes(node):
                args = (args[0].clone(), *args[1:])
            return getattr(args[0], node.target)(*args[1:], **kwargs)
        module = self.path.graph.modules[node.target]
        if getattr(module, "inplace", False):
            args = (args[0].clone(),)
        return module(*args)

    def _of(self, node: fx.Node, name: str) -> Tensor | None:
        formed = self.weights(node.target, name)
        if formed is None or len(formed) == 1:
            return formed
        return formed[self.part]

    def _linear(self, node: fx.Node, x: Tensor, relu: bool) -> Tensor:
        weight, bias = self._of(node, "weight"), self._of(node, "bias")
        weight = weight.expand(len(x), -1, -1)
        shape = (len(x), weight.shape[1], x.shape[2])
        out = self.path.buffer(node.name, shape, x.dtype)
        torch.bmm(weight, x, out=out)
        if bias is not None:
            out.add_(bias.unsqueeze(2))
        return out.relu_() if relu else out

    def _norm(self, node: fx.Node, module, x: Tensor) -> Tensor:
        mean, var = (
            self._of(node, "running_mean"),
            self._of(node, "running_var"),
        )
        if mean is None:
            raise Unsupported("batch norm without running statistics")
        scale = torch.rsqrt(var + module.eps)
        weight, bias = self._of(node, "weight"), self._of(node, "bias")
        scale = scale if weight is None else scale * weight
        shift = -mean * scale
        shift = shift if bias is None else shift + bias
        return torch.addcmul(shift.unsqueeze(2), x, scale.unsqueeze(2))


def word_is_flatten(node: fx.Node) -> bool:
    """Whether a node is ``flatten(1)`` of what is (images, features)."""
    start = node.kwargs.get("start_dim", (*node.args, 0)[1])
    return gr.word(node) == "flatten" and start == 1


def _widest(graph: Graph) -> int:
    layers = [m for m in graph.modules.values() if type(m) is nn.Linear]
    if not layers:
        raise Unsupported("there is no linear layer")
    return max(m.out_features for m in layers)
