"""The matrices inside a model, each laid out (c_out, c_in, kernel).

What a scheme fills and a diagnostic measures is not always a stored
tensor: a grouped convolution holds one matrix per group, a transposed one
stores its axes the other way round, an attention layer packs query, key
and value into one tensor, a recurrent layer packs its gates. Each is
found here as views of the stored weight, so that writing into a view
writes into the model. What is computed from other tensors is told apart
in :mod:`dldna.init.parametrized`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.rnn import RNNBase, RNNCellBase
from torch.nn.parameter import UninitializedTensorMixin

from dldna.init.fans import Fans, fans
from dldna.torch_internals import Convolution, TransposedConvolution

GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "GRU": 3, "LSTM": 4}
CELL_GATES = {nn.RNNCell: 1, nn.GRUCell: 3, nn.LSTMCell: 4}


@dataclass(frozen=True)
class WeightMatrix:
    """One matrix (or one per group) of a model.

    Args:
        param: full name of the parameter that stores it.
        part: which part of the parameter: "", "q", "k", "v", "gate 0".
        views: views of the stored weight, one for each group, each laid
            out (c_out, c_in, kernel).
        layer: the module that owns it.
    """

    param: str
    part: str
    views: list[Tensor]
    layer: nn.Module

    @property
    def label(self) -> str:
        """Name for people: the parameter, with the part in brackets."""
        return f"{self.param}[{self.part}]" if self.part else self.param

    @property
    def fans(self) -> Fans:
        """True fans of one group."""
        return fans(self.views[0])


KNOWN = (nn.Linear, Convolution, nn.MultiheadAttention, RNNBase, RNNCellBase)


def layer_blocks(
    layer: nn.Module, prefix: str = "", read: bool = False
) -> list[WeightMatrix]:
    """The matrices that a layer itself owns (not its children).

    A weight that is computed from other parameters (by a norm, a mask or
    another parametrization) cannot be written and is no block, and an
    empty one holds nothing.

    Args:
        layer: any module; unknown kinds own none.
        prefix: the layer's full name in the model.
        read: give computed weights as well, to be read only.

    Example:
        >>> att = nn.MultiheadAttention(8, 2)
        >>> [b.label for b in layer_blocks(att)]
        ['in_proj_weight[q]', 'in_proj_weight[k]', 'in_proj_weight[v]']
    """
    dot = f"{prefix}." if prefix else ""
    return [
        WeightMatrix(dot + name, part, views, layer)
        for name in matrices(layer)
        if read or name in layer._parameters
        for part, views in _parts(layer, name)
        if views[0].numel()
    ]


def matrices(layer: nn.Module) -> Iterator[str]:
    """Names of a layer's matrices, whether stored or computed."""
    if isinstance(layer, (nn.Linear, Convolution)):
        yield "weight"
    elif isinstance(layer, nn.MultiheadAttention):
        if layer._qkv_same_embed_dim:
            yield "in_proj_weight"
        else:
            yield from (f"{part}_proj_weight" for part in "qkv")
    elif isinstance(layer, RNNBase):
        yield from (n for n in layer._flat_weights_names if "weight" in n)
    elif isinstance(layer, RNNCellBase):
        yield from ("weight_ih", "weight_hh")


def _parts(layer: nn.Module, name: str) -> list[tuple[str, list[Tensor]]]:
    """What one matrix is made of: part -> views, one for each group."""
    w = ready(layer, name)
    if isinstance(layer, nn.MultiheadAttention):
        if name != "in_proj_weight":
            return [(name[0], [w])]
        return [(k, [v]) for k, v in zip("qkv", w.chunk(3), strict=True)]
    if isinstance(layer, (RNNBase, RNNCellBase)):
        n = 1 if "weight_hr" in name else _gates(layer)
        return [
            (f"gate {i}" if n > 1 else "", [view])
            for i, view in enumerate(w.chunk(n, 0))
        ]
    groups = getattr(layer, "groups", 1)
    views = list(w.chunk(groups, 0)) if groups > 1 and w.numel() else [w]
    if isinstance(layer, TransposedConvolution):
        views = [v.transpose(0, 1) for v in views]
    return [("", views)]


def _gates(layer: nn.Module) -> int:
    if isinstance(layer, RNNBase):
        return GATES.get(layer.mode, 1)
    return next((n for k, n in CELL_GATES.items() if isinstance(layer, k)), 1)


def ready(layer: nn.Module, name: str) -> Tensor:
    """A layer's tensor, detached; lazy ones must have met a batch."""
    w = getattr(layer, name)
    if isinstance(w, UninitializedTensorMixin):
        raise ValueError(
            f"{type(layer).__name__}.{name} has no shape yet: run one "
            "batch through the model first"
        )
    return w.detach()


def check_model(model: nn.Module, meta: bool = False) -> nn.Module:
    """Refuse what is no module, or has no numbers yet.

    Args:
        model: any module.
        meta: shapes suffice, the meta device will do.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"expected a module, not {type(model).__name__}")
    for layer in model.modules():
        if isinstance(layer, torch.jit.ScriptModule):
            raise TypeError(
                "the model is compiled by TorchScript, which does not tell "
                "the kinds of its layers: give the Python module it was made "
                "from"
            )
        for name, p in [*layer._parameters.items(), *layer._buffers.items()]:
            if isinstance(p, UninitializedTensorMixin):
                ready(layer, name)
            elif p is not None and p.is_meta and not meta:
                raise ValueError(
                    f"{type(layer).__name__}.{name} is on the meta device, "
                    "without numbers: give the model memory first, by "
                    "model.to_empty(device='cpu')"
                )
    return model


def weight_blocks(model: nn.Module, read: bool = False) -> list[WeightMatrix]:
    """All matrices of a model, each stored weight once.

    Args:
        model: any module; it is only read.
        read: give computed weights as well, see :func:`layer_blocks`.

    Returns:
        The blocks in the order of the modules. A tied weight appears
        under its first owner.

    Example:
        >>> net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        >>> net[1].weight = net[0].weight
        >>> [b.label for b in weight_blocks(net)]
        ['0.weight']
    """
    seen, found = set(), []
    for prefix, layer in model.named_modules():
        fresh = []
        for block in layer_blocks(layer, prefix, read):
            own = block.param.rpartition(".")[2]
            stored = layer._parameters.get(own)
            key = (id(layer), own) if stored is None else id(stored)
            if key not in seen:
                fresh.append((key, block))
        seen.update(key for key, _ in fresh)
        found.extend(block for _, block in fresh)
    return found


def first_names(model: nn.Module) -> dict[str, str]:
    """Every name of a parameter -> the name that ``named_parameters`` uses.

    Example:
        >>> net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        >>> net[1].weight = net[0].weight
        >>> first_names(net)["1.weight"]
        '0.weight'
    """
    first = {id(p): name for name, p in model.named_parameters()}
    every = model.named_parameters(remove_duplicate=False)
    return {name: first[id(p)] for name, p in every}
