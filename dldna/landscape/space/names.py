"""One network's tensors under another's names: wrappers, prefixes."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

WRAPPERS = ("module.", "_orig_mod.")  # DataParallel, torch.compile
COUNTERS = ("n_averaged",)  # beside the weights in an AveragedModel


def natural_key(label: str | Path) -> list:
    """Sort key that reads digits as numbers.

    Example:
        >>> sorted(["epoch10", "epoch9", "epoch1"], key=natural_key)
        ['epoch1', 'epoch9', 'epoch10']
    """
    parts = re.split(r"(\d+)", str(label))
    return [
        (0, int(p), "") if p.isdigit() else (1, 0, p.lower()) for p in parts
    ]


def bare(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state dict without the names of wrappers around the network.

    Example:
        >>> bare({"_orig_mod.module.w": 1, "_orig_mod.module.b": 2})
        {'w': 1, 'b': 2}
        >>> bare({"module.w": 1, "n_averaged": 3})
        {'w': 1}
        >>> bare({"module.w": 1, "b": 2})
        {'module.w': 1, 'b': 2}
    """
    found = dict(state)
    for prefix in WRAPPERS * 2:
        inner = {k: v for k, v in found.items() if str(k) not in COUNTERS}
        if inner and all(str(k).startswith(prefix) for k in inner):
            found = {k[len(prefix) :]: v for k, v in inner.items()}
    return found


def match(state: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """A state dict by a network's own names, whatever wraps either.

    Where names differ, those of wrappers (DataParallel, ``torch.compile``,
    AveragedModel) are left out on both sides, the adapter's own name
    ("default") in those of peft, and what stands before all names on one
    side ("model." in a Lightning module's).

    Args:
        state: tensors by name.
        names: the network's.

    Returns:
        What was found, by the network's names; some may be missing.

    Raises:
        ValueError: the state dict holds several networks that fit.

    Example:
        >>> match({"model.0.w": 1, "loss.scale": 2}, ["0.w"])
        {'0.w': 1}
    """
    names = list(names)
    if all(k in state for k in names):
        return dict(state)
    own = [_plain(k) for k in bare(dict.fromkeys(names))]
    if len(own) < len(names):  # a counter fell out
        names = [k for k in names if k not in COUNTERS]
    theirs = {_plain(k): v for k, v in bare(state).items()}
    before = "" if any(k in theirs for k in own) else _prefix(own, theirs)
    if before is None and own:  # perhaps the network's own names begin alike
        first = f"{own[0].partition('.')[0]}."
        while all(k.startswith(first) for k in own) and own[0] not in theirs:
            own = [k.removeprefix(first) for k in own]
            first = f"{own[0].partition('.')[0]}."
        before = ""
    return {
        name: theirs[before + k]
        for name, k in zip(names, own, strict=True)
        if before + k in theirs
    }


def is_adapter(state: Mapping[str, Any]) -> bool:
    """Whether a state dict moves a part of a network that stays else.

    Example:
        >>> is_adapter({"base_model.model.l.lora_A.weight": 1})
        True
    """
    return any("lora_" in str(k) for k in state) and all(
        str(k).startswith("base_model.") or "lora_" in str(k) for k in state
    )


def _plain(name: str) -> str:
    name = str(name).replace("_orig_mod.", "")  # of a part, compiled alone
    return name.replace(".default.", ".") if "lora_" in name else name


def _prefix(inner: Iterable[str], outer: Iterable[str]) -> str | None:
    """What ``outer`` puts before the names of ``inner``; None for nothing.

    At least half of them must be there: a tied tensor may have one name.
    """
    inner = set(inner)
    hits: Counter = Counter()
    for name in outer:
        parts = str(name).split(".")
        for i in range(1, len(parts)):
            if ".".join(parts[i:]) in inner:
                hits[".".join(parts[:i]) + "."] += 1
    most = max(hits.values(), default=0)
    if 2 * most < len(inner) or not most:
        return None
    fit = [before for before, count in hits.items() if count == most]
    if len(fit) > 1:
        raise ValueError(
            "the checkpoint holds several networks that fit, under "
            f"{', '.join(map(repr, fit[:4]))}: give the state dict of one"
        )
    return fit[0]
