"""Fingerprints by which one job is told from another."""

import hashlib
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn


def loss_identity(loss_fn: Any) -> list[Any]:
    """What tells one loss from another: its name, code and constants.

    Example:
        >>> from torch import nn
        >>> a, b = nn.HuberLoss(delta=1.0), nn.HuberLoss(delta=2.0)
        >>> loss_identity(a) == loss_identity(b)
        False
    """
    if isinstance(loss_fn, partial):
        return [
            *loss_identity(loss_fn.func),
            repr(loss_fn.args),
            repr(sorted(loss_fn.keywords.items())),
        ]
    if isinstance(loss_fn, nn.Module):
        known = getattr(loss_fn, "__constants__", ())
        return [
            type(loss_fn).__qualname__,
            [(k, repr(getattr(loss_fn, k, None))) for k in known],
            digest(dict(loss_fn.state_dict())),
        ]
    code = getattr(loss_fn, "__code__", None)
    name = getattr(loss_fn, "__qualname__", type(loss_fn).__qualname__)
    return [name] if code is None else [name, code.co_code.hex()]


def digest(*things: Any) -> str:
    """A short fingerprint of tensors, arrays, batches, text and numbers.

    Example:
        >>> digest({"a": torch.zeros(2)}) == digest({"a": torch.zeros(2)})
        True
        >>> digest(torch.zeros(2)) == digest(torch.zeros(3))
        False
    """
    total = hashlib.blake2b(digest_size=16)
    for thing in things:
        _feed(total, thing)
    return total.hexdigest()


def _feed(total, thing: Any) -> None:
    if isinstance(thing, torch.Tensor):
        plain = thing.detach().cpu().contiguous()
        total.update(f"{plain.dtype}{tuple(plain.shape)}".encode())
        total.update(plain.view(-1).view(torch.uint8).numpy().data)
    elif isinstance(thing, np.ndarray):
        total.update(f"{thing.dtype}{thing.shape}".encode())
        total.update(np.ascontiguousarray(thing).data)
    elif isinstance(thing, Mapping):
        for key, value in thing.items():
            total.update(str(key).encode())
            _feed(total, value)
    elif isinstance(thing, (list, tuple)):
        for item in thing:
            _feed(total, item)
    else:
        total.update(repr(thing).encode() + b"\0")
