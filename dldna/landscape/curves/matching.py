"""Rename the hidden units of one network after those of another."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from dldna import checks
from dldna.landscape.curves.blocks import best_blocks
from dldna.landscape.curves.exchanges import (
    exchange,
    gains,
    similarity,
)
from dldna.landscape.curves.permuting import (
    Permutations,
    Spec,
    by_name,
    flat,
    home,
    identity,
    permute,
    shuffle,
)
from dldna.landscape.curves.specs import group_sizes
from dldna.params import exact


@dataclass(frozen=True, eq=False)
class Matching:
    r"""The order of B's hidden units that is most like A's.

    Similarity is the inner product of the weights that the spec names,

    .. math:: s(\pi) = \sum_l \langle W_l^A, \pi(W^B)_l \rangle,

    so the squared distance of the two falls by twice what it gains.

    Args:
        permutations: (n,) indices for each group: new unit i of B is its
            old unit ``permutations[g][i]``; (m, n) for a group inside each
            of m units, as :func:`permute` takes them.
        before: similarity of the two networks as they came.
        after: similarity with B permuted.
        sweeps: passes over the groups, the last of which moved nothing,
            unless the limit was reached.
        spec: the spec that was used.

    Example:
        >>> found = Matching({"h": torch.tensor([1, 0])}, 4.0, 5.0, 2,
        ...                  {"w": ("h", None)})
        >>> found.apply({"w": torch.tensor([[1.0], [2.0]])})["w"].T
        tensor([[2., 1.]])

    References:
        Ainsworth, Hayase, Srinivasa, Git Re-Basin: merging models modulo
        permutation symmetries, ICLR 2023, arXiv 2209.04836.
    """

    permutations: Permutations
    before: float
    after: float
    sweeps: int
    spec: Spec

    def apply(self, point: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """B's parameters (and buffers, if given) in the new order.

        Args:
            point: B's parameters (and buffers) by name; names that the
                spec lacks are kept.

        Returns:
            New tensors, by name.

        Raises:
            KeyError: a group of the spec has no permutation.

        Example:
            >>> found = Matching({"h": torch.tensor([1, 0])}, 4.0, 5.0, 2,
            ...                  {"w": ("h",)})
            >>> found.apply({"w": torch.tensor([1.0, 2.0])})
            {'w': tensor([2., 1.])}
        """
        return permute(point, self.spec, self.permutations)


def match_weights(
    a: Mapping[str, Tensor],
    b: Mapping[str, Tensor],
    spec: Spec,
    *,
    tries: int = 1,
    seed: int = 0,
    sweeps: int = 100,
) -> Matching:
    r"""Permute B's hidden units so that its weights look like A's.

    .. math:: \max_{P_1, \dots, P_{L-1}} \;
              \sum_l \langle W_l^A, P_l W_l^B P_{l-1}^T \rangle

    by coordinate descent: with all other groups fixed, the best order of
    one group is a linear assignment problem, unless the group stands on
    two axes of one tensor (a skip connection, a recurrent layer). There
    the assignment is a guess; it is taken if the sum itself grows, and
    else pairs of units are exchanged as long as that helps. The sum never
    falls, and the descent ends in a local optimum. Where units hold groups
    of their own (heads), each pair of them is matched inside first, and
    then they are matched by what that gave. The first sweep goes
    from input to output, the later ones in random order.

    Args:
        a: parameters of the network that stays.
        b: parameters of the network that is permuted.
        spec: from :func:`spec_of`, or written by hand.
        tries: descents; all but the first start from random orders, and
            the best is returned.
        seed: of the order of the groups and of random starts.
        sweeps: at most so many passes for each try.

    Returns:
        The permutations and what they gained.

    Raises:
        ValueError: the two networks or the spec do not fit.
        TypeError: a module, say, in the place of its parameters.
        ImportError: SciPy is not installed (extra ``science``).

    Example:
        >>> spec = {"w1": ("h", None), "w2": (None, "h")}
        >>> g = torch.Generator().manual_seed(0)
        >>> a = {"w1": torch.randn(5, 3, generator=g),
        ...      "w2": torch.randn(2, 5, generator=g)}
        >>> b = permute(a, spec, {"h": torch.tensor([4, 0, 3, 1, 2])})
        >>> found = match_weights(a, b, spec).apply(b)
        >>> torch.equal(found["w1"], a["w1"])
        True

    References:
        Ainsworth, Hayase, Srinivasa, Git Re-Basin: merging models modulo
        permutation symmetries, ICLR 2023, arXiv 2209.04836.
        Entezari, Sedghi, Saukh, Neyshabur, The role of permutation
        invariance in linear mode connectivity of neural networks, ICLR
        2022, arXiv 2110.06296.
    """
    checks.count("tries", tries)
    checks.count("sweeps", sweeps)
    names = [n for n in spec if n in by_name(a) and n in by_name(b)]
    left = {n: exact(a[n].detach()).cpu() for n in names}
    right = {n: exact(b[n].detach()).cpu() for n in names}
    for n in names:
        if left[n].shape != right[n].shape:
            raise ValueError(
                f"parameter {n!r} has shape {tuple(left[n].shape)} in the "
                f"first and {tuple(right[n].shape)} in the second"
            )
        if not (left[n].isfinite().all() and right[n].isfinite().all()):
            raise ValueError(f"parameter {n!r} holds NaN or inf")
    sizes = group_sizes(spec, left)
    generator = torch.Generator().manual_seed(seed)
    best = None
    (left, simple), (right, _) = flat(left, spec), flat(right, spec)
    before = similarity(left, right, simple, identity(sizes))
    for number in range(tries):
        start = shuffle(sizes, generator) if number else identity(sizes)
        found, passes = _coordinate_descent(
            left, right, simple, start, sweeps, generator
        )
        value = similarity(left, right, simple, found)
        if best is None or value > best.after:
            best = Matching(found, before, value, passes, spec)
    return best


def _coordinate_descent(left, right, spec, orders, sweeps, generator):
    assign = checks.need(
        "scipy.optimize", "science", "matching of weights"
    ).linear_sum_assignment
    groups = [g for g in orders if "/" not in g]
    outer = {home(g) for g in orders if "/" in g}
    twice = {g for n in left for g in spec[n] if g and spec[n].count(g) > 1}
    for sweep in range(1, sweeps + 1):
        moved = False
        for group in groups:
            if group in outer:
                new = best_blocks(left, right, spec, orders, group, assign)
                trial = {**orders, **new}
                better, least = _gained(left, right, spec, orders, trial)
                if better > least:
                    orders.update(new)
                    moved = True
                continue
            gain = gains(left, right, spec, orders, group)
            _, columns = assign(gain.numpy(), maximize=True)
            new = torch.from_numpy(columns)
            units = torch.arange(len(new), device="cpu")
            better = gain[units, new].sum() - gain[units, orders[group]].sum()
            least = 1e-12 * float(gain.abs().max())
            if better > least and group in twice:
                trial = {**orders, group: new}
                better = similarity(left, right, spec, trial) - similarity(
                    left, right, spec, orders
                )
            if better > least:
                orders[group], moved = new, True
            elif group in twice:
                moved |= exchange(left, right, spec, orders, group, least)
        if not moved:
            return orders, sweep
        n = len(groups)
        shuffled = torch.randperm(n, generator=generator, device="cpu")
        groups = [groups[i] for i in shuffled.tolist()]
    return orders, sweeps


def _gained(left, right, spec, orders, trial) -> tuple[float, float]:
    """What a trial adds to the sum, and the least that counts."""
    now = similarity(left, right, spec, orders)
    then = similarity(left, right, spec, trial)
    return then - now, 1e-12 * max(abs(now), abs(then))
