r"""muP: widths change, the best learning rate does not.

Under the standard parametrisation wider networks need smaller rates. muP
scales each weight's start and its rate by what it joins. With m the ratio
of a width to a base width, in a model of width n:

========  ================  =========  ========
weight    variance          Adam rate  SGD rate
========  ================  =========  ========
input     1/fan_in          1          m
hidden    1/fan_in          1/m        1
output    1/(fan_in m)      1/m        1/m
vectors   0 (or 1)          1          m
========  ================  =========  ========

Input weights have a fixed fan-in and a growing fan-out, output weights
the reverse, hidden ones grow on both sides. At the base width (m = 1)
everything is as usual. Attention logits must be divided by d instead of
its root; that is the model's own business.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from dldna import checks
from dldna.guard import untouched
from dldna.init._draw import make_generator, normal_
from dldna.init.apply import initialize
from dldna.init.blocks import weight_blocks
from dldna.init.report import InitReport, describe

ROLES = ("input", "hidden", "output", "vector", "fixed")


@dataclass(frozen=True)
class Role:
    """What widening does to one parameter.

    Args:
        role: "input", "hidden", "output", "vector" or "fixed".
        fan_in: factor by which the fan-in has grown from the base model.
        fan_out: the same for the fan-out.
    """

    role: str
    fan_in: float = 1.0
    fan_out: float = 1.0

    def lr(self, optimizer: str = "adam") -> float:
        """Factor on the base model's learning rate."""
        if optimizer == "adam":
            return 1 / self.fan_in if self.role != "vector" else 1.0
        return self.fan_out / self.fan_in


def mup_roles(model: nn.Module, base: nn.Module) -> dict[str, Role]:
    """Find each parameter's role by comparing with a narrower model.

    Args:
        model: the model to train.
        base: the same architecture at the base width.

    Returns:
        Parameter name -> :class:`Role`.

    Raises:
        ValueError: the two are not the same architecture.

    Example:
        >>> make = lambda n: nn.Sequential(nn.Linear(3, n), nn.Linear(n, 2))
        >>> roles = mup_roles(make(64), make(16))
        >>> {k: r.role for k, r in roles.items() if "weight" in k}
        {'0.weight': 'input', '1.weight': 'output'}

    References:
        Yang et al., 2022, arXiv 2203.03466.
    """
    ours = dict(model.named_parameters())
    theirs = dict(base.named_parameters())
    if list(ours) != list(theirs):
        name = next(iter(ours.keys() ^ theirs.keys()), "their order")
        raise ValueError(
            "the base model must be the same architecture at another "
            f"width, but the two differ in {name!r}"
        )
    blocks = {b.param: b for b in weight_blocks(model)}
    narrow = {b.param: b for b in weight_blocks(base)}
    tables = {
        (f"{n}." if n else "") + "weight"
        for n, m in model.named_modules()
        if isinstance(m, nn.Embedding)
    }
    return {
        name: _role(name, p, theirs[name], blocks, narrow, tables)
        for name, p in ours.items()
    }


def _role(name, p, q, blocks, narrow, tables) -> Role:
    if p.ndim != q.ndim:
        raise ValueError(
            f"{name!r} has {p.ndim} axes in the model and {q.ndim} in the base"
        )
    if name in tables:
        return Role("input", 1.0, p.shape[1] / q.shape[1])
    if name not in blocks:
        ratio = p.numel() / q.numel()
        return Role("vector" if p.ndim < 2 else "fixed", 1.0, ratio)
    a, b = blocks[name].fans, narrow[name].fans
    m_in, m_out = a.fan_in / b.fan_in, a.fan_out / b.fan_out
    if m_in == 1:
        return Role("input" if m_out != 1 else "fixed", m_in, m_out)
    return Role("hidden" if m_out != 1 else "output", m_in, m_out)


def mup(
    model: nn.Module,
    base: nn.Module,
    *,
    gain: float = 1.0,
    seed: int = 0,
    generator: torch.Generator | None = None,
) -> InitReport:
    """Initialize by muP, in place. Train with :func:`mup_param_groups`.

    Weights are N(0, gain^2 / fan_in), output weights smaller by the root
    of the width's growth; biases are 0. Embeddings are left.

    Args:
        model: the model to train.
        base: the same architecture at the base width; only its shapes
            are read.
        gain: factor on all standard deviations (root 2 for ReLU).
        seed: of the random numbers.
        generator: instead of the seed.

    Returns:
        A report; ``numbers["roles"]`` says who is who.

    Raises:
        ValueError: the two are not the same architecture.

    Example:
        >>> make = lambda n: nn.Sequential(nn.Linear(9, n), nn.Linear(n, 9))
        >>> net = make(400)
        >>> report = mup(net, make(100))
        >>> round(float(net[1].weight.detach().std() * 400 / 10), 1)
        1.0

    References:
        Yang et al., 2022, arXiv 2203.03466.
    """
    checks.positive("gain", gain)
    roles = mup_roles(model, base)
    source = make_generator(seed, generator)
    how = {}
    with untouched(model):
        start = initialize(model, "lecun_normal", generator=source)
        how = {f.name: f.scheme for f in start.filled}
        for block in weight_blocks(model):
            role = roles[block.param]
            std = gain / block.fans.fan_in**0.5
            if role.role == "output":
                std /= role.fan_in**0.5
            for view in block.views:
                normal_(view, std, source)
            how[block.label] = f"mup {role.role}"
        values = {k: p.clone() for k, p in model.named_parameters()}
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(values[name])
    named = {k: r.role for k, r in roles.items()}
    return describe(
        model,
        "mup",
        how,
        start.left,
        tied=start.tied,
        numbers={"roles": named},
    )


def mup_param_groups(
    model: nn.Module,
    base: nn.Module,
    lr: float,
    *,
    optimizer: str = "adam",
) -> list[dict[str, Any]]:
    """Parameter groups with muP's learning rates.

    Args:
        model: the model to train.
        base: the same architecture at the base width.
        lr: the rate that is best at the base width.
        optimizer: "adam" (and its kin, whose step has a fixed size) or
            "sgd".

    Returns:
        Groups for any ``torch.optim`` optimizer, each with "params",
        "lr", and for people "role" and "names".

    Raises:
        ValueError: the two are not the same architecture.

    Example:
        >>> make = lambda n: nn.Sequential(nn.Linear(3, n), nn.Linear(n, 2))
        >>> groups = mup_param_groups(make(64), make(16), 0.1)
        >>> [(g["names"], g["lr"]) for g in groups]
        [(['0.weight'], 0.1), (['0.bias', '1.bias'], 0.1), (['1.weight'], \
0.025)]

    References:
        Yang et al., 2022, arXiv 2203.03466.
    """
    checks.positive("lr", lr)
    checks.choice("optimizer", optimizer, ["adam", "sgd"])
    roles = mup_roles(model, base)
    groups: dict[tuple[str, float], dict[str, Any]] = {}
    for name, p in model.named_parameters():
        role = roles[name]
        rate = lr * role.lr(optimizer)
        group = groups.setdefault(
            (role.role, rate),
            {"params": [], "lr": rate, "role": role.role, "names": []},
        )
        group["params"].append(p)
        group["names"].append(name)
    return list(groups.values())
