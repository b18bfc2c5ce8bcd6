"""The way for small networks of any kind: stacked parameters, one pass.

``torch.func.vmap`` maps the model's own forward over a leading axis of
points. Convolutions become grouped convolutions, linear layers batched
products. It saves the cost of calling operations, which is nearly all of
the cost where the arithmetic of a point is small.
"""

from typing import Any

import torch
from torch import Tensor

from dldna import batches as bt
from dldna import params
from dldna.guard import attributes_kept
from dldna.landscape.evaluate.evaluator import Values
from dldna.landscape.evaluate.graph import Unsupported
from dldna.landscape.evaluate.losses import (
    add_losses,
    add_one,
    joined,
    per_sample,
)
from dldna.landscape.evaluate.subspace import Subspace
from dldna.landscape.evaluate.total import Total
from dldna.torch_internals import tree_map

CACHE = 32 * 2**20  # bytes of activations and weights at once
POINTS = 256


class Stacked:
    """Many points in one mapped pass.

    Args:
        subspace: what is evaluated.
        memory: bytes it may use.

    Raises:
        Unsupported: the statistics change from point to point.
    """

    name = "stacked"

    def __init__(self, subspace: Subspace, memory: float):
        if subspace.statistics not in ("eval", "interpolate"):
            raise Unsupported(f"statistics={subspace.statistics!r}")
        if subspace.dtype == "bfloat16":
            raise Unsupported("dtype='bfloat16'")
        self.subspace = subspace
        self.notes: dict[str, Any] = {}
        self.kind = per_sample(subspace)
        self.batches = subspace.batches
        if self.kind:
            self.batches = joined(subspace.batches, 256)
        cost = self._bytes()
        self.at_once = int(
            max(1, min(POINTS, CACHE / cost, memory / 8 / cost))
        )
        self.chunk = 4 * self.at_once

    def _bytes(self) -> int:
        """Memory that one point takes: weights and module outputs."""
        size = sum(v.nbytes for v in self.subspace.origin.values())

        def look(module, inputs, output):
            nonlocal size
            if isinstance(output, Tensor):
                size += output.nbytes

        model = self.subspace.twin
        handles = [m.register_forward_hook(look) for m in model.modules()]
        try:
            with torch.no_grad():
                self._forward(torch.zeros(1, 1).double(), self.batches[0])
        except Exception as error:  # the user's code, mapped
            raise Unsupported(f"cannot be mapped: {error}") from error
        finally:
            for handle in handles:
                handle.remove()
        return size

    def __call__(self, coords: Tensor) -> Values:
        """Loss and metrics at (P, K) coordinates; each (P,) float64."""
        coords = self.subspace.check(coords)
        total = Total(self.subspace, len(coords))
        with torch.no_grad():
            for start in range(0, len(coords), self.at_once):
                part = coords[start : start + self.at_once]
                self._part(total, range(start, start + len(part)), part)
        return total.means()

    def _part(self, total: Total, at: range, part: Tensor) -> None:
        for batch in self.batches:
            outputs = self._forward(part, batch)
            if self.kind and outputs.ndim == 3:
                logits = outputs.transpose(1, 2)
                add_losses(total, list(at), logits, batch, self.kind)
                continue
            for i, p in enumerate(at):
                add_one(total, p, _take(outputs, i), batch)

    def _forward(self, part: Tensor, batch: Any) -> Any:
        """Outputs with a leading axis of points."""
        subspace = self.subspace
        state = _stacked(subspace.origin, subspace.directions, part)
        moving: dict[str, Tensor] = {}
        if subspace.buffer_directions:
            names = subspace.buffer_directions[0]
            start = {k: subspace.buffers[k] for k in names}
            moving = _stacked(start, subspace.buffer_directions, part)
        fixed = {
            k: v.clone()
            for k, v in subspace.buffers.items()
            if k not in moving
        }

        def call(state, inputs):
            def model(*args, **kwargs):
                return params.call(subspace.twin, state | fixed, args, kwargs)

            return bt.apply(model, inputs)

        inputs = bt.split(batch)[0]
        mapped = torch.func.vmap(call, in_dims=(0, None), randomness="error")
        with attributes_kept(subspace.model):  # mapped tensors die with it
            return mapped(state | moving, inputs)


def _stacked(origin, directions, part: Tensor) -> dict[str, Tensor]:
    made = {}
    for name, value in origin.items():
        value = value.unsqueeze(0)
        for k, direction in enumerate(directions[: part.shape[1]]):
            c = part[:, k].to(value).view(-1, *[1] * (value.ndim - 1))
            value = torch.addcmul(value, c, direction[name].unsqueeze(0))
        made[name] = value
    return made


def _take(outputs: Any, i: int) -> Any:
    """Point i of outputs, which may be nested."""
    return tree_map(lambda t: t[i] if torch.is_tensor(t) else t, outputs)
