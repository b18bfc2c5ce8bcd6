"""A perceptron's graph, sorted out once."""

from collections.abc import Iterator
from typing import NamedTuple

from torch import fx, nn

from dldna.landscape.evaluate import graph as gr
from dldna.landscape.evaluate.graph import Graph, Unsupported


class Step(NamedTuple):
    """One operation on the activations of many points.

    Args:
        node: of the graph.
        kind: "first" (a linear layer on the data), "linear", "norm",
            "prelu", "pointwise", or "same" for what passes its input on.
        relu: whether a ReLU follows that may be done in place.
    """

    node: fx.Node
    kind: str
    relu: bool


class Program:
    """What is computed once for the data, and what for every point.

    Args:
        graph: of a subspace's model.

    Attributes:
        fixed: nodes that do not depend on the point, in order.
        steps: all others, in order.
        folds: for a linear layer that has its input from a first layer
            through a ReLU and nothing else, that first layer.
        output: the node whose value is the output.
        widest: features of the widest linear layer.
        widest_after: the same without the first layers in ``folds``.

    Raises:
        Unsupported: the model is something else than linear layers and
            operations on single numbers.
    """

    def __init__(self, graph: Graph):
        self.graph = graph
        self.fixed: list[fx.Node] = []
        self.steps: list[Step] = []
        self.output: fx.Node | None = None
        done: set[fx.Node] = set()
        rectified: set[fx.Node] = set()
        for node in graph.nodes:
            if node.op == "get_attr":
                continue
            if node.op == "output":
                self._end(node, done)
                break
            if node.op == "placeholder" or self._is_fixed(node, done):
                self.fixed.append(node)
                done.add(node)
                continue
            kind = "same" if node in rectified else self._kind(node, done)
            relu = kind in ("first", "linear") and self._before_relu(node)
            if relu:
                rectified.add(next(iter(node.users)))
            self.steps.append(Step(node, kind, relu))
        self.folds = dict(self._folds())
        features = {
            s.node: graph.modules[s.node.target].out_features
            for s in self.steps
            if s.kind in ("first", "linear")
        }
        self.widest = max(features.values(), default=0)
        inside = self.folds.values()
        self.widest_after = max(
            (n for node, n in features.items() if node not in inside),
            default=0,
        )
        if not self.widest:
            raise Unsupported("there is no linear layer")

    def _is_fixed(self, node: fx.Node, done: set[fx.Node]) -> bool:
        before = all(n in done for n in node.all_input_nodes)
        return before and self.graph.stands(node)

    def _kind(self, node: fx.Node, done: set[fx.Node]) -> str:
        graph = self.graph
        if node.op == "call_module":
            module = graph.modules[node.target]
            on_data = node.args[0] in done
            kinds = {
                nn.Linear: "first" if on_data else "linear",
                nn.BatchNorm1d: "norm",
                nn.PReLU: "prelu",
            }
            kind = kinds.get(type(module))
            if on_data and kind != "first":
                raise Unsupported(f"{type(module).__name__} on the data")
            if kind:
                return kind
        if gr.is_nothing(graph, node) or gr.is_flatten(graph, node):
            return "same"
        if not gr.is_pointwise(graph, node):
            raise Unsupported(f"{node.format_node()}")
        if any(n in done for n in node.all_input_nodes):
            raise Unsupported("data and activations are mixed")
        return "pointwise"

    def _before_relu(self, node: fx.Node) -> bool:
        if self.graph.users[node] != 1:
            return False
        ahead = next(iter(node.users))
        return ahead.op != "output" and gr.is_relu(self.graph, ahead)

    def _folds(self) -> Iterator[tuple[fx.Node, fx.Node]]:
        kinds = {s.node: s.kind for s in self.steps}
        for node, kind, relu in self.steps:
            if kind != "first" or not relu:
                continue
            ahead = node
            while self.graph.users[ahead] == 1:
                ahead = next(iter(ahead.users))
                if kinds.get(ahead) == "linear":
                    yield ahead, node
                if kinds.get(ahead) != "same":
                    break

    def _end(self, node: fx.Node, done: set[fx.Node]) -> None:
        if not isinstance(node.args[0], fx.Node):
            raise Unsupported("the output is not one tensor")
        if node.args[0] in done:
            raise Unsupported("the output does not depend on the parameters")
        self.output = node.args[0]
