"""A network that computes the same function with other weights."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from dldna import params
from dldna.guard import untouched
from dldna.landscape import rescale_relu
from dldna.objective import Objective

FACTOR = 4.0
TRIES = 6
CLOSE = 1e-4  # relative difference of outputs, from rounding


def twin_of(f: Objective) -> tuple[Objective | None, dict]:
    """The objective of a rescaled twin that computes the same function.

    Layers that follow each other are tried, as
    :func:`dldna.landscape.rescale_relu` takes them, until one pair leaves
    the outputs on the first batch and the mean loss as they are.

    Args:
        f: the objective.

    Returns:
        That of the twin, or None; and the facts: the layers, the factor
        and the twin's loss, or how many pairs were tried.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
        >>> data = torch.ones(4, 2), torch.ones(4, 1)
        >>> twin_of(Objective(net, nn.MSELoss(), data))[1]["layers"]
        ['0', '2']
    """
    layers = [
        name
        for name, module in f.model.named_modules()
        if isinstance(getattr(module, "weight", None), nn.Parameter)
        and _moves(f, name, module)
    ]
    pairs = list(pairwise(layers))[:TRIES]
    loss = f.loss()
    for first, second in pairs:
        twin = rescale_relu(f.model, first, second, FACTOR)
        point = {k: p for k, p in params.of(twin).items() if k in f.point}
        if not _same_output(f, point):
            continue
        there = f.loss(point)
        if abs(there - loss) <= CLOSE * abs(loss):
            words = {"statistics": f.statistics, "dtype": f.dtype}
            words |= {"names": f.asked.get("params")}
            made = Objective(twin, f.loss_fn, f.held, **words)
            facts = {"layers": [first, second], "factor": FACTOR}
            return made, facts | {"loss": there, "own loss": loss}
    return None, {"tried": len(pairs)}


def _moves(f: Objective, name: str, module: nn.Module) -> bool:
    """Whether all parameters of a module are among those that move."""
    own = [k for k, _ in module.named_parameters(recurse=False)]
    return all((f"{name}.{k}" if name else k) in f.point for k in own)


def _same_output(f: Objective, point: dict[str, Tensor]) -> bool:
    batch = f.batches[0]

    def output(at: dict[str, Tensor] | None):
        with untouched(), f.placed(at), torch.no_grad():
            return f.output(batch)

    own, other = output(None), output(point)
    if not isinstance(own, Tensor):
        return True  # the loss decides
    size = float(own.abs().max())
    return float((own - other).abs().max()) <= CLOSE * max(size, 1e-12)
