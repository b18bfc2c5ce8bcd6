"""Weights that are no parameters, and rows that must stay 0.

A norm, a mask or another parametrization computes a layer's weight from
parameters behind it: what is written into the weight is gone at the next
forward pass. And an embedding's padding row is 0 and has no gradient: what
is written there stays for ever.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from dldna.init.weight_matrices import (
    KNOWN,
    WeightMatrix,
    layer_blocks,
    matrices,
)

TABLES = (nn.Embedding, nn.EmbeddingBag)


def computed(layer: nn.Module) -> dict[str, str]:
    """The tensors of a layer that are computed: name -> by what.

    Args:
        layer: any module; its children are not looked at.

    Example:
        >>> computed(nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)))
        {'weight': 'weight norm'}
        >>> computed(nn.Linear(3, 2))
        {}
    """
    found = {}
    if parametrize.is_parametrized(layer):
        for name, chain in layer.parametrizations.items():
            kinds = [_word(step) for step in chain]
            found[name] = " and ".join(kinds)
    for hook in layer._forward_pre_hooks.values():
        if isinstance(hook, (WeightNorm, SpectralNorm)):
            found[hook.name] = _word(hook)
        elif isinstance(hook, BasePruningMethod):
            found[hook._tensor_name] = "pruning"
    for name in matrices(layer):
        if name not in layer._parameters:
            found.setdefault(name, "something that is no parameter")
    return found


def _word(step: object) -> str:
    if isinstance(step, (WeightNorm, parametrizations._WeightNorm)):
        return "weight norm"
    if isinstance(step, (SpectralNorm, parametrizations._SpectralNorm)):
        return "spectral norm"
    return type(step).__name__


def behind(layer: nn.Module, name: str) -> bool:
    """Whether a parameter stands behind a computed weight."""
    ends = ("g", "v", "orig")
    return any(name in {f"{w}_{e}" for e in ends} for w in computed(layer))


def refuse_computed(model: nn.Module, who: str) -> None:
    """Refuse a model with computed weights, and name them.

    Args:
        model: any module.
        who: what refuses, and why, for the message.

    Raises:
        ValueError: there is one.
    """
    for prefix, layer in model.named_modules():
        for name, how in computed(layer).items():
            label = f"{prefix}.{name}".lstrip(".")
            raise ValueError(
                f"{label!r} is computed by {how}: {who}. Call it on the "
                "plain layer, and put this on afterwards"
            )


def scale_of(layer: nn.Module, name: str = "weight") -> Tensor | None:
    """The parameter by which a weight can be scaled; None if there is none.

    The weight itself if it is a parameter, the lengths of weight norm, and
    what stands behind a pruning mask: in each the weight is linear.

    Example:
        >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
        >>> scale_of(layer).shape
        torch.Size([2, 1])
    """
    how = computed(layer).get(name)
    if how is None:
        return layer._parameters.get(name)
    if how == "pruning":
        return layer._parameters.get(f"{name}_orig")
    if how != "weight norm":
        return None
    if parametrize.is_parametrized(layer, name):
        return layer.parametrizations[name].original0
    return layer._parameters.get(f"{name}_g")


def scaled_blocks(
    model: nn.Module,
    factors: Mapping[str, float],
    who: str,
    skip: tuple[str, ...] = (),
) -> list[tuple[WeightMatrix, float]]:
    """The matrices to scale after a start, each stored one once.

    Args:
        model: any module.
        factors: name of a layer -> factor.
        who: name of the scheme, for messages.
        skip: parts to leave out ("q", "k").

    Raises:
        ValueError: a weight is computed, or shared with a layer that has
            another factor or none.
    """
    layers = dict(model.named_modules(remove_duplicate=False))
    owners: dict[int, list[str]] = {}
    for name, p in model.named_parameters(remove_duplicate=False):
        owners.setdefault(id(p), []).append(name)
    found, seen = [], {}
    for prefix, factor in factors.items():
        layer = layers[prefix]
        for name, how in computed(layer).items():
            if name in matrices(layer):
                label = f"{prefix}.{name}".lstrip(".")
                raise ValueError(
                    f"{label!r} is computed by {how}, which {who} cannot "
                    "scale: call it on the plain layer, and put this on "
                    "afterwards"
                )
        for block in layer_blocks(layer, prefix):
            stored = id(layer._parameters[block.param.rpartition(".")[2]])
            given = seen.setdefault((stored, block.part), {})
            if not given and block.part not in skip:
                found.append((block, factor))
            given[block.param] = factor
    for (stored, _), given in seen.items():
        others = [n for n in owners[stored] if n not in given]
        if others or len(set(given.values())) > 1:
            first = next(iter(given))
            alike = [n for n in given if given[n] == given[first]]
            other = next(n for n in [*given, *others] if n not in alike)
            raise ValueError(
                f"{first!r} and {other!r} are one tensor, and {who} wants "
                "each at its own scale: untie them, or take another scheme"
            )
    return found


def write_scaled(
    model: nn.Module,
    values: Mapping[str, Tensor],
    blocks: list[tuple[WeightMatrix, float]],
    how: dict[str, str],
) -> None:
    """Write a start into a model, some matrices times their factors.

    Args:
        model: is written to.
        values: of all parameters, by name.
        blocks: from :func:`scaled_blocks`, of the same model.
        how: what is said of each matrix; the factors are added.
    """
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(values[name])
        for block, factor in blocks:
            for view in block.views:
                view.mul_(factor)
            was = how[block.label]
            how[block.label] = f"{was} * {factor:.4g}" if factor else "zeros"


HOOKS = (WeightNorm, SpectralNorm, BasePruningMethod)


def refresh(layer: nn.Module) -> None:
    """Compute anew what hooks compute, as the next forward pass would.

    Spectral norm's own hook moves its buffers, and waits for that pass.
    """
    for hook in layer._forward_pre_hooks.values():
        if isinstance(hook, (WeightNorm, BasePruningMethod)):
            hook(layer, ())


@contextmanager
def in_step(model: nn.Module) -> Iterator[None]:
    """Weights that hooks compute fit their parameters afterwards."""
    graphs = [
        (m, any(getattr(m, n).requires_grad for n in computed(m)))
        for m in model.modules()
        if any(isinstance(h, HOOKS) for h in m._forward_pre_hooks.values())
    ]
    try:
        yield
    finally:
        for layer, graph in graphs:
            with torch.set_grad_enabled(graph):
                refresh(layer)


def padding_rows(model: nn.Module) -> list[tuple[Tensor, int]]:
    """Parameters of embeddings with the row that must stay 0.

    A parametrized table is looked at from behind, and a shared one is
    found whoever else owns it.
    """
    found = []
    for layer in model.modules():
        if not isinstance(layer, TABLES) or layer.padding_idx is None:
            continue
        table = scale_of(layer)
        shape = (layer.num_embeddings, layer.embedding_dim)
        owned = [table] if table is not None else layer.parameters()
        found += [
            (p, layer.padding_idx)
            for p in owned
            if p.shape == shape or (p is table and p.shape[:1] == shape[:1])
        ]
    return found


def clear_padding(model: nn.Module) -> None:
    """Write 0 into the padding rows of all embeddings."""
    for p, row in padding_rows(model):
        p.detach()[row].zero_()


def is_known(layer: nn.Module) -> bool:
    """Whether the layer's matrices and biases have a rule."""
    return isinstance(layer, KNOWN)
