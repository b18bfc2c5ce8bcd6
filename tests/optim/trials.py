"""Steps that every optimizer can take, for the crossed tests."""

import importlib

import torch
from torch import nn

from dldna import optim

NAMES = sorted(optim.OPTIMIZERS)
OLD = tuple(map(int, torch.__version__.split(".")[:2])) < (2, 6)
"""Whether torch is one of which some things must not be asked."""

TORCHS = [n for n in NAMES if hasattr(torch.optim, n)]
PACKAGES = {
    "ScheduleFreeSGD": ("schedulefree", "SGDScheduleFree"),
    "ScheduleFreeAdamW": ("schedulefree", "AdamWScheduleFree"),
    "Prodigy": ("prodigyopt", "Prodigy"),
    "DAdaptAdam": ("dadaptation", "DAdaptAdam"),
}
"""Optimizers that others have, too, with the same arguments."""

ALONE = [
    n
    for n in NAMES
    if hasattr(optim.OPTIMIZERS[n], "rule")
    and optim.OPTIMIZERS[n].rule.kind != "network"
    and not hasattr(optim.OPTIMIZERS[n], "needs_curvature")
]
"""Optimizers that move each tensor on its own."""

RATES = {"PAL": 0.3, "Prodigy": 1.0, "DAdaptAdam": 1.0, "EntropySGD": 0.5}


def rate(name):
    return RATES.get(name, 0.05)


def tensors(dtype=torch.float64, seed=1):
    """Two matrices, which are all that Muon takes."""
    draw = torch.Generator().manual_seed(seed)
    return [
        nn.Parameter(torch.randn(s, generator=draw, device="cpu").to(dtype))
        for s in ((5, 4), (3, 5))
    ]


def oracle(name):
    """The class of torch or of its authors, or None."""
    if name in TORCHS and name != "Muon":  # torch's rounds to bfloat16
        return getattr(torch.optim, name)
    if name in PACKAGES:
        module, cls = PACKAGES[name]
        return getattr(importlib.import_module(module), cls)
    return None


def loss_of(params, seed):
    """A bowl whose centre is drawn anew each time."""
    draw = torch.Generator().manual_seed(seed)
    total = 0.0
    for p in params:
        centre = torch.randn(
            p.shape, generator=draw, dtype=torch.float32, device="cpu"
        )
        if p.requires_grad:
            w = p.float() if p.element_size() < 4 else p
            total = total + ((w - centre.to(w)) ** 2 + 1).sqrt().sum()
    return total


def step(optimizer, params, seed):
    """One step; parameters without ``requires_grad`` get no gradient."""

    def closure():
        optimizer.zero_grad()
        value = loss_of(params, seed)
        if torch.is_tensor(value):
            value.backward()
        return value

    needs = getattr(optimizer, "needs_curvature", None)
    look = {
        "loss": lambda: loss_of(params, seed),
        "logits": lambda: params[1] @ params[0],
    }.get(needs)
    if look:
        return optimizer.step(closure, curvature=look)
    if getattr(optimizer, "needs_closure", False):
        return optimizer.step(closure)
    closure()
    return optimizer.step()


def run(optimizer, params, steps, first=0, after=None):
    """Several steps; ``after(i)`` is called behind each."""
    for i in range(first, first + steps):
        step(optimizer, params, i)
        if after is not None:
            after(i)
    return params


def begin(cls, params, **hyper):
    """An optimizer, ready to train."""
    optimizer = cls(params, **hyper)
    if hasattr(optimizer, "train"):
        optimizer.train()
    return optimizer


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def near(a, b, tolerance=1e-10):
    return all(
        torch.allclose(x, y, rtol=tolerance, atol=tolerance)
        for x, y in zip(a, b, strict=True)
    )


def copies(params):
    return [p.detach().clone() for p in params]
