"""The best order of units that hold groups of their own (heads)."""

from collections.abc import Callable

import torch
from torch import Tensor

from dldna.landscape.curves.permuting import (
    Permutations,
    home,
    permute,
)


def best_blocks(
    left, right, spec, orders: Permutations, group: str, assign: Callable
) -> Permutations:
    r"""The best orders of a group and of all groups inside its units.

    With all others fixed, unit i of A and unit j of B are as alike as the
    best orders inside make them,

    .. math:: g_{ij} = b_{ij} + \sum_c \max_\rho \sum_a
              G^c_{ij, a \rho(a)},

    with one linear assignment problem for each pair and inner group c,
    and one more for the pairs. That is exact where no tensor has the
    group on two axes, or two inner groups.

    Args:
        left: pieces of A, by name.
        right: pieces of B.
        spec: of the pieces.
        orders: the orders of all groups.
        group: the outer group.
        assign: SciPy's ``linear_sum_assignment``.

    Returns:
        The orders of the group and of those inside.
    """
    n = len(orders[group])
    total = torch.zeros(n, n, dtype=torch.float64, device="cpu")
    inside: dict[str, Tensor] = {}
    for name, axes in spec.items():
        if group not in axes or name not in left:
            continue
        inner = [g for g in axes if g and home(g) == group]
        others = {
            name: tuple(
                g if g and group not in (g, home(g)) else None for g in axes
            )
        }
        moved = permute({name: right[name]}, others, orders)[name]
        if not inner:
            k = axes.index(group)
            total += _alike(left[name], moved, [k])
        for g in dict.fromkeys(inner):
            both = [axes.index(group), axes.index(g)]
            gain = _alike(left[name], moved, both) / len(inner)
            inside[g] = inside.get(g, 0.0) + gain
    choices = {}
    for g, gain in inside.items():
        best = torch.empty(
            n, n, gain.shape[-1], dtype=torch.long, device="cpu"
        )
        for i in range(n):
            for j in range(n):
                _, columns = assign(gain[i, j].numpy(), maximize=True)
                best[i, j] = torch.from_numpy(columns)
        total += gain.gather(-1, best[..., None]).sum((-2, -1))
        choices[g] = best
    _, columns = assign(total.numpy(), maximize=True)
    new = torch.from_numpy(columns)
    rows = torch.arange(n, device="cpu")
    return {group: new, **{g: c[rows, new] for g, c in choices.items()}}


def _alike(a: Tensor, b: Tensor, axes: list[int]) -> Tensor:
    """Inner products of units: (i, j), or (i, j, in i, in j)."""
    front = range(len(axes))
    a, b = (t.movedim(axes, tuple(front)) for t in (a, b))
    a, b = (t.reshape(*t.shape[: len(axes)], -1) for t in (a, b))
    if len(axes) == 1:
        return a @ b.t()
    return torch.einsum("iax,jbx->ijab", a, b)
