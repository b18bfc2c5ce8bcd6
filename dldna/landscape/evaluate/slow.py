"""The slow, obviously right way: one point at a time, any module.

It is the oracle of every other way.
"""

from typing import Any

import torch
from torch import Tensor

from dldna import batches as bt
from dldna import params
from dldna.landscape.evaluate.losses import mean, per_sample
from dldna.landscape.evaluate.task import Task, Total, Values, norms


class Slow:
    """One point at a time through the model's own forward.

    Parameters and buffers are handed to the model for the length of a call
    (``dldna.params.call``); tied weights, parametrisations,
    recurrent and attention layers work as they are. The model's own
    tensors and the global random state are not written to.

    Args:
        task: what is evaluated.
        exact: take cross-entropy and squared error in float64 from the
            outputs, as the fast ways do, and not in the outputs' own type:
            near a loss of 0 a log-softmax in float32 has few digits.
    """

    name = "slow"
    chunk = 1

    def __init__(self, task: Task, exact: bool = False):
        self.task = task
        self.notes: dict[str, Any] = {}
        self.exact = exact and per_sample(task) is not None

    def __call__(self, coords: Tensor) -> Values:
        """Loss and metrics at (P, K) coordinates; each (P,) float64."""
        coords = self.task.check(coords)
        total = Total(self.task, len(coords))
        device = self.task.device
        devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices), torch.no_grad():
            for p, point in enumerate(coords.tolist()):
                self._point(total, p, point)
        return total.means()

    def _point(self, total: Total, p: int, point: list[float]) -> None:
        task = self.task
        state = task.parameters_at(point)
        if task.statistics == "recalibrate":
            buffers = recalibrated(task, state)
        else:
            buffers = task.buffers_at(point)
        for batch in task.batches:
            if task.statistics == "train":  # batch norm writes to these
                buffers = task.buffers_at(point)
            output = forward(task, state | buffers, batch)
            if self.exact:
                output = output.double()
            total.add("loss", p, mean(task.loss(output, batch)), batch)
            for name, metric in task.metrics.items():
                total.add(name, p, mean(metric(output, batch)), batch)


def forward(task: Task, state: dict[str, Tensor], batch: Any) -> Any:
    """The model's output on a batch, with the tensors of ``state``."""

    def call(*args, **kwargs):
        return params.call(task.model, state, args, kwargs)

    half = task.precision == "bfloat16"
    with torch.autocast(task.device.type, torch.bfloat16, enabled=half):
        output = bt.apply(call, bt.split(batch)[0])
    return output.float() if half and isinstance(output, Tensor) else output


def recalibrated(task: Task, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Buffers whose running statistics are the data's, at given parameters.

    Means and variances of batches are averaged with equal weights, as in
    ``torch.optim.swa_utils.update_bn``.
    """
    buffers = {k: v.clone() for k, v in task.buffers.items()}
    layers = norms(task.model)
    momenta = [layer.momentum for layer in layers]
    for key, value in buffers.items():
        if key.endswith("running_mean") or key.endswith("tracked"):
            value.zero_()
        elif key.endswith("running_var"):
            value.fill_(1)
    try:
        for layer in layers:
            layer.train()
            layer.momentum = None
        for batch in task.batches:
            forward(task, state | buffers, batch)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.eval()
            layer.momentum = momentum
    return buffers
