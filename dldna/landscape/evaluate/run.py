"""The operations of a perceptron on a tile, for a row of points."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn

from dldna.landscape.evaluate import graph as gr
from dldna.landscape.evaluate.analysis import has_tensors
from dldna.landscape.evaluate.graph import Unsupported
from dldna.landscape.evaluate.moving import Affine, Weights
from dldna.landscape.evaluate.plane import Row

HOT = 2 * 2**20  # bytes of a first layer that are used while in cache


class Later(NamedTuple):
    """A first layer's output that the next linear layer makes for itself.

    It is by far the largest array. Made for a few points at a time, right
    before the product that uses it, it never leaves the cache.

    Args:
        node: the first layer.
        relu: whether a ReLU follows at once.
        then: operations on single numbers after that.
    """

    node: fx.Node
    relu: bool
    then: list[fx.Node]


class Run:
    """The operations of the model on one tile, for a row of points."""

    def __init__(self, path: Any, weights: Weights, row: Row, key, batch):
        self.path, self.weights, self.row, self.key = path, weights, row, key
        self.shared: dict[fx.Node, Any] = {}
        self.affine: dict[fx.Node, Affine] = {}
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
                self.affine[node] = Affine(terms, self.row, self.path.half)
                return
            if has_tensors(module):
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
        values: dict[fx.Node, Any] = {}
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
                if gr.chain(graph, node) is not None:
                    values[node] = Later(node, relu, [])
                else:
                    values[node] = self._first(node, relu)
            elif node in rectified:
                values[node] = values[node.args[0]]
                relu = False
            elif (later := self._later(node, values)) is not None:
                values[node] = later
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
        # the buffer that holds it is written again by the next pass
        return out.clone()

    def _first(
        self, node: fx.Node, relu: bool, steps: list[float] | None = None
    ) -> Tensor:
        affine = self.affine[node]
        steps = self.steps if steps is None else steps
        shape = (len(steps), *affine.base.shape)
        out = self.path.buffer(node.name, shape, affine.base.dtype)
        return affine.fill(out, steps, relu)

    def _later(self, node: fx.Node, values) -> Later | None:
        """A first layer with one more operation, if it can wait."""
        x = values.get(node.all_input_nodes[0])
        if not isinstance(x, Later) or gr.is_linear(self.path.graph, node):
            return None
        return x._replace(then=[*x.then, node])

    def _made(self, later: Later, steps: list[float]) -> Tensor:
        x = self._first(later.node, later.relu, steps)
        for node in later.then:
            x = self._pointwise(node, dict.fromkeys(node.all_input_nodes, x))
        return x

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
        count = len(self.steps)
        weight = weight.expand(count, -1, -1)
        if isinstance(x, Later):
            base = self.affine[x.node].base
            out = self._out(node, weight, base)
            cell = base.numel() * base.element_size()
            group = max(1, HOT // cell)
            for i in range(0, count, group):
                some = slice(i, min(i + group, count))
                made = self._made(x, self.steps[some])
                torch.bmm(weight[some], made, out=out[some])
        else:
            out = self._out(node, weight, x)
            torch.bmm(weight, x, out=out)
        if bias is not None:
            out.add_(bias.unsqueeze(2))
        return out.relu_() if relu else out

    def _out(self, node: fx.Node, weight: Tensor, x: Tensor) -> Tensor:
        shape = (*weight.shape[:2], x.shape[-1])
        return self.path.buffer(node.name, shape, x.dtype)

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
