"""From the orders of a trace to a spec."""

from collections import Counter
from collections.abc import Mapping
from itertools import product as every
from math import prod

from dldna.landscape.curves.operations import Axes
from dldna.landscape.curves.orders import (
    Order,
    collapse,
    factors,
    is_fixed,
)
from dldna.landscape.curves.permuting import Axis, Spec

Cell = frozenset  # of (leaf, how often): the axes of one piece of a tensor


def named(axes: Mapping[str, Axes], passed: list[Axes]) -> Spec:
    """The spec of tensors whose axes a trace has found.

    Args:
        axes: of parameters and buffers, by name.
        passed: of all tensors that the forward went through.

    Returns:
        The spec; groups are called in the order of the parameters.
    """
    cells = _settled(list(axes.values()), passed)
    homes = _homes(cells)
    names: dict[Order, str] = {}
    inner: Counter[str] = Counter()

    def name(leaf: Order) -> str:
        if leaf not in names and homes.get(leaf) is not None:
            outer = name(homes[leaf])
            inner[outer] += 1
            names[leaf] = f"{outer}/units{inner[outer]}"
        elif leaf not in names:
            plain = sum("/" not in n for n in names.values())
            names[leaf] = f"hidden{plain + 1}"
        return names[leaf]

    return {
        key: tuple(_axis(factors(o), name) for o in found)
        for key, found in axes.items()
    }


def _axis(orders: list[Order], name) -> Axis:
    """One axis as a spec has it."""
    orders = [o.root for o in orders]
    if all(map(is_fixed, orders)):
        return None
    family = next((o for o in orders if o.members), None)
    if family is not None:
        outer = family.outer.root
        k = orders.index(outer)
        parts = [
            [
                f
                for o in orders[k + 1 :]
                for f in factors(
                    o.members[i] if o.members and o.outer.root is outer else o
                )
            ]
            for i in range(outer.n)
        ]
        each = [(_axis(p, name), prod(o.n for o in p)) for p in parts]
        pairs = [(_axis([o], name), o.n) for o in orders[:k]]
        return _joined([*pairs, (each, sum(n for _, n in each))])
    if len(orders) > 1:
        return _joined([(_axis([o], name), o.n) for o in orders])
    (order,) = orders
    if order.parts:
        return [(_axis(factors(p), name), p.n) for p in order.parts]
    return name(order)


def _joined(pairs: list[tuple[Axis, int]]) -> Axis:
    """A product, its neighbours that are fixed taken as one."""
    made: list[tuple[Axis, int]] = []
    for axis, n in pairs:
        if axis is None and made and made[-1][0] is None:
            made[-1] = (None, made[-1][1] * n)
        else:
            made.append((axis, n))
    return made[0][0] if len(made) == 1 else tuple(made)


def _settled(tensors: list[Axes], passed: list[Axes]) -> set[Cell]:
    """What stands together, once all families are where they may be."""
    while True:
        cells = {c for axes in (*tensors, *passed) for c in _cells(axes)}
        bad = {
            leaf
            for cell in cells
            for leaf, _ in cell
            if leaf.members
            and leaf.outer.root not in {other for other, _ in cell}
        }
        bad |= {o for axes in tensors for a in axes for o in _stray(a)}
        if not bad:
            return cells
        for leaf in bad:
            collapse(leaf)


def _stray(order: Order) -> set[Order]:
    """Families whose outer order does not stand before them."""
    order = order.root
    if order.parts:
        return set().union(*map(_stray, order.parts))
    before: set[Order] = set()
    found: set[Order] = set()
    for o in factors(order):
        if o.members and o.outer.root not in before:
            found.add(o)
        for inner in (*o.members, *o.parts):
            found |= _stray(inner)
        before.add(o)
    return found


def _cells(axes: Axes) -> set[Cell]:
    """The leaves of each piece of a tensor."""
    ways = [_ways(o) for o in axes]
    return {
        frozenset(Counter(leaf for way in chosen for leaf in way).items())
        for chosen in every(*ways)
    }


def _ways(order: Order) -> set[tuple[Order, ...]]:
    """The leaves along an axis, of each of its parts."""
    order = order.root
    if order.parts:
        return set().union(*map(_ways, order.parts))
    if order.factors:
        return {
            tuple(leaf for way in chosen for leaf in way)
            for chosen in every(*map(_ways, order.factors))
        }
    if order.members:
        return {(order, *w) for m in order.members for w in _ways(m)}
    return {(order,)}


def _homes(cells: set[Cell]) -> dict[Order, Order]:
    """In each unit of which order a leaf may have its own order."""
    beside: dict[Order, set[Order]] = {}
    for cell in cells:
        once = {leaf for leaf, times in cell if times == 1}
        free = {o for o in once if not o.fixed and not o.members}
        for leaf, _ in cell:
            beside[leaf] = beside.get(leaf, free) & free
    homes: dict[Order, Order] = {}
    for leaf, others in beside.items():
        if leaf.fixed or leaf.members:
            continue
        before = {o.root for o in leaf.inside}
        outer = [
            o for o in others - {leaf} if leaf not in beside[o] or o in before
        ]
        if len(outer) == 1:
            homes[leaf] = outer[0]
    return {k: o for k, o in homes.items() if o not in homes}
