"""What can be rearranged in a model's graph, found out once."""

import torch
from torch import Tensor, fx, nn

from dldna import batches as bt
from dldna import params
from dldna.landscape.evaluate import graph as gr
from dldna.landscape.evaluate.attention import known
from dldna.landscape.evaluate.graph import Graph
from dldna.landscape.evaluate.layers import CONVS, Layer
from dldna.landscape.evaluate.pooling import copies, fed, window
from dldna.landscape.evaluate.subspace import Subspace

CACHE = 8 * 2**20  # bytes of the largest activation of a tile
WEIGHTS = 2**18  # bytes of weights that an image should pay for
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Plan:
    """The rearrangement of a subspace's graph.

    Attributes:
        graph: the operations, in order.
        fixed: nodes that do not depend on the point.
        inside: how many fixed nodes use each of them.
        outside: fixed nodes that others use.
        layers: linear and convolutional layers, with what is folded in.
        skipped: nodes that pass on the value of another.
        rectify: nodes after which a ReLU is applied.
        pools: windows of max-poolings without overlap.
        windowed: for a first layer, the pooling right after it, or None.
        flat: for a flattening of images, the only layer that it feeds.
        copying: average poolings that may copy a single pixel.
        encoders: transformer encoders that are written out.
        dead: values that nobody needs after a node.
        terms: each parameter's and buffer's tensors at the origin and, if
            it moves, along the directions.
    """

    def __init__(self, subspace: Subspace):
        self.subspace = subspace
        self.graph = Graph(subspace)
        self.shapes = self._shapes()
        self.layers: dict[fx.Node, Layer] = {}
        self.skipped: dict[fx.Node, fx.Node] = {}
        self.rectify: set[fx.Node] = set()
        self.dead: dict[fx.Node, list[fx.Node]] = {}
        self.terms = subspace.terms
        self.fixed = self._fixed()
        graph = self.graph
        self.inside = {
            n: sum(u in self.fixed for u in n.users) for n in self.fixed
        }
        self.outside = {
            n for n in self.fixed if not n.users.keys() <= self.fixed
        }
        sizes = {n: window(graph, n) for n in graph.nodes}
        self.pools = {n: size for n, size in sizes.items() if size}
        self.copying = {n for n in graph.nodes if copies(graph, n)}
        for node in graph.nodes:
            self._node(node)
        self.flat = {
            n: self.layers[fed(graph, n)]
            for n in graph.nodes
            if gr.is_flatten(graph, n) and fed(graph, n) in self.layers
        }
        self.encoders = {
            n
            for n in graph.nodes
            if n.op == "call_module"
            and len(n.args) == 1
            and not any(v is not None for v in n.kwargs.values())
            and known(graph.modules[n.target])
        }
        self.windowed = dict(map(self._pooled, self.layers))
        seen: set[fx.Node] = set()
        for node in reversed(graph.nodes):
            self.dead[node] = [
                n for n in node.all_input_nodes if n not in seen
            ]
            seen.update(node.all_input_nodes)

    def _fixed(self) -> set[fx.Node]:
        """Nodes whose value does not depend on the point.

        Layers are among them whose parameters stand still, so of a network
        of which only the last layers move the front is computed once.
        """
        fixed: set[fx.Node] = set()
        for node in self.graph.nodes:
            inside = all(n in fixed for n in node.all_input_nodes)
            if inside and node.op != "output" and self.graph.stands(node):
                fixed.add(node)
        return fixed

    def _node(self, node: fx.Node) -> None:
        graph, subspace = self.graph, self.subspace
        if node in self.fixed:
            return
        if node.op != "call_module" or node in self.skipped:
            self._relu(node)
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
                    and subspace.statistics != "train"
                    and (type(module) in CONVS or self._flat(node))
                ):
                    norm = user
                    self.skipped[user] = node
            self.layers[node] = Layer(graph, node, norm)
        self._relu(node)

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

    def _relu(self, node: fx.Node) -> None:
        """A ReLU before a max-pooling that is its only user comes after."""
        graph = self.graph
        if not gr.is_relu(graph, node):
            return
        user = next(iter(node.users), None)
        if graph.users[node] == 1 and user in self.pools:
            self.skipped[node] = node.args[0]
            self.rectify.add(user)

    def _shapes(self) -> dict[str, torch.Size]:
        """Shapes of the modules' outputs for two samples."""
        batch = bt.cut(self.subspace.batches[0], 0, 2)
        model, shapes = self.subspace.twin, {}

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
                state = self.subspace.origin | self.subspace.buffers_at([])

                def call(*args, **kwargs):
                    return params.call(model, state, args, kwargs)

                bt.apply(call, bt.split(batch)[0])
        finally:
            for hook in hooks:
                hook.remove()
        return shapes

    def foreign(self) -> bool:
        """Whether what moves is used in another way than by known layers."""
        known = self.fixed | self.layers.keys() | self.skipped.keys()
        known |= self.encoders
        modules = self.graph.modules
        return any(
            n.op == "get_attr"
            or (n.op == "call_module" and has_tensors(modules[n.target]))
            for n in self.graph.nodes
            if n not in known
        )

    def tile(self) -> int:
        """Images per tile.

        The largest activation should fit the cache; but the more bytes of
        weights are read for each tile, the more images should share them.
        """
        largest = max(s.numel() for s in self.shapes.values()) * 4 // 2
        weights = sum(v.nbytes for v in self.subspace.origin.values())
        fit = max(CACHE // max(largest, 1), min(512, weights // WEIGHTS), 16)
        pieces = -(-self.subspace.samples // min(fit, 1024))
        return -(-self.subspace.samples // pieces)


def has_tensors(module: nn.Module) -> bool:
    """Whether a module has parameters or buffers."""
    return any(True for _ in module.parameters()) or any(
        True for _ in module.buffers()
    )
