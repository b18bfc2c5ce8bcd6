"""Weights at which a loss has a kink, so that it has no curvature there."""

from typing import Any

import torch
from torch import nn

from dldna.guard import untouched
from dldna.objective import Objective

KINKED = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.Hardtanh,
    nn.Threshold, nn.Hardsigmoid, nn.Hardswish, nn.ELU, nn.CELU,
)  # fmt: skip
AWAY = 1e-3  # of the size of the weights


def step_aside(f: Objective) -> None:
    """Move the point of a loss a little, off any kink that it stands on.

    Args:
        f: the loss; its ``point`` is another one afterwards.
    """
    w = f.flat(f.point)
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(f.n, generator=generator, device="cpu").to(w)
    f.point = f.cut(w + AWAY * float(1 + w.square().mean().sqrt()) * v)


def kinked_layer(f: Objective, batch: Any) -> str:
    """The layer that stands most on its kink, as ": ...", or "".

    Args:
        f: the loss at its kink.
        batch: one batch.
    """
    found: dict[str, tuple[float, str]] = {}
    handles = []
    for name, module in f.model.named_modules():
        if isinstance(module, KINKED):

            def note(module, args, name=name):
                share = float((args[0] == 0).double().mean())
                kind = type(module).__name__
                found[name] = max(found.get(name, (0.0, "")), (share, kind))

            handles.append(module.register_forward_pre_hook(note))
    try:
        with untouched(f.model), f.placed(), torch.no_grad():
            f.output(batch)
    finally:
        for handle in handles:
            handle.remove()
    name = max(found, key=lambda k: found[k][0], default="")
    share, kind = found.get(name, (0.0, ""))
    if not share:
        return ""
    part = f"{100 * share:.2g} %"
    return f": {part} of what enters layer {name!r} ({kind}) is exactly 0"


def sentence(f: Objective, batch: Any) -> str:
    """What is said of curvature at a kink."""
    return (
        "the network stands on a kink, so its loss has no second derivative "
        f"at these weights{kinked_layer(f, batch)}, as in a new network, "
        "whose biases and running means are 0. The curvature is that of the "
        "piece that torch takes there (a ReLU has slope 0 at 0) and need "
        "not be that of the neighbourhood: train the network first, or let "
        "data set its statistics (model.train()(inputs)) and its biases"
    )
