"""Other orders of the hidden units."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

Axis = str | tuple | list | None
"""A group's name; None where the order is fixed from outside; pairs of an
axis and its length, in a tuple for one inside the other (the slowest
first), in a list for one after the other."""
Spec = dict[str, tuple[Axis, ...]]
"""One :data:`Axis` for each axis of parameters and buffers; ``spec_of``
finds it. Of a group "a/b", each unit of group "a" has its own order."""
Permutations = dict[str, Tensor]


def by_name(point: Any) -> Mapping[str, Tensor]:
    """Parameters by name, or a word on where to get them.

    Example:
        >>> from torch import nn
        >>> by_name(nn.Linear(1, 1))
        Traceback (most recent call last):
        ...
        TypeError: parameters by name are needed, as model.state_dict(), \
not a Linear
    """
    if not isinstance(point, Mapping):
        raise TypeError(
            "parameters by name are needed, as model.state_dict(), not a "
            f"{type(point).__name__}"
        )
    return point


def permute(
    point: Mapping[str, Tensor], spec: Spec, permutations: Permutations
) -> dict[str, Tensor]:
    r"""Reorder hidden units: new unit i is old unit ``permutations[g][i]``.

    For a chain of layers,

    .. math:: W_l \to P_l W_l P_{l-1}^T, \qquad b_l \to P_l b_l.

    The network's function stays what it was, if the spec is right.

    Args:
        point: parameters (and buffers) by name.
        spec: group names for their axes; names it lacks are kept.
        permutations: (n,) indices for each group, each of 0 to n - 1 once;
            (m, n) for a group inside each of m units (a head's units):
            new unit j in new unit i was the ``permutations[g][i, j]``-th
            of its own. This is not checked.

    Returns:
        New tensors, by name.

    Raises:
        KeyError: a group of the spec has no permutation.
        TypeError: a module, say, in the place of its parameters.

    Example:
        >>> import torch
        >>> w = {"w": torch.tensor([[1.0], [2.0]])}
        >>> permute(w, {"w": ("h", None)}, {"h": torch.tensor([1, 0])})
        {'w': tensor([[2.],
                [1.]])}

        >>> w = {"w": torch.tensor([1.0, 2.0, 3.0, 4.0])}
        >>> two_each = (("h", 2), (None, 2))
        >>> permute(w, {"w": (two_each,)}, {"h": torch.tensor([1, 0])})
        {'w': tensor([3., 4., 1., 2.])}

    References:
        Entezari, Sedghi, Saukh, Neyshabur, The role of permutation
        invariance in linear mode connectivity of neural networks, ICLR
        2022, arXiv 2110.06296.
        Ainsworth, Hayase, Srinivasa, Git Re-Basin: merging models modulo
        permutation symmetries, ICLR 2023, arXiv 2209.04836.
    """
    moved = {}
    for name, value in by_name(point).items():
        moved[name] = value.detach().clone()
        for piece, axes in pieces(moved[name], spec.get(name, ())):
            piece.copy_(_ordered(piece, axes, permutations))
    return moved


def _ordered(piece: Tensor, axes: tuple, permutations: Permutations) -> Tensor:
    for k, group in enumerate(axes):
        if group is not None and "/" not in group:
            piece = piece.index_select(k, permutations[group].to(piece.device))
    for k, group in enumerate(axes):
        if group is not None and "/" in group:
            order = permutations[group].to(piece.device)
            both = (axes.index(home(group)), k)
            rows = torch.arange(len(order), device=piece.device)[:, None]
            piece = piece.movedim(both, (0, 1))[rows, order]
            piece = piece.movedim((0, 1), both)
    return piece


def home(group: str) -> str:
    """The group in each unit of which a group "a/b" has its own order."""
    return group.rpartition("/")[0]


def pieces(value: Tensor, axes: tuple) -> Iterator[tuple[Tensor, tuple]]:
    """Views of a tensor along whose axes at most one group stands.

    Raises:
        ValueError: the lengths in the spec are not those of the tensor.

    Example:
        >>> import torch
        >>> joined = [((("h", 2), ("h/u", 3)), 6), (None, 1)]
        >>> [(tuple(v.shape), a) for v, a in pieces(torch.ones(7), (joined,))]
        [((2, 3), ('h', 'h/u')), ((1,), (None,))]
    """
    for k, axis in enumerate(axes):
        if not isinstance(axis, (tuple, list)):
            continue
        inner, sizes = [a for a, _ in axis], [n for _, n in axis]
        whole = math.prod(sizes) if isinstance(axis, tuple) else sum(sizes)
        if whole != value.shape[k]:
            raise ValueError(
                f"the spec's {axis} makes {whole} units of an axis that has "
                f"{value.shape[k]}"
            )
        if isinstance(axis, tuple):
            split = (*axes[:k], *inner, *axes[k + 1 :])
            yield from pieces(value.unflatten(k, sizes), split)
            return
        for part, each in zip(value.split(sizes, k), inner, strict=True):
            yield from pieces(part, (*axes[:k], each, *axes[k + 1 :]))
        return
    yield value, axes


def flat(
    point: Mapping[str, Tensor], spec: Spec
) -> tuple[dict[str, Tensor], Spec]:
    """All pieces of all tensors as tensors of their own, and their spec."""
    values, simple = {}, {}
    for name, value in point.items():
        for k, (piece, axes) in enumerate(pieces(value, spec.get(name, ()))):
            values[f"{name}[{k}]"], simple[f"{name}[{k}]"] = piece, axes
    return values, simple


def shuffle(
    sizes: Mapping[str, int], generator: torch.Generator
) -> Permutations:
    """Random orders of all groups.

    Args:
        sizes: from :func:`~dldna.landscape.curves.specs.group_sizes`.
        generator: where they are drawn from.
    """
    return {
        group: torch.stack(
            [
                torch.randperm(n, generator=generator, device="cpu")
                for _ in range(sizes[home(group)])
            ]
        )
        if "/" in group
        else torch.randperm(n, generator=generator, device="cpu")
        for group, n in sizes.items()
    }


def identity(sizes: Mapping[str, int]) -> Permutations:
    """All groups in the order in which they are."""
    return {
        group: torch.arange(n, device="cpu").repeat(sizes[home(group)], 1)
        if "/" in group
        else torch.arange(n, device="cpu")
        for group, n in sizes.items()
    }
