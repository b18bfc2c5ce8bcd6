"""Other orders of the hidden units."""

from collections.abc import Mapping

from torch import Tensor

Spec = dict[str, tuple[str | None, ...]]
"""Group names for the axes of parameters and buffers, None where the order
of units is fixed from outside; ``mlp_spec`` makes one."""
Permutations = dict[str, Tensor]


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
            this is not checked.

    Returns:
        New tensors, by name.

    Raises:
        KeyError: a group of the spec has no permutation.

    Example:
        >>> import torch
        >>> w = {"w": torch.tensor([[1.0], [2.0]])}
        >>> permute(w, {"w": ("h", None)}, {"h": torch.tensor([1, 0])})
        {'w': tensor([[2.],
                [1.]])}

    References:
        Entezari, Sedghi, Saukh, Neyshabur, The role of permutation
        invariance in linear mode connectivity of neural networks, ICLR
        2022, arXiv 2110.06296.
        Ainsworth, Hayase, Srinivasa, Git Re-Basin: merging models modulo
        permutation symmetries, ICLR 2023, arXiv 2209.04836.
    """
    moved = {}
    for name, value in point.items():
        for axis, group in enumerate(spec.get(name, ())):
            if group is not None:
                order = permutations[group].to(value.device)
                value = value.index_select(axis, order)
        moved[name] = value.clone()
    return moved
