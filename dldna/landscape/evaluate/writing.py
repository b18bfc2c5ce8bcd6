"""Recorded operations that write into what they are given."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import fx

aten = torch.ops.aten


def without_unread(graph: fx.Graph) -> set[fx.Node]:
    """Take out what the output does not need.

    What writes is needed if what it writes to is read afterwards.

    Args:
        graph: ``node.meta`` has ``home``, where a node's memory begins, and
            ``writes``, the homes that an operation writes to; ``written``
            is added.

    Returns:
        The nodes that are left.
    """
    needed: set[fx.Node] = set()
    read: set[int | None] = set()
    for node in reversed(list(graph.nodes)):
        writes_to = node.meta.get("writes", set())
        wanted = node.op == "output" or writes_to & read
        if wanted or any(u in needed for u in node.users):
            needed.add(node)
            shows = (node, *node.all_input_nodes)
            read |= {n.meta["home"] for n in shows if "home" in n.meta}
        else:
            graph.erase_node(node)
    written = set().union(*(n.meta.get("writes", ()) for n in needed))
    for node in needed:
        node.meta["written"] = node.meta.get("home") in written
    return needed


def without_writing(graph: fx.Graph) -> None:
    """Let operations that write into their first argument make a new tensor.

    Where nothing else that shares its memory is read afterwards.
    """
    place = {node: i for i, node in enumerate(graph.nodes)}
    shared: dict[int, list[fx.Node]] = {}
    for node in graph.nodes:
        if node.meta.get("written"):
            shared.setdefault(node.meta["home"], []).append(node)
    for nodes in shared.values():
        writers = [n for n in nodes if writes(n)]
        if all(_alone(n, nodes, place) for n in writers):
            for node in writers:
                node.target = _pure(node.target)
            for node in nodes:
                node.meta["written"] = False


def _alone(writer: fx.Node, nodes: list[fx.Node], place: Mapping) -> bool:
    """Whether what is written to is read through the writer alone."""
    at = place[writer]
    older = [n for n in nodes if place[n] < at]
    read = any(place[u] > at for n in older for u in n.users)
    return not read and _pure(writer.target) is not None


def _pure(target: Any) -> Any:
    """The operation that makes a new tensor, for one that writes."""
    name, overload = target._schema.name.split("::")[1], target._overloadname
    found = getattr(aten, name.removesuffix("_"), None)
    first = target._schema.arguments[0].alias_info
    if not name.endswith("_") or first is None:
        return None
    return getattr(found, overload, None)


def writes(node: fx.Node) -> bool:
    """Whether an operation writes into what it is given."""
    schema = getattr(node.target, "_schema", None)
    return schema is not None and schema.is_mutable
