"""Recorded operations that write into what they are given."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import fx

aten = torch.ops.aten


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
