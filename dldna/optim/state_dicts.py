"""Saved states of optimizers: whose they are, and how they are taken up.

An optimizer that ``torch.optim`` has under the same name saves its state
under torch's names, so that either can load what the other saved. What
fits neither is refused before anything is changed.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dldna.optim.ops import exact

ADAM = {"m": "exp_avg", "v": "exp_avg_sq", "v_max": "max_exp_avg_sq"}
IN_TORCH: dict[str, dict[str, str]] = {
    "SGD": {"b": "momentum_buffer"},
    "Adagrad": {"G": "sum"},
    "RMSprop": {
        "v": "square_avg",
        "mean": "grad_avg",
        "b": "momentum_buffer",
    },
    "Adam": ADAM,
    "AdamW": ADAM,
    "NAdam": {**ADAM, "p": "mu_product"},
    "RAdam": ADAM,
    "Adafactor": {"R": "row_var", "C": "col_var", "V": "variance"},
    "Muon": {"B": "momentum_buffer"},
}
"""Our names of state tensors and torch's, by optimizer."""

UNCOUNTED = ("SGD", "Muon")
"""Optimizers of torch that do not count their steps."""

WAYS = {"foreach", "fused", "capturable", "differentiable"}
"""Settings of torch's classes that choose how, not what, is computed."""

SETTINGS = {"decoupled_weight_decay"}
"""Every setting of every optimizer: each class adds its own."""

Entry = dict[str, Any]


def outward(name: str, state: Mapping[Any, Entry]) -> dict[Any, Entry]:
    """A state under the names of torch's optimizer, where it has one."""
    theirs = IN_TORCH.get(name, {})
    return {
        key: {theirs.get(k, k): v for k, v in entry.items()}
        if isinstance(entry, dict)
        else entry
        for key, entry in state.items()
    }


def inward(name: str, entry: Mapping[str, Any]) -> Entry:
    """One parameter's saved state under our names, its step a number."""
    ours = {v: k for k, v in IN_TORCH.get(name, {}).items()}
    found = {ours.get(k, k): v for k, v in entry.items() if v is not None}
    if found and "step" not in found and name in UNCOUNTED:
        found["step"] = 1
    if isinstance(found.get("step"), Tensor):
        found["step"] = int(found["step"])
    return found


def adapted(
    optimizer: Any, saved: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[Tensor, Entry]]:
    """A saved state in the form that an optimizer of ours can take up.

    Args:
        optimizer: who wants it.
        saved: a ``state_dict``, its own or torch's of the same name.

    Returns:
        The ``state_dict`` without the parameters' state, its groups with
        every setting that the optimizer knows; and the parameters' state,
        copied, on their devices, in the types that the optimizer gives it.

    Raises:
        ValueError: other groups, or a state that another optimizer saved.
    """
    name, groups = type(optimizer).__name__, optimizer.param_groups
    lengths = [len(g["params"]) for g in groups]
    theirs = [len(g["params"]) for g in saved["param_groups"]]
    if lengths != theirs:
        raise ValueError(
            f"this state was saved for groups of {theirs} parameters, and "
            f"{name} has groups of {lengths}: build it with the groups that "
            "it was saved with"
        )
    left = dict(saved["state"])
    filled, found = [], {}
    for group, old in zip(groups, saved["param_groups"], strict=True):
        settings = _settings(optimizer, group, old)
        filled.append(settings)
        for key, p in zip(old["params"], group["params"], strict=True):
            entry = inward(name, left.pop(key, {}))
            if entry:
                wanted = optimizer.expected(p, settings)
                found[p] = _entry(optimizer, p, entry, wanted)
    return {**saved, "state": left, "param_groups": filled}, found


def _settings(optimizer: Any, group: dict, old: Mapping) -> dict[str, Any]:
    """A saved group with our defaults for what it lacks."""
    name = type(optimizer).__name__
    here = {k: v for k, v in old.items() if k not in WAYS}
    # torch's Adam can be its AdamW; ours are two.
    apart = "decoupled_weight_decay"
    decoupled = name.removeprefix("Cautious") == "AdamW"
    if apart not in group and bool(here.get(apart)) == decoupled:
        here.pop(apart, None)
    alien = sorted((here.keys() & SETTINGS) - group.keys())
    if alien:
        mine = sorted(group.keys() & SETTINGS)
        raise ValueError(
            f"this state was saved by another optimizer: its settings "
            f"{', '.join(alien)} are none of {name}'s, which are "
            f"{', '.join(mine)}"
        )
    return {**optimizer.defaults, **here}


def _entry(optimizer: Any, p: Tensor, entry: Entry, wanted: Entry) -> Entry:
    """One parameter's state, checked against what the rule begins with."""
    name = type(optimizer).__name__
    differ = (entry.keys() ^ wanted.keys()) - optimizer.optional.keys()
    if differ:
        torchs = hasattr(torch.optim, name) and f" or torch.optim.{name}"
        raise ValueError(
            "this state was saved by another optimizer: for each parameter "
            f"it holds {', '.join(sorted(entry))}, and {name} keeps "
            f"{', '.join(sorted(wanted))}. Load what {name}{torchs or ''} "
            "saved, or begin afresh"
        )
    found = {}
    for key, value in entry.items():
        like = wanted.get(key, p)  # what is optional is shaped as p
        if not isinstance(like, Tensor):
            found[key] = value
            continue
        if not isinstance(value, Tensor):
            value = torch.as_tensor(value, device="cpu")
        if value.shape != like.shape:
            raise ValueError(
                f"the saved {key!r} has shape {tuple(value.shape)}, and "
                f"{name} keeps {tuple(like.shape)} for a parameter of shape "
                f"{tuple(p.shape)}: the parameters must come in the order "
                "in which they were saved"
            )
        dtype = like.dtype
        if dtype == torch.float64:
            dtype = exact(p.device)
        found[key] = value.detach().to(p.device, dtype, copy=True)
    return found
