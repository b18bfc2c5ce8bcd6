"""What torch's operations demand of the orders of units.

One function for each kind of operation: it takes the axes of the inputs
(:class:`~dldna.landscape.curves.orders.Order`, by tensor) and the call's
arguments, ties what has to be equal, and returns the axes of the output.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from dldna.landscape.curves.orders import (
    Order,
    cut,
    family,
    fix,
    member,
    product,
    reshape,
    sequence,
    tie,
)

Axes = list[Order]


class NotUnderstood(Exception):
    """What an operation does with the order of units no rule tells."""


class Seen:
    """The axes of all tensors of a trace, and of what they pass through."""

    def __init__(self):
        self.axes: dict[int, Axes | None] = {}  # None where no rule tells
        self.passed: list[Axes] = []

    def __call__(self, tensor: torch.Tensor) -> Axes:
        axes = self.axes[id(tensor)]
        if axes is None:
            raise NotUnderstood
        return axes


Rule = Callable[..., Axes | None]
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """List a rule under the names of torch's operations."""

    def add(f: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, f))
        return f

    return add


def fresh(shape: Sequence[int], **known) -> Axes:
    """Axes of a tensor of which nothing else is known yet."""
    return [Order(n, **known) for n in shape]


def together(shapes: Sequence[Axes]) -> Axes:
    """Axes of tensors that are broadcast to one shape."""
    made = []
    for k in range(-max(map(len, shapes), default=0), 0):
        here = [axes[k] for axes in shapes if len(axes) >= -k]
        wide = [o for o in here if o.n != 1] or here[:1]
        for other in wide[1:]:
            tie(wide[0], other)
        made.append(wide[0])
    return made


def pointwise(seen: Seen, tensors: list) -> Axes:
    """Each number by itself."""
    return together([seen(t) for t in tensors])


def places(dims: Any, ndim: int) -> list[int]:
    """Positions of axes, counted from the front; None means all."""
    if dims is None or dims == []:
        return list(range(ndim))
    dims = [dims] if isinstance(dims, int) else dims
    return [d % ndim for d in dims]


@rule("t")
def _t(seen, x):
    return seen(x)[::-1]


@rule("transpose")
def _transpose(seen, x, a, b):
    axes = list(seen(x))
    axes[a], axes[b] = axes[b], axes[a]
    return axes


@rule("transpose_")
def _transpose_in_place(seen, x, a, b):
    seen.axes[id(x)] = _transpose(seen, x, a, b)
    return seen(x)


@rule("permute")
def _permute(seen, x, dims):
    return [seen(x)[d] for d in dims]


@rule("view", "_unsafe_view", "reshape", "_reshape_alias")
def _view(seen, x, shape, *_):
    if -1 in shape:
        rest = -math.prod(shape)
        shape = [x.numel() // max(rest, 1) if n == -1 else n for n in shape]
    return reshape(seen(x), shape)


@rule("unsqueeze")
def _unsqueeze(seen, x, dim):
    axes = list(seen(x))
    axes.insert(dim % (len(axes) + 1), Order(1))
    return axes


@rule("squeeze")
def _squeeze(seen, x, dims=None):
    gone = places(dims, x.ndim)
    return [o for k, o in enumerate(seen(x)) if not (k in gone and o.n == 1)]


@rule("expand")
def _expand(seen, x, shape, **_):
    axes = [*fresh([1] * (len(shape) - x.ndim)), *seen(x)]
    return [
        o if n in (-1, o.n) else Order(n)  # all alike, in any order
        for o, n in zip(axes, shape, strict=True)
    ]


@rule("repeat")
def _repeat(seen, x, times):
    axes = [*fresh([1] * (len(times) - x.ndim)), *seen(x)]
    return [product([Order(n), o]) for o, n in zip(axes, times, strict=True)]


@rule("slice")
def _slice(seen, x, dim=0, start=None, end=None, step=1):
    axes, dim = list(seen(x)), dim % x.ndim
    n = axes[dim].n
    first, last, step = slice(start, end, step).indices(n)
    if (first, last, step) == (0, n, 1):
        return axes
    if step != 1:
        fix(axes[dim])
        axes[dim] = Order(len(range(first, last, step)), True)
        return axes
    ends = sorted({first, last, n} - {0})
    pieces = cut(axes[dim], ends)
    axes[dim] = pieces[ends.index(last)]
    return axes


def _pieces(seen, x, sizes, dim) -> list[Axes]:
    axes, dim = seen(x), dim % x.ndim
    ends = [sum(sizes[: k + 1]) for k in range(len(sizes))]
    return [
        [*axes[:dim], piece, *axes[dim + 1 :]]
        for piece in cut(axes[dim], ends)
    ]


@rule("split_with_sizes", "unsafe_split_with_sizes")
def _split_sizes(seen, x, sizes, dim=0):
    return _pieces(seen, x, sizes, dim)


@rule("split", "unsafe_split")
def _split(seen, x, size, dim=0):
    n = x.shape[dim]
    sizes = [min(size, n - k) for k in range(0, n, size)]
    return _pieces(seen, x, sizes, dim)


@rule("glu")
def _glu(seen, x, dim=-1):
    n = x.shape[dim] // 2
    return together(_pieces(seen, x, [n, n], dim))


@rule("select")
def _select(seen, x, dim, index):
    axes = list(seen(x))
    outer = axes.pop(dim % x.ndim)
    fix(outer)
    return [member(o, outer, index % outer.n) for o in axes]


@rule("unbind")
def _unbind(seen, x, dim=0):
    return [_select(seen, x, dim, k) for k in range(x.shape[dim])]


@rule("cat")
def _cat(seen, tensors, dim=0):
    tensors = [t for t in tensors if t.shape != (0,)]
    dim %= tensors[0].ndim
    rest = together(
        [[*a[:dim], Order(1), *a[dim + 1 :]] for a in map(seen, tensors)]
    )
    rest[dim] = sequence([seen(t)[dim] for t in tensors])
    return rest


@rule("stack")
def _stack(seen, tensors, dim=0):
    outer = Order(len(tensors), True)
    axes = [
        family(outer, orders)
        for orders in zip(*map(seen, tensors), strict=True)
    ]
    axes.insert(dim % (len(axes) + 1), outer)
    return axes


@rule("constant_pad_nd")
def _pad(seen, x, pads, *_):
    axes = list(seen(x))
    for k in range(len(pads) // 2):
        before, after = pads[2 * k : 2 * k + 2]
        if min(before, after) < 0:
            fix(axes[-1 - k])
            axes[-1 - k] = Order(axes[-1 - k].n + before + after, True)
            continue
        parts = [Order(before), axes[-1 - k], Order(after)]
        axes[-1 - k] = sequence([o for o in parts if o.n])
    return axes
