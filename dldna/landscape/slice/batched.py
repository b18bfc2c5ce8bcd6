r"""A small perceptron at many settings of two parameters, by hand.

All but two of the parameters are frozen. What no free parameter reaches is
computed once for the whole data set; of the rest each unit is one array
(points, samples), worked on in blocks that stay in cache. The gradient by
the two free numbers is the backward pass through those units alone.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

Place = tuple[int, int, int]
Coefficient = float | Tensor

BLOCK = 1 << 14
"""Numbers in one array of a block. Measured: arrays of more than 128 KiB
come from fresh pages each time, and take four times as long."""

_aten = torch.ops.aten


def tanh_(z: Tensor) -> Tensor:
    """By way of the sigmoid, in place: a fifth of the time in float64."""
    return z.mul_(2).sigmoid_().mul_(2).sub_(1)


FORWARD = {"relu": torch.relu_, "sigmoid": torch.sigmoid_, "tanh": tanh_}
BACKWARD = {
    "relu": lambda g, h: _aten.threshold_backward(g, h, 0),
    "sigmoid": _aten.sigmoid_backward,
    "tanh": _aten.tanh_backward,
}


class Batched:
    """The network with two free parameters, ready for many points.

    Args:
        weights: matrices (out, in), float64.
        biases: vectors (out,).
        activation: a key of :data:`FORWARD`, after all but the last layer.
        free: two places (layer, row, column), column -1 for a bias.
        x: inputs (N, n).
        y: targets (N,).
    """

    def __init__(
        self,
        weights: Sequence[Tensor],
        biases: Sequence[Tensor],
        activation: str,
        free: Sequence[Place],
        x: Tensor,
        y: Tensor,
    ):
        self.depth, self.free = len(weights), tuple(free)
        self.act, self.back = FORWARD[activation], BACKWARD[activation]
        self.weights = [w.tolist() for w in weights]
        fixed = [w.clone() for w in weights]
        shift = [b.clone() for b in biases]
        for layer, row, col in free:
            (shift[layer] if col < 0 else fixed[layer][:, col])[row] = 0
        rows, h, moving = [], x.T, []
        self.inputs: list[list[int]] = []  # rows of constants, or -1
        self.bases: list[dict[int, int]] = []
        self.moving: list[list[int]] = [[]]  # units that vary, by layer
        for layer, (w, b) in enumerate(zip(fixed, shift, strict=True)):
            self.inputs.append(list(range(len(rows), len(rows) + len(h))))
            rows += h
            w = w.clone()
            w[:, moving] = 0
            z = w @ h + b[:, None]
            owners = {r for at, r, _ in free if at == layer}
            n = len(z)
            moving = list(range(n)) if moving else sorted(owners)
            if layer == self.depth - 1:
                z = z - y
            self.bases.append({k: len(rows) + i for i, k in enumerate(moving)})
            rows += [z[k] for k in moving]
            self.moving.append(moving)
            h = z if layer == self.depth - 1 else self.act(z.clone())
        self.constants = torch.stack(rows)

    def losses(self, points: Tensor) -> Tensor:
        """Mean squared errors (P,) at points (P, 2), over all samples."""
        return self._blocks(points, self.constants, backward=False)[0]

    def gradient(
        self, points: Tensor, index: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Losses (P,) and gradients (P, 2) on the samples ``index``."""
        rows = self.constants
        if index is not None:
            rows = rows[:, index]
        return self._blocks(points, rows, backward=True)

    def _blocks(self, points: Tensor, rows: Tensor, backward: bool):
        n = max(1, BLOCK // rows.shape[1])
        parts = [self._block(p, rows, backward) for p in points.split(n)]
        if len(parts) == 1:
            return parts[0]
        losses = torch.cat([loss for loss, _ in parts])
        return losses, torch.cat([g for _, g in parts]) if backward else None

    def _block(self, points: Tensor, rows: Tensor, backward: bool):
        free = dict(zip(self.free, points.T.unsqueeze(-1), strict=True))
        signals: list[dict[int, Tensor]] = [{}]
        for layer in range(self.depth):
            h = signals[-1]
            units = {}
            for k in self.moving[layer + 1]:
                z = self._sum(layer, k, h, rows, free)
                units[k] = z if layer == self.depth - 1 else self.act(z)
            signals.append(units)
        error = signals.pop()[0]
        losses = error.square().mean(1)
        if not backward:
            return losses, None
        return losses, self._backward(error, signals, rows, free)

    def _sum(self, layer, k, h, rows, free) -> Tensor:
        """What goes into one unit: base, free terms, moving inputs."""
        base = rows[self.bases[layer][k]]
        z = None
        for place, value in free.items():
            at, row, col = place
            if (at, row) != (layer, k):
                continue
            if col < 0:
                z = base + value if z is None else z.add_(value)
            elif col not in h:
                x = rows[self.inputs[layer][col]]
                old = base if z is None else z
                z = torch.addcmul(old, value, x)
        for j, signal in h.items():
            c = self._coefficient(layer, k, j, free)
            z = _plus(base if z is None else z, c, signal, z is not None)
        return z

    def _coefficient(self, layer, k, j, free) -> Coefficient:
        return free.get((layer, k, j), self.weights[layer][k][j])

    def _backward(self, delta, signals, rows, free) -> Tensor:
        # (array, factor) for each unit, from the output to the first layer.
        sums: dict[int, tuple[Tensor, Coefficient]] = {0: (delta, 1.0)}
        found: dict[Place, Tensor] = {}
        for layer in reversed(range(self.depth)):
            h = signals[layer]
            for place in self.free:
                at, row, col = place
                if at == layer:
                    d, factor = sums[row]
                    found[place] = _scaled(
                        _inner(d, col, h, rows, self.inputs[layer]), factor
                    )
            if not h:
                break
            sums = {j: self._into(layer, j, h[j], sums, free) for j in h}
        n = rows.shape[1]
        return torch.stack([found[p] for p in self.free], 1) * (2 / n)

    def _into(self, layer, j, signal, sums, free):
        """The gradient by what goes into unit j of the layer below."""
        terms = [
            (d, _times(factor, self._coefficient(layer, k, j, free)))
            for k, (d, factor) in sums.items()
        ]
        if len(terms) == 1:
            ((d, factor),) = terms
            return self.back(d, signal), factor
        d, factor = terms[0]
        total = d * factor
        for d, factor in terms[1:]:
            total = _plus(total, factor, d, True)
        return self.back(total, signal), 1.0


def _plus(z: Tensor, c: Coefficient, x: Tensor, own: bool) -> Tensor:
    """z + c x, in place where z is ours."""
    if isinstance(c, Tensor):
        return z.addcmul_(c, x) if own else torch.addcmul(z, c, x)
    return z.add_(x, alpha=c) if own else torch.add(z, x, alpha=c)


def _times(a: Coefficient, b: Coefficient) -> Coefficient:
    return b if isinstance(a, float) and a == 1.0 else a * b


def _inner(d, col, h, rows, inputs) -> Tensor:
    """Sum over samples of a gradient times the input it belongs to."""
    if col < 0:
        return d.sum(1)
    if col in h:
        return torch.linalg.vecdot(d, h[col])
    return d @ rows[inputs[col]]


def _scaled(value: Tensor, factor: Coefficient) -> Tensor:
    factor = factor[:, 0] if isinstance(factor, Tensor) else factor
    return value * factor
