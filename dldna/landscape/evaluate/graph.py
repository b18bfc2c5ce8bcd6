"""A model as a graph of operations, for the ways that rearrange them."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn

from dldna import batches as bt
from dldna import params
from dldna.landscape.evaluate.evaluator import Unsupported
from dldna.landscape.evaluate.subspace import Subspace


class Graph:
    """The operations of a subspace's model, in order.

    Args:
        subspace: whose model is traced, with its first batch as the example.

    Raises:
        Unsupported: the forward depends on values, has hooks, or cannot be
            traced for another reason.
    """

    def __init__(self, subspace: Subspace):
        self.subspace = subspace
        model = subspace.twin
        _refuse_hooks(model)
        self.modules = dict(model.named_modules())
        self.first_name = {}
        named = list(model.named_parameters(remove_duplicate=False))
        named += list(model.named_buffers(remove_duplicate=False))
        known: dict[int, str] = {}
        for name, tensor in named:
            self.first_name[name] = known.setdefault(id(tensor), name)
        inputs = bt.split(subspace.batches[0])[0]
        try:
            given = _bind(model, inputs)
            self.rest = {
                name: p.default
                for name, p in inspect.signature(
                    model.forward
                ).parameters.items()
                if name not in given
                and p.default is not inspect.Parameter.empty
            }
            graph = _trace(model, self.rest)
        except Exception as error:  # tracing runs the user's code
            raise Unsupported(f"cannot be traced: {error}") from error
        moves = subspace.buffer_directions
        self.standing = subspace.still | {
            k for k in subspace.buffers if not moves or k not in moves[0]
        }
        self._resting = {id(t) for k, t in named if k in self.standing}
        self.nodes = list(graph.nodes)
        self.users = {n: len(n.users) for n in self.nodes}
        for node in self.nodes:
            if writes(node) and not node.users:
                raise Unsupported(f"{word(node)} writes in place")

    def inputs(self, batch: Any) -> dict[str, Any]:
        """Values of the placeholders for one batch."""
        given = _bind(self.subspace.twin, bt.split(batch)[0])
        for node in self.nodes:
            if node.op == "placeholder" and node.target not in given:
                # an argument left at its default is traced as name_1
                name = str(node.target).rsplit("_", 1)[0]
                given[node.target] = self.rest.get(name)
        return given

    def stands(self, node: fx.Node) -> bool:
        """Whether nothing in a node moves, or is written by its forward."""
        if node.op == "get_attr":
            return self.first_name.get(node.target) in self.standing
        if node.op != "call_module":
            return True
        module = self.modules[node.target]
        tensors = [*module.parameters(), *module.buffers()]
        if any(m.training for m in module.modules()):
            return not tensors
        return all(id(t) in self._resting for t in tensors)

    def run(self, node: fx.Node, at: Callable, args: Any, kwargs: Any) -> Any:
        """A module's output with its tensors by ``at(full name)``."""
        module, state = self.modules[node.target], {}
        for name, _ in module.named_parameters():
            state[name] = at(self.parameter(node.target, name))
        for name, _ in module.named_buffers():
            state[name] = at(self.parameter(node.target, name)).clone()
        return params.call(module, state, args, kwargs)

    def parameter(self, module: str, name: str) -> str | None:
        """Full first name of a module's parameter or buffer, or None."""
        full = f"{module}.{name}" if module else name
        return self.first_name.get(full)


class _Proxy(fx.Proxy):
    def __getattr__(self, name: str) -> Any:
        if name == "_as_parameter_":  # for which ctypes asks without end
            raise AttributeError(name)
        return super().__getattr__(name)


class _Tracer(fx.Tracer):
    def proxy(self, node: fx.Node) -> fx.Proxy:
        """What stands for a value in the user's code."""
        return _Proxy(node, self)


def _trace(model: nn.Module, rest: dict[str, Any]) -> fx.Graph:
    """The graph of a forward, which may assign buffers on its way."""
    own = [
        (module, name, buffer)
        for module in model.modules()
        for name, buffer in module._buffers.items()
    ]
    try:
        return _Tracer().trace(model, concrete_args=rest or None)
    finally:
        for module, name, buffer in own:
            module._buffers[name] = buffer


def _bind(model: nn.Module, inputs: Any) -> dict[str, Any]:
    bound = bt.apply(inspect.signature(model.forward).bind, inputs)
    return dict(bound.arguments)


def _refuse_hooks(model: nn.Module) -> None:
    for module in model.modules():
        if module._forward_hooks or module._forward_pre_hooks:
            raise Unsupported(
                f"{type(module).__name__} has forward hooks, which a traced "
                "graph would leave out"
            )


def fetch(root: nn.Module, target: str) -> Any:
    """The attribute a ``get_attr`` node points at."""
    value: Any = root
    for part in target.split("."):
        value = getattr(value, part)
    return value


DROPOUTS = (
    nn.Identity,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
)
POINTWISE = (
    nn.ReLU,
    nn.Tanh,
    nn.Sigmoid,
    nn.GELU,
    nn.SiLU,
    nn.ELU,
    nn.SELU,
    nn.CELU,
    nn.LeakyReLU,
    nn.Softplus,
    nn.Hardtanh,
    nn.ReLU6,
    nn.Hardswish,
    nn.Hardsigmoid,
    nn.Mish,
    nn.Softsign,
    nn.LogSigmoid,
    nn.Tanhshrink,
    nn.Softshrink,
    nn.Hardshrink,
    nn.Threshold,
)
POINTWISE_WORDS = frozenset(
    word
    for line in (
        "relu relu_ relu6 tanh tanh_ sigmoid sigmoid_ gelu silu elu selu",
        "celu leaky_relu softplus hardtanh hardswish hardsigmoid mish",
        "softsign logsigmoid add sub mul truediv div neg pow exp log abs",
        "sin cos sqrt square clamp erf rsqrt reciprocal maximum minimum",
        "sign log1p expm1 atan arctan iadd imul isub",
    )
    for word in line.split()
)


def is_relu(graph: Graph, node: fx.Node) -> bool:
    """Whether a node is a plain ReLU of one value."""
    if node.op == "call_module":
        return type(graph.modules[node.target]) is nn.ReLU
    return word(node) in ("relu", "relu_")


def word(node: fx.Node) -> str:
    """The bare name of a called function or method."""
    if node.op == "call_method":
        return str(node.target)
    if node.op == "call_function":
        return getattr(node.target, "__name__", "")
    return ""


def writes(node: fx.Node) -> bool:
    """Whether a function or method writes into its first argument."""
    w = word(node)
    in_place = w.endswith("_") and not w.endswith("__")
    return (
        in_place
        or w.strip("_") in ("iadd", "imul", "isub", "itruediv", "setitem")
        or bool(node.kwargs.get("inplace"))
    )


def is_pointwise(graph: Graph, node: fx.Node) -> bool:
    """Whether a node works on each number alone, whatever the layout."""
    if node.op == "call_module":
        return type(graph.modules[node.target]) in POINTWISE
    home = getattr(node.target, "__module__", "") or ""
    known = node.op == "call_method" or home.startswith(
        ("torch", "_operator", "math")
    )
    return known and word(node) in POINTWISE_WORDS


def is_linear(graph: Graph, node: fx.Node) -> bool:
    """Whether a node is a linear layer."""
    return (
        node.op == "call_module"
        and type(graph.modules[node.target]) is nn.Linear
    )


def is_flatten(graph: Graph, node: fx.Node) -> bool:
    """Whether a node is ``flatten(1)``: all axes but the images' in one."""
    if node.op == "call_module":
        module = graph.modules[node.target]
        place = (
            (module.start_dim, module.end_dim)
            if type(module) is nn.Flatten
            else None
        )
        return place == (1, -1)
    given = dict(zip(("start_dim", "end_dim"), node.args[1:], strict=False))
    given = {"start_dim": 0, "end_dim": -1} | given | node.kwargs
    return word(node) == "flatten" and (
        (given["start_dim"], given["end_dim"]) == (1, -1)
    )


def is_nothing(graph: Graph, node: fx.Node) -> bool:
    """Whether a node passes its first argument on (dropout in eval)."""
    if node.op == "call_module":
        return type(graph.modules[node.target]) in DROPOUTS
    if word(node).startswith("dropout") and node.target is not torch.dropout:
        return node.kwargs.get("training", True) is False
    return word(node) in ("contiguous", "detach")
