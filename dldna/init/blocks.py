"""The matrices inside a model, each laid out (c_out, c_in, kernel).

What a scheme fills and a diagnostic measures is not always a stored
tensor: a grouped convolution holds one matrix per group, a transposed one
stores its axes the other way round, an attention layer packs query, key
and value into one tensor, a recurrent layer packs its gates. Each is
found here as views of the stored weight, so that writing into a view
writes into the model.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.rnn import RNNBase, RNNCellBase
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils import parametrize

from dldna.init.fans import Fans, fans

GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "GRU": 3, "LSTM": 4}
CELL_GATES = {nn.RNNCell: 1, nn.GRUCell: 3, nn.LSTMCell: 4}


@dataclass(frozen=True)
class Block:
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


def layer_blocks(layer: nn.Module, prefix: str = "") -> list[Block]:
    """The matrices that a layer itself owns (not its children).

    Args:
        layer: any module; unknown kinds own none.
        prefix: the layer's full name in the model.

    Example:
        >>> att = nn.MultiheadAttention(8, 2)
        >>> [b.label for b in layer_blocks(att)]
        ['in_proj_weight[q]', 'in_proj_weight[k]', 'in_proj_weight[v]']
    """
    dot = f"{prefix}." if prefix else ""
    return [
        Block(dot + name, part, views, layer)
        for name, part, views in _parts(layer)
    ]


def _parts(layer: nn.Module) -> Iterator[tuple[str, str, list[Tensor]]]:
    if isinstance(layer, (nn.Linear, _ConvNd)):
        if parametrize.is_parametrized(layer, "weight"):
            return
        w = ready(layer, "weight")
        groups = getattr(layer, "groups", 1)
        views = list(w.chunk(groups, 0)) if groups > 1 else [w]
        if isinstance(layer, _ConvTransposeNd):
            views = [v.transpose(0, 1) for v in views]
        yield "weight", "", views
    elif isinstance(layer, nn.MultiheadAttention):
        if layer.in_proj_weight is not None:
            packed = layer.in_proj_weight.detach().chunk(3, 0)
            for part, view in zip("qkv", packed, strict=True):
                yield "in_proj_weight", part, [view]
        else:
            for part in "qkv":
                name = f"{part}_proj_weight"
                yield name, part, [getattr(layer, name).detach()]
    elif isinstance(layer, (RNNBase, RNNCellBase)):
        gates = _gates(layer)
        for name, p in layer.named_parameters(recurse=False):
            if p.ndim == 2:
                n = 1 if "weight_hr" in name else gates
                for i, view in enumerate(p.detach().chunk(n, 0)):
                    yield name, f"gate {i}" if n > 1 else "", [view]


def _gates(layer: nn.Module) -> int:
    if isinstance(layer, RNNBase):
        return GATES.get(layer.mode, 1)
    return next((n for k, n in CELL_GATES.items() if isinstance(layer, k)), 1)


def ready(layer: nn.Module, name: str) -> Tensor:
    """A layer's parameter, detached; lazy ones must have met a batch."""
    w = getattr(layer, name)
    if isinstance(w, UninitializedParameter):
        raise ValueError(
            f"{type(layer).__name__}.{name} has no shape yet: run one "
            "batch through the model first"
        )
    return w.detach()


def weight_blocks(model: nn.Module) -> list[Block]:
    """All matrices of a model, each stored weight once.

    Args:
        model: any module; it is only read.

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
        for block in layer_blocks(layer, prefix):
            owner = getattr(layer, block.param.rpartition(".")[2])
            if id(owner) not in seen:
                fresh.append((id(owner), block))
        seen.update(key for key, _ in fresh)
        found.extend(block for _, block in fresh)
    return found
