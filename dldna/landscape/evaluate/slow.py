"""The slow, obviously right way: one point at a time, any module.

It is the oracle of every other way.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from dldna import batches as bt
from dldna.landscape.evaluate.evaluator import Values
from dldna.landscape.evaluate.losses import add_one, per_sample
from dldna.landscape.evaluate.subspace import Subspace
from dldna.landscape.evaluate.total import Total
from dldna.module_state import AllAttributes
from dldna.objective import in_place, norms
from dldna.objective.gradients import values_only
from dldna.objective.place import Put
from dldna.params import exact

PIECE = 1024  # samples whose statistics are taken at once


class Slow:
    """One point at a time, in the model itself.

    A point's weights are written into the model's own tensors for the
    length of forward, loss and metrics, so that whatever reads the model
    sees them; then its own come back, bit by bit.

    Args:
        subspace: what is evaluated.
        exact: take cross-entropy and squared error in float64 from the
            outputs, as the fast ways do, and not in the outputs' own type:
            near a loss of 0 a log-softmax in float32 has few digits.
    """

    name = "slow"
    chunk = 1

    def __init__(self, subspace: Subspace, exact: bool = False):
        self.subspace = subspace
        self.notes: dict[str, Any] = {}
        self.origin = subspace.origin
        self.exact = exact and per_sample(subspace) is not None

    def __call__(self, coords: Tensor) -> Values:
        """Loss and metrics at (P, K) coordinates; each (P,) float64."""
        coords = self.subspace.check(coords)
        total = Total(self.subspace, len(coords))
        with placed(self.subspace) as put, self.ready():
            kept = AllAttributes(self.subspace.model)
            for p, point in enumerate(coords.tolist()):
                try:
                    self._point(put, total, p, point)
                finally:
                    kept.put_back()
        return total.means()

    def ready(self) -> AbstractContextManager[None]:
        """What holds while points are evaluated."""
        return nullcontext()

    def forward(self, i: int, batch: Any) -> Any:
        """The model's output on batch i, at the point that is in place."""
        return forward(self.subspace, batch)

    def _point(self, put: Put, total: Total, p: int, point: list[float]):
        subspace = self.subspace
        put(self.origin, subspace.buffers_at(point), subspace.moves(point))
        if subspace.statistics == "recalibrate":
            recalibrate(subspace, put)
        for i, batch in enumerate(subspace.batches):
            if (
                i and subspace.statistics == "train"
            ):  # batch norm writes to these
                put({}, subspace.buffers_at(point))
            output = self.forward(i, batch)
            add_one(total, p, output, batch, self.exact)


@contextmanager
def placed(subspace: Subspace, needs: tuple[str, ...] = ()) -> Iterator[Put]:
    """The subspace's model, ready for points to be put into it."""
    device = subspace.device
    devices = [device] if device.type == "cuda" else []
    training = norms(subspace.model) if subspace.statistics == "train" else ()
    with (
        torch.random.fork_rng(devices),
        values_only(subspace.model, subspace.loss_fn) as own,
        torch.set_grad_enabled(bool(needs or own)),
        in_place(
            subspace.model,
            training=training,
            needs=needs or own,
            write=True,
            known=subspace.origin,
        ) as put,
    ):
        yield put


def forward(subspace: Subspace, batch: Any) -> Any:
    """The model's output on a batch, at the point that is in place."""
    half = subspace.dtype == "bfloat16"
    with _precision(subspace.device.type, half):
        output = bt.apply(subspace.model, bt.split(batch)[0])
    return output.float() if half and isinstance(output, Tensor) else output


def _precision(device: str, half: bool) -> AbstractContextManager[None]:
    """In bfloat16, or as the weights are, whatever the caller has set."""
    if half or torch.amp.is_autocast_available(device):
        return torch.autocast(device, torch.bfloat16, enabled=half)
    return nullcontext()  # "mps" before torch 2.5: nothing could be set


def recalibrate(subspace: Subspace, put: Put) -> None:
    r"""Put the data's own statistics into the layers that keep some.

    Means and second moments are pooled over pieces of the data with
    :math:`n_b` values for each channel,

    .. math:: \mu=\sum_b \tfrac{n_b}{n}\mu_b,\qquad
        \sigma^2=\tfrac{n}{n-1}\Big(\sum_b \tfrac{n_b}{n}
        (\tfrac{n_b-1}{n_b}\sigma_b^2+\mu_b^2)-\mu^2\Big),

    and the pieces do not depend on how a loader cuts the data, where its
    batches can be joined.

    Args:
        subspace: what is evaluated, with a point in place.
        put: as :func:`dldna.objective.in_place` gives it.
    """
    layers = norms(subspace.model)
    moments: dict[nn.Module, list] = {m: [0.0, 0.0, 0.0] for m in layers}

    def note(layer: nn.Module, args: tuple, _: Tensor) -> None:
        n = args[0].numel() / layer.num_features
        mean, var = exact(layer.running_mean), exact(layer.running_var)
        sums = moments[layer]
        sums[0] += n
        sums[1] += n * mean
        sums[2] += (n - 1) * var + n * mean.square()

    momenta = [layer.momentum for layer in layers]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    try:
        for layer in layers:
            layer.training = True
            layer.momentum = 1.0
        with torch.no_grad():
            for piece in _pieces(subspace.batches):
                forward(subspace, piece)
    finally:
        for layer, hook, momentum in zip(layers, hooks, momenta, strict=True):
            hook.remove()
            layer.training = False
            layer.momentum = momentum
    fresh = {}
    for name, layer in subspace.model.named_modules():
        n, first, second = moments.get(layer, (0, 0, 0))
        if not n:  # no batch reached it
            continue
        mean = first / n
        var = (second / n - mean.square()).clamp_min(0) * n / max(n - 1, 1)
        at = f"{name}." if name else ""
        fresh[f"{at}running_mean"] = mean.to(layer.running_mean)
        fresh[f"{at}running_var"] = var.to(layer.running_var)
    put({}, fresh)


def _pieces(batches: list[Any]) -> list[Any]:
    """The data in nearly equal pieces, whatever the batches were."""
    if not all(map(bt.sliced, batches)):
        return batches
    try:
        whole = batches[0] if len(batches) == 1 else bt.join(batches)
    except (RuntimeError, TypeError, KeyError):
        return batches  # ragged
    n = bt.size(whole)
    parts = -(-n // PIECE)
    edges = [round(i * n / parts) for i in range(parts + 1)]
    return [bt.cut(whole, a, b) for a, b in pairwise(edges)]
