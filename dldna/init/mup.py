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
its root, and the output of a layer that shares an embedding's table by m:
that is the model's own business, ``attention_scale`` and ``output_scale``
of :class:`dldna.models.DecoderTransformer`.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from dldna import checks
from dldna.guard import untouched
from dldna.init._draw import make_generator, normal_
from dldna.init.apply import initialize
from dldna.init.init_report import InitReport, describe
from dldna.init.parametrized import TABLES, refuse_computed
from dldna.init.weight_matrices import (
    check_model,
    first_names,
    layer_blocks,
    weight_blocks,
)

ROLES = ("input", "hidden", "output", "vector", "fixed")
OPTIMIZERS = ("adam", "sgd")


@dataclass(frozen=True)
class Role:
    """What widening does to one parameter.

    Args:
        role: "input", "hidden", "output", "vector" or "fixed".
        fan_in: factor by which the fan-in has grown from the base model.
        fan_out: the same for the fan-out, over all groups of a
            convolution together.
    """

    role: str
    fan_in: float = 1.0
    fan_out: float = 1.0

    def lr(self, optimizer: str = "adam") -> float:
        """Factor on the base model's learning rate.

        Args:
            optimizer: "adam" (and its kin) or "sgd".

        Raises:
            ValueError: another one.
        """
        if checks.choice("optimizer", optimizer, OPTIMIZERS) == "adam":
            return 1 / self.fan_in
        return self.fan_out / self.fan_in


def mup_roles(model: nn.Module, base: nn.Module) -> dict[str, Role]:
    """Find each parameter's role by comparing with a narrower model.

    Known layers are read by their true fans. Where width grows in the
    number of blocks alone (depthwise convolutions) the weight counts as a
    vector. Of any other parameter the axes that grow are counted: none is
    fixed, one a vector, two a hidden matrix laid out (out, in). A table
    that an embedding shares with an output layer is an input weight,
    whichever of the two comes first: that layer's output must then be
    divided by the width's growth, in the model.

    Args:
        model: the model to train.
        base: the same architecture at the base width.

    Returns:
        Parameter name -> :class:`Role`.

    Raises:
        ValueError: the two are not the same architecture, a kernel or
            three and more axes grow, or a weight is computed from others
            (weight norm, spectral norm, pruning), for which muP has no
            rule.

    Example:
        >>> make = lambda n: nn.Sequential(nn.Linear(3, n), nn.Linear(n, 2))
        >>> roles = mup_roles(make(64), make(16))
        >>> {k: r.role for k, r in roles.items() if "weight" in k}
        {'0.weight': 'input', '1.weight': 'output'}

    References:
        Yang et al., 2022, arXiv 2203.03466.
    """
    for net in (model, base):
        refuse_computed(check_model(net, meta=True), "muP has no rule for it")
    ours = dict(model.named_parameters())
    theirs = dict(base.named_parameters())
    if list(ours) != list(theirs):
        name = next(iter(ours.keys() ^ theirs.keys()), "their order")
        raise ValueError(
            "the base model must be the same architecture at another "
            f"width, but the two differ in {name!r}"
        )
    found: dict[str, dict[str, Role]] = {name: {} for name in ours}
    first = first_names(model)
    narrow = dict(base.named_modules())
    for prefix, layer in model.named_modules():
        for own in layer._parameters:
            label = f"{prefix}.{own}".lstrip(".")
            if label in first:
                role = _role(label, own, layer, narrow[prefix])
                found[first[label]][label] = role
    tables = set(_shared_tables(model, first))
    return {
        name: _common(roles, any(k in tables for k in roles))
        for name, roles in found.items()
    }


def _role(label: str, own: str, layer: nn.Module, base: nn.Module) -> Role:
    """The role of one parameter of one layer."""
    p, q = layer._parameters[own], base._parameters[own]
    if p.ndim != q.ndim:
        raise ValueError(
            f"{label!r} has {p.ndim} axes in the model and {q.ndim} in the "
            "base"
        )
    if isinstance(layer, TABLES):
        return Role("input", 1.0, p.shape[1] / q.shape[1])
    ours = [b for b in layer_blocks(layer) if b.param == own]
    if not ours:
        return _counted(label, layer, p, q)
    wide, thin = ours[0], next(b for b in layer_blocks(base) if b.param == own)
    if wide.views[0].shape[2:] != thin.views[0].shape[2:]:
        raise ValueError(
            f"{label!r} has a kernel {tuple(wide.views[0].shape[2:])} in "
            f"the model and {tuple(thin.views[0].shape[2:])} in the base; "
            "only widths may differ"
        )
    groups = len(wide.views) / len(thin.views)
    m_in = wide.fans.fan_in / thin.fans.fan_in
    m_out = groups * wide.fans.fan_out / thin.fans.fan_out
    if m_in == 1:
        kind = "vector" if groups != 1 else "input"
        return Role(kind if m_out != 1 else "fixed", m_in, m_out)
    return Role("hidden" if m_out != 1 else "output", m_in, m_out)


def _counted(label: str, layer: nn.Module, p, q) -> Role:
    """The role of a parameter of no known layer, by the axes that grow."""
    grow = [a / b for a, b in zip(p.shape, q.shape, strict=True) if a != b]
    products = isinstance(layer, nn.Bilinear) and p.ndim == 3
    if len(grow) > 2 or (products and p.shape[0] == q.shape[0] and grow[1:]):
        raise ValueError(
            f"{label!r} is {tuple(p.shape)} in the model and "
            f"{tuple(q.shape)} in the base: muP knows what to do where one "
            "or two axes grow, an input and an output. Leave this "
            "parameter out, or fix one of its axes"
        )
    if len(grow) == 2:
        return Role("hidden", fan_in=grow[1], fan_out=grow[0])
    return Role("vector" if grow or p.ndim < 2 else "fixed", 1.0, *grow)


def _common(roles: dict[str, Role], table: bool) -> Role:
    """The one role of a parameter with several owners."""
    kinds = {role.role: role for role in roles.values()}
    if len(set(roles.values())) > 1:
        # at the base width itself the output's fans have not grown
        if table and set(kinds) in ({"input", "output"}, {"input", "fixed"}):
            return kinds["input"]
        said = " and ".join(f"{k!r} ({r.role})" for k, r in roles.items())
        raise ValueError(
            f"{said} are one tensor with two roles, for which muP has no "
            "rule: untie them"
        )
    return next(iter(roles.values()))


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
    of the width's growth; biases are 0. Embeddings are left, and output
    layers that share their table with one.

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
        ValueError: see :func:`mup_roles`.

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
    first = first_names(check_model(model))
    shared = _shared_tables(model, first)
    with untouched(model):
        start = initialize(
            model,
            "lecun_normal",
            generator=source,
            rules=dict.fromkeys(shared),
        )
        how = {f.name: f.scheme for f in start.filled}
        for block in weight_blocks(model):
            if block.label not in how:
                continue
            role = roles[first[block.param]]
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
        notes=[
            f"{label!r} is the table of an embedding and was left: divide "
            f"the output of its layer by {roles[first[label]].fan_out:g}"
            for label in shared
        ],
        numbers={"roles": named},
    )


def _shared_tables(model: nn.Module, first: dict[str, str]) -> list[str]:
    """Weights of known layers that are tables of embeddings, too."""
    tables = {
        first[f"{prefix}.weight".lstrip(".")]
        for prefix, layer in model.named_modules()
        if isinstance(layer, TABLES)
    }
    return [
        block.param
        for prefix, layer in model.named_modules()
        for block in layer_blocks(layer, prefix)
        if first[block.param] in tables
    ]


def mup_param_groups(
    model: nn.Module,
    base: nn.Module,
    lr: float,
    *,
    optimizer: str = "adam",
    weight_decay: float | None = None,
) -> list[dict[str, Any]]:
    """Parameter groups with muP's learning rates.

    Args:
        model: the model to train.
        base: the same architecture at the base width.
        lr: the rate that is best at the base width.
        optimizer: "adam" (and its kin, whose step has a fixed size) or
            "sgd".
        weight_decay: the decay that is best at the base width. Each group
            gets its own, so that its product with the rate, by which SGD
            and AdamW shrink a weight in a step, is everywhere the same.
            None leaves it to the optimizer, whose one value would decay
            hidden weights less the wider they are.

    Returns:
        Groups for any ``torch.optim`` optimizer, each with "params",
        "lr", with "weight_decay" if it is given, and for people "role"
        and "names".

    Raises:
        ValueError: see :func:`mup_roles`.

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
    checks.choice("optimizer", optimizer, OPTIMIZERS)
    if weight_decay is not None:
        checks.nonnegative("weight_decay", weight_decay)
    roles = mup_roles(model, base)
    groups: dict[tuple[str, float], dict[str, Any]] = {}
    for name, p in model.named_parameters():
        role = roles[name]
        rate = lr * role.lr(optimizer)
        group = groups.setdefault(
            (role.role, rate),
            {"params": [], "lr": rate, "role": role.role, "names": []},
        )
        if weight_decay is not None:
            group["weight_decay"] = weight_decay * lr / rate
        group["params"].append(p)
        group["names"].append(name)
    return list(groups.values())
