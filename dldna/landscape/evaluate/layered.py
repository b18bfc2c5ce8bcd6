"""The path for networks in general: layer by layer, one point at a time.

The model's graph of operations is walked with four savings, none of which
changes a result by more than rounding:

- Parameters of a point are formed layer by layer while they are needed,
  never as a whole copy.
- Batch norm with running statistics is folded into the layer before it,
  weights and directions alike where its own parameters do not move.
- The first layer's outputs are linear in the coordinates: computed once
  for the plane, a point costs one addition.
- Images go through in tiles that stay in cache, channels last, and ReLU
  and residual additions write in place.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn

from dldna import batches as bt
from dldna import params
from dldna.landscape.evaluate import graph as gr
from dldna.landscape.evaluate.attention import encode, known
from dldna.landscape.evaluate.graph import Graph, Unsupported
from dldna.landscape.evaluate.layers import CONVS, Layer
from dldna.landscape.evaluate.losses import (
    add_losses,
    add_one,
    joined,
    per_sample,
)
from dldna.landscape.evaluate.plane import Row, combined, rows
from dldna.landscape.evaluate.pooling import copies, max_pool, window
from dldna.landscape.evaluate.slow import forward
from dldna.landscape.evaluate.task import Task, Total, Values

CACHE = 4 * 2**20  # bytes of the largest activation of a tile
WEIGHTS = 2**18  # bytes of weights that an image should pay for
ROW = 64 * 2**20  # bytes of formed weights for a row of points
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Layered:
    """One point at a time through a rearranged graph.

    Args:
        task: what is evaluated.
        memory: bytes it may use.

    Raises:
        Unsupported: the model cannot be traced.
    """

    name = "layered"

    def __init__(self, task: Task, memory: float):
        if task.statistics == "recalibrate":
            raise Unsupported("statistics are recomputed at each point")
        self.task = task
        self.notes: dict[str, Any] = {}
        weights = sum(v.nbytes for v in task.origin.values())
        self.chunk = int(max(1, min(64, ROW / weights, memory / 8 / weights)))
        self.light = self.chunk > 1
        self.half = task.precision == "bfloat16"
        self.graph = Graph(task)
        self.kind = per_sample(task)
        self.room = memory / 4
        self.batches = task.batches
        if task.statistics == "train":
            self.kind = None
        self.shapes = self._shapes()
        self._plan()
        if self.kind:
            self.batches = joined(self.batches, self._tile())
        self.shared: dict[int, dict[fx.Node, Any]] = {}

    # -- the plan: once ------------------------------------------------

    def _plan(self) -> None:
        graph, task = self.graph, self.task
        self.layers: dict[fx.Node, Layer] = {}
        self.skipped: dict[fx.Node, fx.Node] = {}  # value is that of ...
        self.rectify: set[fx.Node] = set()  # apply a ReLU afterwards
        self.dead: dict[fx.Node, list[fx.Node]] = {}
        self.fixed = self._fixed()
        sizes = {n: window(graph, n) for n in graph.nodes}
        self.pools = {n: size for n, size in sizes.items() if size}
        self.copying: set[fx.Node] = set()
        for node in graph.nodes:
            self._plan_node(node)
            if copies(graph, node):
                self.copying.add(node)
        self.encoders = {
            n
            for n in graph.nodes
            if n.op == "call_module"
            and len(n.args) == 1
            and not any(v is not None for v in n.kwargs.values())
            and known(graph.modules[n.target])
        }
        self.windowed = dict(map(self._pooled, self.layers))
        self._scratch: dict[Any, Tensor] = {}
        seen: set[fx.Node] = set()
        for node in reversed(graph.nodes):
            self.dead[node] = [
                n for n in node.all_input_nodes if n not in seen
            ]
            seen.update(node.all_input_nodes)
        self.terms = {
            k: [v, *[d[k] for d in task.directions]]
            for k, v in task.origin.items()
        }
        for k, v in task.buffers.items():
            moves = task.buffer_directions
            moving = bool(moves) and k in moves[0]
            self.terms[k] = [v, *([d[k] for d in moves] if moving else [])]

    def _fixed(self) -> set[fx.Node]:
        """Nodes whose value does not depend on the point."""
        fixed: set[fx.Node] = set()
        for node in self.graph.nodes:
            inside = all(n in fixed for n in node.all_input_nodes)
            if node.op == "call_module":
                module = self.graph.modules[node.target]
                inside &= not _has_tensors(module)
            if node.op in ("get_attr", "output"):
                inside = False
            if inside:
                fixed.add(node)
        return fixed

    def _plan_node(self, node: fx.Node) -> None:
        graph, task = self.graph, self.task
        if node.op != "call_module" or node in self.skipped:
            self._plan_relu(node)
            return
        module = graph.modules[node.target]
        if type(module) is nn.Linear or type(module) in CONVS:
            norm = None
            user = next(iter(node.users), None)
            if graph.users[node] == 1 and user.op == "call_module":
                after = graph.modules[user.target]
                if (
                    type(after) in NORMS
                    and after.running_mean is not None
                    and task.statistics != "train"
                    and (type(module) in CONVS or self._flat(node))
                ):
                    norm = user
                    self.skipped[user] = node
            self.layers[node] = Layer(graph, node, norm)
        self._plan_relu(node)

    def _pooled(self, node: fx.Node) -> tuple[fx.Node, fx.Node | None]:
        """The pool that follows a first layer at once, or None."""
        last, graph = node, self.graph
        while graph.users[last] == 1 and node.args[0] in self.fixed:
            last = next(iter(last.users))
            if last in self.pools:
                return node, last
            if last not in self.skipped:
                break
        return node, None

    def _flat(self, node: fx.Node) -> bool:
        """Whether a module's output is (images, features)."""
        return len(self.shapes.get(node.target, ())) == 2

    def _plan_relu(self, node: fx.Node) -> None:
        """A ReLU before a max-pooling that is its only user comes after."""
        graph = self.graph
        if node in self.fixed or not gr.is_relu(graph, node):
            return
        user = next(iter(node.users), None)
        if graph.users[node] == 1 and user in self.pools:
            self.skipped[node] = node.args[0]
            self.rectify.add(user)

    def _shapes(self) -> dict[str, torch.Size]:
        """Shapes of the modules' outputs for two samples."""
        batch = bt.cut(self.batches[0], 0, 2)
        model, shapes = self.task.model, {}

        def look(name):
            def hook(module, inputs, output):
                if isinstance(output, Tensor):
                    shapes[name] = output.shape

            return hook

        hooks = [
            m.register_forward_hook(look(k)) for k, m in model.named_modules()
        ]
        try:
            with torch.no_grad():
                state = self.task.parameters_at([])
                forward(self.task, state | self.task.buffers_at([]), batch)
        finally:
            for hook in hooks:
                hook.remove()
        return shapes

    def _tile(self) -> int:
        """Images per tile.

        The largest activation should fit the cache; but the more bytes of
        weights are read for each tile, the more images should share them.
        """
        largest = max(s.numel() for s in self.shapes.values()) * 4 // 2
        weights = sum(v.nbytes for v in self.task.origin.values())
        fit = max(CACHE // max(largest, 1), min(512, weights // WEIGHTS), 16)
        pieces = -(-self.task.samples // min(fit, 1024))
        return -(-self.task.samples // pieces)

    # -- running -------------------------------------------------------

    def __call__(self, coords: Tensor) -> Values:
        """Loss and metrics at (P, K) coordinates; each (P,) float64."""
        coords = self.task.check(coords)
        total = Total(self.task, len(coords))
        with torch.no_grad():
            for row in rows(coords, self.chunk):
                self._row(total, row)
        return total.means()

    def _row(self, total: Total, row: Row) -> None:
        bases: dict[tuple[int, fx.Node], Tensor] = {}
        points = []
        for s in row.steps:
            point = list(row.fixed)
            point[row.axis] = s
            points.append(_Point(self, point, row, s, bases))
        if len(self.batches) > 1 and self.light:
            for b, batch in enumerate(self.batches):
                for p, at in zip(row.at, points, strict=True):
                    self._one(total, p, at, b, batch)
            return
        for p, at in zip(row.at, points, strict=True):
            for b, batch in enumerate(self.batches):
                self._one(total, p, at, b, batch)
            at.formed.clear()

    def _one(self, total: Total, p: int, at: "_Point", b: int, batch) -> None:
        """One point on one batch."""
        output = at.run(b, batch)
        if self.half and isinstance(output, Tensor):
            output = output.float()
        if self.kind and output.ndim == 2:
            add_losses(total, [p], output.t()[None], batch, self.kind)
        else:
            add_one(total, p, output, batch)

    def inputs(self, b: int, batch: Any) -> dict[fx.Node, Any]:
        """Values that no point changes, computed once per batch."""
        kept = self.shared.get(b)
        if kept is not None:
            return kept
        graph, values = self.graph, {}
        given = graph.inputs(batch)
        for node in graph.nodes:
            if node.op == "placeholder":
                if node.target in given:
                    values[node] = self._laid_out(given[node.target])
            elif node in self.fixed:
                values[node] = self.call(node, values)
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

    def scratch(self, like: Tensor) -> Tensor:
        """Memory shaped as a tensor, for a value that soon dies."""
        key = like.shape, like.dtype
        if key not in self._scratch:
            self._scratch[key] = torch.empty_like(like)
        return self._scratch[key]

    def call(self, node: fx.Node, values: dict[fx.Node, Any]) -> Any:
        """Run a node that has no parameters."""
        args, kwargs = fx.node.map_arg(
            (node.args, node.kwargs), lambda n: values[n]
        )
        if node.op == "call_module":
            module = self.graph.modules[node.target]
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


@dataclass
class _Point:
    """One point of the plane."""

    path: Layered
    point: list[float]
    row: Row
    step: float
    bases: dict[tuple[int, fx.Node], Tensor]
    formed: dict[Any, Any] = field(default_factory=dict)
    done: set[fx.Node] = field(default_factory=set)  # pools already taken

    def tensor(self, name: str) -> Tensor:
        """A parameter or buffer at this point."""
        if name not in self.formed:
            terms = self.path.terms[name]
            value = terms[0]
            if len(terms) > 1:
                value = combined(terms, self.point)
            if self.path.half and value.is_floating_point():
                value = value.bfloat16()
            self.formed[name] = value
        return self.formed[name]

    def run(self, b: int, batch: Any) -> Any:
        """The model's output on a batch."""
        path, graph = self.path, self.path.graph
        values = dict(path.inputs(b, batch))
        owned: set[fx.Node] = set()
        self.done.clear()
        for node in graph.nodes:
            if node in path.fixed or node.op == "placeholder":
                continue
            if node.op == "output":
                return fx.node.map_arg(node.args[0], lambda n: values[n])
            value, fresh = self._node(node, values, owned, b)
            if node in path.rectify:
                value = value.relu_() if fresh else value.relu()
                fresh = True
            values[node] = value
            if fresh:
                owned.add(node)
            for gone in path.dead[node]:
                if gone not in path.fixed:
                    values.pop(gone, None)
        raise Unsupported("the graph has no output")

    def _node(self, node, values, owned, b) -> tuple[Any, bool]:
        """A node's value, and whether nobody else holds its memory."""
        path, graph = self.path, self.path.graph
        if node in path.skipped:
            origin = path.skipped[node]
            return values[origin], self._last(origin, node, owned)
        if node in path.layers:
            return self._layer(node, values, b), True
        if node.op == "get_attr":
            return self._attribute(node), False
        if gr.is_relu(graph, node):
            x = values[node.args[0]]
            if self._last(node.args[0], node, owned):
                return x.relu_(), True
            return x.relu(), True
        if gr.is_nothing(graph, node):
            source = node.args[0]
            return values[source], self._last(source, node, owned)
        if gr.word(node) in ("add", "iadd") and len(node.args) == 2:
            made = self._sum(node, values, owned)
            if made is not None:
                return made, True
        if node in path.copying and values[node.args[0]].shape[2:] == (1, 1):
            return values[node.args[0]], False
        if node in self.done:
            source = node.args[0]
            return values[source], self._last(source, node, owned)
        size = path.pools.get(node)
        if size is not None and values[node.args[0]].ndim == 4:
            return max_pool(values[node.args[0]], size), size != (1, 1)
        if node.op == "call_module":
            module = graph.modules[node.target]
            if _has_tensors(module):
                return self._module(node, module, values), False
        return path.call(node, values), False

    def _last(self, source: fx.Node, node: fx.Node, owned) -> bool:
        return source in owned and source in self.path.dead[node]

    def _sum(self, node, values, owned) -> Tensor | None:
        if node.kwargs or not all(isinstance(a, fx.Node) for a in node.args):
            return None
        x, y = (values[a] for a in node.args)
        if not (torch.is_tensor(x) and torch.is_tensor(y)):
            return None
        if (
            x.shape != y.shape
            or x.dtype != y.dtype
            or node.args[0] is (node.args[1])
        ):
            return None
        if self._last(node.args[0], node, owned):
            return x.add_(y)
        if self._last(node.args[1], node, owned):
            return y.add_(x)
        return x + y

    def _layer(self, node: fx.Node, values, b: int) -> Tensor:
        path = self.path
        layer, source = path.layers[node], node.args[0]
        x = values[source]
        if source in path.fixed and layer.constant(path):
            return self._first(layer, node, x, b)
        key = (node, layer.form(x))
        if key not in self.formed:
            made = layer.at(self, x)
            if len(path.batches) == 1:
                return layer.apply(x, *made)
            self.formed[key] = made
        return layer.apply(x, *self.formed[key])

    def _first(self, layer: Layer, node, x: Tensor, b: int) -> Tensor:
        """A first layer's output: linear in the coordinates.

        A max-pooling right after it takes the largest of a few whole
        tensors, one for each place in its window.
        """
        path, pool = self.path, self.path.windowed[node]
        size = path.pools.get(pool) if x.ndim == 4 else None
        terms = layer.products(b, x, path, size)
        if terms is None:
            return layer.apply(x, *layer.at(self, x))
        if (b, node) not in self.bases:
            self.bases[b, node] = combined(terms, self.row.fixed)
        base, step = self.bases[b, node], terms[1 + self.row.axis]
        if size is None:
            return torch.add(base, step, alpha=self.step)
        out = path.scratch(base)
        self.done.add(pool)
        torch.add(base, step, alpha=self.step, out=out)
        return out.amax(0).permute(0, 3, 1, 2)

    def _attribute(self, node: fx.Node) -> Any:
        name = self.path.graph.first_name.get(node.target)
        if name is None:
            return gr.fetch(self.path.task.model, node.target)
        return self.tensor(name)

    def _module(self, node: fx.Node, module: nn.Module, values) -> Any:
        """A module of its own kind, with its parameters at this point."""
        args, kwargs = fx.node.map_arg(
            (node.args, node.kwargs), lambda n: values[n]
        )

        def at(name: str) -> Tensor:
            return self.tensor(self.path.graph.parameter(node.target, name))

        if node in self.path.encoders and args[0].ndim == 3:
            return encode(module, args[0], at)
        state = {}
        for name, _ in module.named_parameters():
            state[name] = at(name)
        for name, _ in module.named_buffers():
            state[name] = at(name).clone()
        return params.call(module, state, args, kwargs)


def _has_tensors(module: nn.Module) -> bool:
    return any(True for _ in module.parameters()) or any(
        True for _ in module.buffers()
    )
