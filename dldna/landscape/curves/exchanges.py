"""How alike two networks are, and exchanges of units that raise it."""

from torch import Tensor

from dldna.landscape.curves.permuting import permute


def exchange(left, right, spec, orders, group, least) -> bool:
    """Exchange pairs of a group's units while the sum grows."""
    moved, value = False, similarity(left, right, spec, orders)
    while True:
        gain = _exchanges(left, right, spec, orders, group)
        high = gain.flatten().topk(min(gain.numel(), 8 * len(gain)))
        free, pairs = set(range(len(gain))), []
        for more, index in zip(*map(Tensor.tolist, high), strict=True):
            i, j = divmod(index, len(gain))
            if more > least and i in free and j in free:
                pairs.append((i, j))
                free -= {i, j}
        # the best pair, or all that share no unit if they do more
        trials = [
            {**orders, group: _swapped(orders[group], chosen)}
            for chosen in (pairs[:1], pairs)
        ]
        values = [similarity(left, right, spec, o) for o in trials]
        if not pairs or max(values) - value <= least:
            return moved
        orders[group] = trials[values.index(max(values))][group]
        moved, value = True, max(values)


def _swapped(order: Tensor, pairs: list[tuple[int, int]]) -> Tensor:
    order = order.clone()
    for i, j in pairs:
        order[[i, j]] = order[[j, i]]
    return order


def _exchanges(left, right, spec, orders, group) -> Tensor:
    """(n, n): what exchanging units i and j adds to the sum, exactly.

    To first order it is what both gain in each other's place. Where a
    tensor has the group on two axes, the entries between the two units
    move along both, which adds a product of second differences.
    """
    h = gains(left, right, spec, orders, group)[:, orders[group]]
    own = h.diagonal()
    total = h + h.t() - own[:, None] - own[None, :]
    for name, value in left.items():
        axes = [k for k, g in enumerate(spec[name]) if g == group]
        if len(axes) != 2:
            continue
        moved = permute({name: right[name]}, spec, orders)[name]
        a, m = (
            t.movedim(axes, (0, 1)).reshape(len(h), len(h), -1)
            for t in (value, moved)
        )
        total = total + (_cross(a) * _cross(m)).sum(-1)
    return total


def _cross(t: Tensor) -> Tensor:
    """t_ii + t_jj - t_ij - t_ji, for all i and j."""
    own = t.diagonal().t()
    return own[:, None] + own[None] - t - t.transpose(0, 1)


def gains(left, right, spec, orders, group) -> Tensor:
    """(n, n): how alike unit i of A and unit j of B are."""
    total = 0.0
    for name, value in left.items():
        for axis, here in enumerate(spec[name]):
            if here != group:
                continue
            others = {
                name: tuple(
                    None if k == axis else g for k, g in enumerate(spec[name])
                )
            }
            other = permute({name: right[name]}, others, orders)[name]
            n = value.shape[axis]
            u = value.movedim(axis, 0).reshape(n, -1)
            v = other.movedim(axis, 0).reshape(n, -1)
            total = total + u @ v.t()
    return total


def similarity(left, right, spec, orders) -> float:
    """The sum of inner products of A and the permuted B."""
    moved = permute(right, spec, orders)
    return float(sum((left[n] * moved[n]).sum() for n in left))
