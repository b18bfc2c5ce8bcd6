"""What is linear in the coordinates is worked out once for a whole plane.

A parameter on a plane is ``w + a d + b e``. So is, with other terms, what
linear operations make of it: a table's rows, a first layer's product with
the data. Of each such value the terms are computed once, and a point costs
their sum.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx

from dldna.landscape.evaluate.tape import Tape

aten = torch.ops.aten
# what only looks at memory in another way
VIEWS = {
    aten.view.default, aten._unsafe_view.default, aten.reshape.default,
    aten.t.default, aten.transpose.int, aten.permute.default,
    aten.expand.default, aten.squeeze.dim, aten.squeeze.dims,
    aten.unsqueeze.default, aten.slice.Tensor, aten.select.int,
    aten.alias.default, aten.detach.default,
}  # fmt: skip
# linear in the first argument, as long as the others stand still
FIRST = VIEWS | {
    aten.clone.default, aten.sum.default, aten.sum.dim_IntList,
    aten.mean.default, aten.mean.dim, aten.neg.default, aten.mul.Scalar,
    aten.div.Scalar, aten.div.Tensor, aten.index.Tensor,
    aten.index_select.default, aten.embedding.default, aten.gather.default,
    aten.flip.default, aten.avg_pool2d.default,
}  # fmt: skip
# linear in one argument, as long as the others stand still
PRODUCTS = {
    aten.mul.Tensor, aten.mm.default, aten.bmm.default, aten.mv.default,
    aten.dot.default,
}  # fmt: skip
# sums of products: which arguments are added, and which multiplied
SUMS = {
    aten.add.Tensor: ((0, 1), ()),
    aten.sub.Tensor: ((0, 1), ()),
    aten.addmm.default: ((0,), (1, 2)),
    aten.convolution.default: ((2,), (0, 1)),
}
JOINS = {aten.cat.default, aten.stack.default}
# what saves arithmetic, and not only memory
HEAVY = {
    aten.mm.default, aten.bmm.default, aten.mv.default, aten.addmm.default,
    aten.convolution.default, aten.sum.default, aten.sum.dim_IntList,
    aten.mean.default, aten.mean.dim,
}  # fmt: skip

Terms = list[Tensor | None]  # at the origin, then along each direction


def split(
    tape: Tape, terms: Mapping[str, Terms], room: float
) -> dict[fx.Node, Terms]:
    """The values from which the rest of a tape is worked out.

    Args:
        tape: what was recorded. What is worked out here leaves its graph,
            and a placeholder stands for each value that the rest needs.
        terms: of each leaf; None for zeros.
        room: bytes that new terms may take.

    Returns:
        The terms of each placeholder that is left, in the graph's order.
    """
    linear = _linear(tape)
    wanted = _wanted(tape, linear)
    values = {node: terms[name] for name, node in tape.leaves.items()}
    found = dict(values)
    made = [n for n in wanted if n.op != "placeholder"]
    count = max(map(len, values.values()))
    if sum(n.meta["bytes"] for n in made) * count <= room:
        inside = _before(made)
        for node in tape.graph.nodes:
            if node in inside and node not in values:
                values[node] = _terms(node, values, tape)
        for i, node in enumerate(made):
            with tape.graph.inserting_before(next(iter(tape.graph.nodes))):
                leaf = tape.graph.placeholder(f"front_{i}")
            leaf.meta.update(node.meta)
            node.replace_all_uses_with(leaf)
            found[leaf] = values[node]
        for node in reversed(list(tape.graph.nodes)):
            if node in inside and not node.users:
                tape.graph.erase_node(node)
                found.pop(node, None)
    return {n: found[n] for n in tape.graph.nodes if n.op == "placeholder"}


def _linear(tape: Tape) -> dict[fx.Node, set[fx.Node]]:
    """The nodes that are linear in the coordinates, each with its leaves."""
    found: dict[fx.Node, set[fx.Node]] = {
        n: {n} for n in tape.leaves.values() if not n.meta["written"]
    }
    for node in tape.graph.nodes:
        called = node.op == "call_function" and not node.meta["written"]
        if called and _is_linear(node, found):
            before = [found[n] for n in node.all_input_nodes if n in found]
            found[node] = set().union(*before)
    return found


def _is_linear(node: fx.Node, linear: Mapping) -> bool:
    """Whether a node is linear, if those before it are."""
    before: list[fx.Node] = []  # twice what is used twice, as in w * w
    fx.node.map_arg((node.args, node.kwargs), before.append)
    moving = [n for n in before if n in linear]
    if not moving or any(
        n not in linear and n.op != "get_attr" for n in before
    ):
        return False
    if node.target in JOINS:
        return True
    if node.target in FIRST:
        return moving == [node.args[0]]
    if node.target in PRODUCTS:
        return moving in ([node.args[0]], [node.args[1]])
    if node.target not in SUMS:
        return False
    factors = [node.args[i] for i in SUMS[node.target][1]]
    return sum(f in linear for f in factors) <= 1


def _wanted(tape: Tape, linear: Mapping) -> list[fx.Node]:
    """The linear values at which it pays to stop, in the graph's order."""
    heavy: dict[fx.Node, bool] = {}
    for node in linear:
        inputs = node.all_input_nodes
        heavy[node] = node.target in HEAVY or any(map(heavy.get, inputs))
    wanted = {n for n in linear if any(u not in linear for u in n.users)}
    for node in reversed(list(linear)):
        if node not in wanted or node.op == "placeholder":
            continue
        size = sum(n.meta["bytes"] for n in linear[node])
        pays = heavy[node] or node.meta["bytes"] <= size
        if node.target in VIEWS or not pays:
            wanted.remove(node)
            wanted |= {n for n in node.all_input_nodes if n in linear}
    return [n for n in linear if n in wanted]


def _before(nodes: list[fx.Node]) -> set[fx.Node]:
    """Some nodes and all that comes before them."""
    found, left = set(), list(nodes)
    while left:
        node = left.pop()
        if node not in found:
            found.add(node)
            left += node.all_input_nodes
    return found


def _terms(node: fx.Node, values: dict[fx.Node, Any], tape: Tape) -> Any:
    """A node's terms, from those of the nodes before it."""
    if node.op == "get_attr":
        return None
    count = next(
        len(values[n]) for n in node.all_input_nodes if values[n] is not None
    )
    return [_term(node, k, values, tape) for k in range(count)]


def _term(node: fx.Node, k: int, values: Mapping, tape: Tape) -> Any:
    """A node at the origin, or what a direction adds to it."""
    moving = [n for n in node.all_input_nodes if values[n] is not None]
    if all(values[n][k] is None for n in moving):
        return None
    added, factors = SUMS.get(node.target, ((), ()))
    if node.target in JOINS:
        added = (0,)
    if factors and not any(node.args[i] in moving for i in factors):
        added = (*added, factors[0])  # a product that stands still

    def value(n: fx.Node) -> Tensor:
        if values[n] is None:
            return tape.constants[n.target]
        term = values[n][k]
        return torch.zeros_like(values[n][0]) if term is None else term

    def alone(n: fx.Node) -> Tensor:
        """What stands still adds nothing along a direction."""
        found = value(n)
        return torch.zeros_like(found) if values[n] is None else found

    args = []
    for i, arg in enumerate(node.args):
        at = alone if k and i in added else value
        made = fx.node.map_arg(arg, at)
        plain = k and i in added and isinstance(arg, (int, float))
        args.append(0 if plain else made)
    kwargs = fx.node.map_arg(node.kwargs, value)
    return node.target(*args, **kwargs)
