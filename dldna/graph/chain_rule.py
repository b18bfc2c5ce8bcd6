"""The value of an expression, and its derivatives by the chain rule."""

from collections.abc import Mapping

from dldna.arrays import Array
from dldna.graph.expressions import Term


def value(tree: Term, known: Mapping[str, Array]):
    """The number that a tree stands for."""
    if tree.kind == "name":
        return known[tree.value]
    if tree.kind == "number":
        return tree.value
    values = [value(p, known) for p in tree.parts]
    if tree.kind == "-":
        return -values[0]
    total = values[0]
    for v in values[1:]:
        total = total + v if tree.kind == "+" else total * v
    return total


def push(total: dict[str, Array], name: str, delta) -> None:
    """Add to the derivative by a name."""
    total[name] = total[name] + delta if name in total else delta


def spread(tree: Term, delta, known, total, inputs) -> None:
    """Hand ``delta``, the derivative at ``tree``, down to its names."""
    if tree.kind == "name" and tree.value not in inputs:
        push(total, tree.value, delta)
    elif tree.kind == "+":
        for part in tree.parts:
            spread(part, delta, known, total, inputs)
    elif tree.kind == "-":
        spread(tree.parts[0], -delta, known, total, inputs)
    elif tree.kind == "*":
        values = [value(p, known) for p in tree.parts]
        for i, part in enumerate(tree.parts):
            if part.kind == "number" or part.value in inputs:
                continue
            others = delta
            for j, v in enumerate(values):
                if j != i:
                    others = others * v
            spread(part, others, known, total, inputs)
