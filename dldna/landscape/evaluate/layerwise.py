"""One point of the plane: its parameters, and the graph's values there."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn

from dldna.landscape.evaluate import graph as gr
from dldna.landscape.evaluate.analysis import Plan, has_tensors
from dldna.landscape.evaluate.attention import encode
from dldna.landscape.evaluate.front import Front
from dldna.landscape.evaluate.graph import Unsupported
from dldna.landscape.evaluate.layer_forms import Form
from dldna.landscape.evaluate.layers import Layer
from dldna.landscape.evaluate.pooling import max_pool
from dldna.landscape.evaluate.row import Row, combined


@dataclass
class Point:
    """One point of the plane.

    Args:
        way: the way that asks for it.
        plan: the rearranged graph.
        point: its coordinates.
        row: the row it belongs to.
        index: its place in the row.
        bases: what is kept for the row: weights, and outputs of first
            layers, at its fixed coordinates.
    """

    way: Any
    plan: Plan
    point: list[float]
    row: Row
    index: int
    bases: dict[Any, Any]
    formed: dict[Any, Any] = field(default_factory=dict)
    done: set[fx.Node] = field(default_factory=set)  # pools already taken

    @classmethod
    def at_origin(cls, way: Any) -> "Point":
        """The point that all else is measured from."""
        still = [0.0] * len(way.subspace.directions)
        return cls(way, way.plan, still, Row((), still, 0, []), 0, {})

    def plain(self, node: fx.Node, values: dict[fx.Node, Any]) -> Any:
        """The value of a node as it stands in the graph."""
        if node.op == "get_attr":
            return self._attribute(node)
        if node.op == "call_module":
            module = self.plan.graph.modules[node.target]
            if has_tensors(module):
                return self._module(node, module, values)
        return self.way.call(node, values)

    def value(self, terms: list[Tensor]) -> Tensor:
        """The sum of some terms at this point."""
        return combined(terms, self.point) if len(terms) > 1 else terms[0]

    def moved(self, key: Any, terms: list[Tensor]) -> Tensor:
        """The same, with what the row has in common kept for the row."""
        if len(terms) == 1 or len(self.row.steps) == 1:
            return self.value(terms)
        if key not in self.bases:
            self.bases[key] = combined(terms, self.row.fixed)
        base, step = self.bases[key], self.row.steps[self.index]
        if step == 0:
            return base
        return torch.add(base, terms[1 + self.row.axis], alpha=step)

    def tensor(self, name: str) -> Tensor:
        """A parameter or buffer at this point."""
        if name not in self.formed:
            value = self.value(self.plan.terms[name])
            if self.way.half and value.is_floating_point():
                value = value.bfloat16()
            if len(self.way.batches) == 1:
                return value  # not needed again, and as large as the model
            self.formed[name] = value
        return self.formed[name]

    def run(self, b: int, batch: Any) -> Any:
        """The model's output on a batch."""
        plan, graph = self.plan, self.plan.graph
        values = dict(self.way.inputs(b, batch))
        owned: set[fx.Node] = set()
        self.done.clear()
        for node in graph.nodes:
            if node in plan.fixed or node.op == "placeholder":
                continue
            if node.op == "output":
                return fx.node.map_arg(node.args[0], lambda n: values[n])
            value, fresh = self._node(node, values, owned, b)
            if node in plan.rectify and node not in self.done:
                value = value.relu_() if fresh else value.relu()
                fresh = True
            values[node] = value
            if fresh:
                owned.add(node)
            for gone in plan.dead[node]:
                if gone not in plan.fixed:
                    values.pop(gone, None)
        raise Unsupported("the graph has no output")

    def _node(self, node, values, owned, b) -> tuple[Any, bool]:
        """A node's value, and whether nobody else holds its memory."""
        plan, graph = self.plan, self.plan.graph
        if node in plan.skipped:
            origin = plan.skipped[node]
            return values[origin], self._last(origin, node, owned)
        if node in plan.layers:
            return self._layer(node, values, b), True
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
        if node in plan.copying and values[node.args[0]].shape[2:] == (1, 1):
            return values[node.args[0]], False
        if node in plan.flat:
            x = values[node.args[0]]
            plan.flat[node].pixels = turned = _turned(x)
            if turned:
                x = x.permute(0, 2, 3, 1)
            return x.flatten(1), False
        if node in self.done:
            source = node.args[0]
            return values[source], self._last(source, node, owned)
        size = plan.pools.get(node)
        if size is not None and values[node.args[0]].ndim == 4:
            return max_pool(values[node.args[0]], size), size != (1, 1)
        return self.plain(node, values), False

    def _last(self, source: fx.Node, node: fx.Node, owned) -> bool:
        return source in owned and source in self.plan.dead[node]

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
        plan = self.plan
        layer, source = plan.layers[node], node.args[0]
        x = values[source]
        if source in plan.fixed and layer.constant(self.way):
            return self._first(layer, node, x, b)
        form = layer.form(x)
        y = self._applied(layer, form, x)
        if form.kind == "fewer" and not bool(y.sum().isfinite()):
            # differences of infinite numbers would be NaN
            y = self._applied(layer, layer.form(x, fewer=False), x)
        return y

    def _applied(self, layer: Layer, form: Form, x: Tensor) -> Tensor:
        key = (layer, form)
        made = self.formed.get(key) or layer.at(self, form)
        if len(self.way.batches) > 1:
            self.formed[key] = made
        return layer.apply(self.way, form, x, *made)

    def _first(self, layer: Layer, node, x: Tensor, b: int) -> Tensor:
        """A first layer's output: linear in the coordinates.

        A max-pooling right after it takes the largest of a few whole
        tensors, one for each place in its window.
        """
        way, pool = self.way, self.plan.windowed[node]
        size = self.plan.pools.get(pool) if x.ndim == 4 else None
        terms = layer.products(b, x, way, size)
        if terms is None:
            return self._applied(layer, layer.form(x), x)
        if size is not None:
            self.done.add(pool)
            if (b, node) not in self.bases:
                rectify = pool in self.plan.rectify
                self.bases[b, node] = Front(way, terms, self.row, rectify)
            return self.bases[b, node](self.index).permute(0, 3, 1, 2)
        if (b, node) not in self.bases:
            self.bases[b, node] = combined(terms, self.row.fixed)
        base, step = self.bases[b, node], terms[1 + self.row.axis]
        made = self.way.scratch(base.shape, base, node)
        alpha = self.row.steps[self.index]
        return torch.add(base, step, alpha=alpha, out=made)

    def _attribute(self, node: fx.Node) -> Any:
        name = self.plan.graph.first_name.get(node.target)
        if name is None:
            return gr.fetch(self.plan.subspace.twin, node.target)
        return self.tensor(name)

    def _module(self, node: fx.Node, module: nn.Module, values) -> Any:
        """A module of its own kind, with its parameters at this point."""
        args, kwargs = fx.node.map_arg(
            (node.args, node.kwargs), lambda n: values[n]
        )

        def at(name: str) -> Tensor:
            return self.tensor(self.plan.graph.parameter(node.target, name))

        if node in self.plan.encoders and args[0].ndim == 3:
            return encode(module, args[0], at)
        return self.plan.graph.run(node, self.tensor, args, kwargs)


def _turned(x: Tensor) -> int:
    """Pixels of images whose memory has the channels last, else 0."""
    last = x.ndim == 4 and not x.is_contiguous()
    last = last and x.is_contiguous(memory_format=torch.channels_last)
    return x.shape[2] * x.shape[3] if last else 0
