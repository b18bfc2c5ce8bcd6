"""Points in the space of weights: from models, checkpoints and vectors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dldna import params
from dldna.landscape.space.checkpoints import (
    inner,
    read_checkpoint,
    weight,
)
from dldna.landscape.space.names import bare, is_adapter, match
from dldna.params import Params


def from_flat(vector: Tensor | np.ndarray, like: Params) -> Params:
    """Cut a flat vector (n,) into tensors that own their memory."""
    if not isinstance(vector, Tensor):
        vector = torch.as_tensor(vector, device="cpu")
    cut = params.unflatten(vector.detach(), like)
    return {k: weight(k, v, like[k]).clone() for k, v in cut.items()}


def point_of(other: Any, like: Params) -> Params:
    """The parameters of a model, or those in a state dict or its file.

    An adapter's checkpoint leaves the parameters as they are that it does
    not hold.
    """
    given = state_of(other)
    state = match(given, like)
    missing = [k for k in like if k not in state]
    part = is_adapter(given) and len(state) == len(given)
    if missing and not part:
        raise ValueError(
            f"the checkpoint lacks parameter {missing[0]!r}: it belongs "
            "to another network"
        )
    found = {k: weight(k, state.get(k, v), v) for k, v in like.items()}
    params.check_same(like, found)
    return found


def state_of(other: Any) -> dict[str, Tensor]:
    """Parameters and buffers of a model, or those in a state dict.

    Args:
        other: a model, a state dict (or a checkpoint that keeps it under
            a usual name), or its file or folder.
    """
    if isinstance(other, nn.Module):
        own = dict(other.named_parameters()) | dict(other.named_buffers())
        return bare(own)
    if isinstance(other, (str, Path)):
        return read_checkpoint(other)
    if isinstance(other, Mapping):
        return inner(other)
    raise TypeError(
        "a checkpoint must be a model, a state dict or a file of one, not "
        f"{type(other).__name__}"
    )
