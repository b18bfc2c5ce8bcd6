"""Points in the space of weights: from models, checkpoints and vectors."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dldna import params
from dldna.landscape.space.checkpoints import bare, inner, read_checkpoint
from dldna.params import Params


def from_flat(vector: Tensor | np.ndarray, like: Params) -> Params:
    """Cut a flat vector (n,) into tensors that own their memory."""
    flat = torch.as_tensor(vector).detach()
    cut = params.unflatten(flat, like)
    return {k: v.to(like[k]).clone() for k, v in cut.items()}


def point_of(other: Any, like: Params) -> Params:
    """The parameters of a model, or those in a state dict or its file."""
    state = match(state_of(other), like)
    missing = [k for k in like if k not in state]
    if missing:
        raise ValueError(
            f"the checkpoint lacks parameter {missing[0]!r}: it belongs "
            "to another network"
        )
    found = {k: torch.as_tensor(state[k]).detach() for k in like}
    params.check_same(like, found)
    return {k: found[k].to(like[k]) for k in like}


def state_of(other: Any) -> dict[str, Tensor]:
    """Parameters and buffers of a model, or those in a state dict.

    Args:
        other: a model, a state dict (or a checkpoint that keeps it under
            "model", "state_dict" or "model_state_dict"), or its file.
    """
    if isinstance(other, nn.Module):
        return dict(other.named_parameters()) | dict(other.named_buffers())
    if isinstance(other, (str, Path)):
        return read_checkpoint(other)
    if isinstance(other, Mapping):
        return inner(other)
    raise TypeError(
        "a checkpoint must be a model, a state dict or a file of one, not "
        f"{type(other).__name__}"
    )


def match(state: dict[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """A state dict by a network's own names, whatever wrapped either.

    Args:
        state: from :func:`state_of`.
        names: the network's. Where the state dict has not all of them,
            the names of wrappers (DataParallel, ``torch.compile``) are
            left out on both sides.
    """
    names = list(names)
    if all(k in state for k in names):
        return state
    own = bare(dict.fromkeys(names))
    theirs = bare(state)
    return {
        name: theirs[k]
        for name, k in zip(names, own, strict=True)
        if k in theirs
    }
