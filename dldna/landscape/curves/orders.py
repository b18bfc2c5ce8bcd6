"""Orders of units that have to be equal, as far as a trace has shown.

An axis of n units is an :class:`Order`. It is one leaf, a product of
orders (row-major: a layer of heads times units), or parts one after the
other. What an operation demands is written down by :func:`tie` and
:func:`fix`; a fixed order stays as it is.
"""

import math
from collections.abc import Sequence
from itertools import accumulate


class Order:
    """The order of n units along an axis.

    Args:
        n: how many there are.
        fixed: whether the order is given from outside.
        factors: the orders of which this is the product.
        parts: the orders of which this is the sequence.
        inside: the factors that stood before it, where it was split off.
        filled: whether all numbers along it are one, so far.
    """

    def __init__(
        self,
        n: int,
        fixed: bool = False,
        factors: Sequence["Order"] = (),
        parts: Sequence["Order"] = (),
        inside: tuple["Order", ...] = (),
        filled: bool = False,
    ):
        self.n, self.fixed = n, fixed or n == 1
        self.factors, self.parts = tuple(factors), tuple(parts)
        self.inside, self.filled = inside, filled
        self.same: Order | None = None  # the one that stands for this
        self.outer: Order | None = None  # the factor its members belong to
        self.members: tuple[Order, ...] = ()  # one for each index of outer

    @property
    def root(self) -> "Order":
        """The order that stands for this and all that are tied to it."""
        here = self
        while here.same is not None:
            here = here.same
        return here


def product(orders: Sequence[Order]) -> Order:
    """One axis made of several, the last of them fastest."""
    kept = [o for o in orders if o.n != 1]
    if len(kept) == 1:
        return kept[0]
    return Order(math.prod(o.n for o in kept), factors=kept)


def sequence(orders: Sequence[Order]) -> Order:
    """One axis made of several, one after the other."""
    if len(orders) == 1:
        return orders[0]
    return Order(sum(o.n for o in orders), parts=orders)


def factors(order: Order) -> list[Order]:
    """The finest known factors, the slowest first."""
    order = order.root
    if not order.factors:
        return [order] if order.n != 1 else []
    return [leaf for f in order.factors for leaf in factors(f)]


def leaves(order: Order) -> set[Order]:
    """All leaves: the members of a family, and the family itself."""
    order = order.root
    inner = order.factors or order.parts or order.members
    found = set().union(*map(leaves, inner)) if inner else set()
    return found | (set() if order.factors or order.parts else {order})


def is_fixed(order: Order) -> bool:
    """Whether nothing of it may move."""
    order = order.root
    inner = order.factors or order.parts or order.members
    return all(map(is_fixed, inner)) if inner else order.fixed


def fix(order: Order) -> None:
    """No unit may move."""
    order = order.root
    for inner in (*order.factors, *order.parts, *order.members):
        fix(inner)
    order.fixed = True


def collapse(order: Order) -> None:
    """The members of a family have one order."""
    order = order.root
    members, order.members, order.outer = order.members, (), None
    for member in members:
        tie(member, order)


def tie(a: Order, b: Order) -> None:
    """Two axes of one length hold the same units."""
    a, b = a.root, b.root
    if a is b or a.n == 1:
        return
    if a.n != b.n:
        raise AssertionError(f"axes of {a.n} and {b.n} units")
    for each in (a, b):
        if each.members:
            collapse(each)
    a, b = a.root, b.root
    if a is b:
        return
    if is_fixed(a) or is_fixed(b):
        fix(a)
        fix(b)
    a.filled = b.filled = a.filled and b.filled
    if not (a.factors or a.parts):
        a.same = b
    elif not (b.factors or b.parts):
        b.same = a
    elif a.parts or b.parts:
        ends = sorted({*_ends(a), *_ends(b)})
        for x, y in zip(cut(a, ends), cut(b, ends), strict=True):
            tie(x, y)
    else:
        for x, y in _common(a, b):
            tie(x, y)


def _ends(order: Order) -> list[int]:
    return list(accumulate(p.n for p in order.root.parts)) or [order.n]


def _common(a: Order, b: Order) -> list[tuple[Order, Order]]:
    """Two products, cut into factors of the same lengths."""
    left, right, pairs = factors(a), factors(b), []
    while left and right:
        x, y = left.pop(0), right.pop(0)
        if max(x.n, y.n) % min(x.n, y.n):
            fix(a)
            fix(b)
            return []
        if x.n > y.n:
            x, rest = split(x, y.n)
            left.insert(0, rest)
        elif y.n > x.n:
            y, rest = split(y, x.n)
            right.insert(0, rest)
        pairs.append((x, y))
    return pairs


def split(order: Order, n: int) -> tuple[Order, Order]:
    """One order as n blocks of equal length: the blocks, and the units."""
    order = order.root
    if order.members:
        collapse(order)
        order = order.root
    inner = order.n // n
    alike = [p.n for p in order.parts] == [inner] * n
    if order.parts and not alike:
        fix(order)
        return Order(n, True), Order(inner, True)
    blocks = Order(n, bool(order.parts) or order.fixed, inside=order.inside)
    units = Order(inner, order.fixed, inside=(*order.inside, blocks))
    if order.parts:
        units.outer, units.members, order.parts = blocks, order.parts, ()
    order.factors = (blocks, units)
    return blocks, units


def reshape(axes: Sequence[Order], shape: Sequence[int]) -> list[Order]:
    """The axes of a tensor in another shape, its numbers in one order."""
    left = [f for axis in axes for f in factors(axis)]
    made = []
    for n in shape:
        taken, need = [], n
        while need > 1:
            each = left.pop(0).root
            if each.factors:  # split meanwhile
                left[:0] = factors(each)
                continue
            if need % each.n and each.n % need:
                for axis in axes:
                    fix(axis)
                return [Order(k, True) for k in shape]
            if each.n > need:
                each, rest = split(each, need)
                left.insert(0, rest)
            need //= each.n
            taken.append(each)
        made.append(product(taken))
    return made


def cut(order: Order, ends: Sequence[int]) -> list[Order]:
    """Pieces of an order, each up to one of the ``ends``, the last its n."""
    order, starts = order.root, [0, *ends[:-1]]
    if list(ends) == [order.n]:
        return [order]
    if order.members:
        collapse(order)
        order = order.root
    if order.factors:
        return _cut_product(order, list(zip(starts, ends, strict=True)))
    if not order.parts:
        order.parts = tuple(
            Order(b - a, order.fixed)
            for a, b in zip(starts, ends, strict=True)
        )
        return list(order.parts)
    finer, at = [], 0
    for part in order.parts:
        inner = [e - at for e in ends if at < e < at + part.n]
        finer += cut(part, [*inner, part.n])
        at += part.n
    order.parts = tuple(finer)
    pieces, left = [], list(finer)
    for a, b in zip(starts, ends, strict=True):
        taken = []
        while sum(p.n for p in taken) < b - a:
            taken.append(left.pop(0))
        pieces.append(sequence(taken))
    return pieces


def _cut_product(order: Order, places: list[tuple[int, int]]) -> list[Order]:
    first, *rest = factors(order)
    inner = order.n // first.n
    if any(b % inner for _, b in places):
        fix(order)
        return [Order(b - a, True) for a, b in places]
    fix(first)
    return [
        sequence(
            [
                product([member(f, first, k) for f in rest])
                for k in range(a // inner, b // inner)
            ]
        )
        for a, b in places
    ]


def family(outer: Order, orders: Sequence[Order]) -> Order:
    """An axis whose units have one of these orders in each of ``outer``."""
    if len({o.root for o in orders}) == 1:
        return orders[0]
    made = Order(orders[0].n, inside=(outer,))
    made.outer, made.members = outer, tuple(orders)
    return made


def member(order: Order, outer: Order, k: int) -> Order:
    """The order of the units in block k of ``outer``, which is fixed."""
    order, outer = order.root, outer.root
    if order.factors:
        return product([member(f, outer, k) for f in order.factors])
    if order.parts:
        return sequence([member(p, outer, k) for p in order.parts])
    if not order.members and not order.fixed:
        if not order.filled and outer not in {o.root for o in order.inside}:
            return order
        order.outer = outer
        order.members = tuple(Order(order.n) for _ in range(outer.n))
    if order.members and order.outer.root is outer:
        return order.members[k]
    return order
