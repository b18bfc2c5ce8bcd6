"""Fingerprints by which one job is told from another."""

import hashlib
from collections.abc import Mapping
from functools import partial
from types import CodeType
from typing import Any

import numpy as np
import torch
from torch import nn

from dldna.batches import tensors

PLAIN = (int, float, complex, str, bytes)


def loss_identity(loss_fn: Any) -> list[Any]:
    """What tells one loss or metric from another: name, code and constants.

    Example:
        >>> from torch import nn
        >>> a, b = nn.HuberLoss(delta=1.0), nn.HuberLoss(delta=2.0)
        >>> loss_identity(a) == loss_identity(b)
        False
        >>> def scaled(factor):
        ...     return lambda output, batch: factor * output.mean()
        >>> loss_identity(scaled(1.0)) == loss_identity(scaled(2.0))
        False
    """
    if isinstance(loss_fn, partial):
        return [
            *loss_identity(loss_fn.func),
            [_plain(v) for v in loss_fn.args],
            [(k, _plain(v)) for k, v in sorted(loss_fn.keywords.items())],
        ]
    if isinstance(loss_fn, nn.Module):
        return [
            *model_identity(loss_fn),
            digest(dict(loss_fn.state_dict())),
        ]
    name = getattr(loss_fn, "__qualname__", type(loss_fn).__qualname__)
    code = _function(loss_fn)
    if not code and hasattr(loss_fn, "__dict__"):  # an object that is called
        code = [
            _function(type(loss_fn).__call__),
            _plain(vars(loss_fn)),
        ]
    return [name, *code]


def model_identity(model: nn.Module) -> list[Any]:
    """What a model computes beside its tensors: code and plain numbers.

    Example:
        >>> model_identity(nn.ELU(1.0)) == model_identity(nn.ELU(2.0))
        False
    """
    found: list[Any] = []
    for name, module in model.named_modules():
        own = vars(module)
        skipped = [k for k in own if k.startswith("_") or k == "training"]
        kept = {k: _plain(v) for k, v in own.items() if k not in skipped}
        found.append([name, type(module).__qualname__, sorted(kept.items())])
        if not type(module).__module__.startswith("torch.nn"):
            found.append(_function(type(module).forward))
    return found


def _function(call: Any) -> list[Any]:
    """Code, constants, defaults and what it reads from around it."""
    call = getattr(call, "__func__", call)
    code = getattr(call, "__code__", None)
    if code is None:
        return []
    around = getattr(call, "__globals__", {})
    cells = getattr(call, "__closure__", None) or ()
    return [
        _code(code),
        [_plain(c.cell_contents) for c in cells if _filled(c)],
        _plain(getattr(call, "__defaults__", None)),
        _plain(getattr(call, "__kwdefaults__", None)),
        [(n, _plain(around[n])) for n in code.co_names if n in around],
    ]


def _code(code: CodeType) -> list[Any]:
    constants = [
        _code(c) if isinstance(c, CodeType) else repr(c)
        for c in code.co_consts
    ]
    return [code.co_code.hex(), constants, list(code.co_names)]


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def _plain(value: Any, depth: int = 0) -> Any:
    """A value as far as it is numbers, words, tensors or code; or its type.

    Nothing that differs from process to process, such as an address.
    """
    if isinstance(value, (*PLAIN, type(None), np.generic)):
        return repr(value)
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return digest(value)
    if depth < 3:
        if isinstance(value, Mapping):
            items = sorted(value.items(), key=lambda kv: repr(kv[0]))
            return [(repr(k), _plain(v, depth + 1)) for k, v in items]
        if isinstance(value, (list, tuple)):
            return [_plain(v, depth + 1) for v in value]
        code = getattr(value, "__code__", None)
        if isinstance(code, CodeType):
            return [getattr(value, "__qualname__", ""), _code(code)]
    return getattr(value, "__qualname__", type(value).__qualname__)


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
    if isinstance(thing, torch.Tensor) and thing.is_nested:
        _feed(total, list(thing.unbind()))
    elif isinstance(thing, torch.Tensor) and thing.layout != torch.strided:
        entries = thing.detach().to_sparse().coalesce()
        total.update(f"{thing.layout}{tuple(thing.shape)}".encode())
        _feed(total, [entries.indices(), entries.values()])
    elif isinstance(thing, torch.Tensor):
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
    elif found := list(tensors(thing)):  # an object that holds some
        total.update(type(thing).__qualname__.encode())
        _feed(total, found)
    else:
        total.update(repr(thing).encode() + b"\0")


def scan_identity(scan: Any) -> dict[str, str]:
    """What makes two scans the same, so that one may go on with the other."""
    job = scan.job
    kept = {k: job.options[k] for k in ("statistics", "dtype")}
    return {
        "weights": digest(
            model_identity(job.model),
            job.origin,
            dict(job.model.named_buffers()),
        ),
        "data": digest(job.held),
        "directions": digest(
            job.directions, job.options.get("buffer_directions")
        ),
        "grid": digest(list(scan.axes) if scan.grid else scan.coords),
        "loss or metrics": digest(
            loss_identity(job.loss_fn),
            [
                (name, loss_identity(metric))
                for name, metric in sorted(job.options["metrics"].items())
            ],
        ),
        "settings": digest(kept),
    }
