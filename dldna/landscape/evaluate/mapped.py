"""Operations at many points at once, where torch's own mapping copies.

``torch.func.vmap`` maps most operations well. These are given to it as they
are fastest with an axis of points in front.
"""

from typing import Any

import torch
from torch import Tensor, fx

from dldna.landscape.evaluate.writing import without_writing
from dldna.objective.kernels import weight_norm

aten = torch.ops.aten


class _Rule(torch.autograd.Function):
    """An operation with a rule of its own for an axis of points."""

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        """Nothing is kept: there are values alone."""


class _MappedAttention(_Rule):
    """Points count as further samples."""

    @staticmethod
    def forward(query, key, value, mask, causal, scale) -> Tensor:
        """Softmax of scaled products, times the values."""
        return torch.nn.functional.scaled_dot_product_attention(
            query, key, value, mask, 0.0, causal, scale=scale
        )

    @staticmethod
    def vmap(info, in_dims, query, key, value, mask, causal, scale):
        """All points in one call."""
        n = info.batch_size
        query, key, value = (
            _front(t, axis, n)
            for t, axis in zip((query, key, value), in_dims, strict=False)
        )
        samples = query.shape[1]
        if mask is not None:
            mask = _front(mask, in_dims[3], n)
            mask = mask[(slice(None), *[None] * (5 - mask.ndim))]
            mask = mask.expand(n, samples, *mask.shape[2:]).flatten(0, 1)
        folded = (t.flatten(0, 1) for t in (query, key, value))
        made = _MappedAttention.forward(*folded, mask, causal, scale)
        return made.unflatten(0, (n, samples)), 0


class _MappedLinear(_Rule):
    """Batched products, with nothing copied."""

    @staticmethod
    def forward(bias, x, weight) -> Tensor:
        """``x @ weight + bias``."""
        if bias is None:
            return torch.mm(x, weight)
        return torch.addmm(bias, x, weight)

    @staticmethod
    def vmap(info, in_dims, bias, x, weight):
        """All points in one call."""
        n = info.batch_size
        x, weight = _front(x, in_dims[1], n), _front(weight, in_dims[2], n)
        if bias is None:
            return torch.bmm(x, weight), 0
        bias = _front(bias, in_dims[0], n)
        bias = bias[(slice(None), *[None] * (3 - bias.ndim))]
        return torch.baddbmm(bias, x, weight), 0


class _MappedProducts(_Rule):
    """Batches of products; one matrix for a whole batch is not copied."""

    @staticmethod
    def forward(x, y) -> Tensor:
        """``x[i] @ y[i]`` for each i."""
        if y.stride(0) == 0:
            return (x.flatten(0, 1) @ y[0]).unflatten(0, x.shape[:2])
        return torch.bmm(x, y)

    @staticmethod
    def vmap(info, in_dims, x, y):
        """All points in one call."""
        n, m = info.batch_size, x.shape[-2]
        x, y = _front(x, in_dims[0], n), _front(y, in_dims[1], n)
        if y.stride(1) == 0:
            made = torch.bmm(x.flatten(1, 2), y[:, 0])
            return made.unflatten(1, (-1, m)), 0
        made = torch.bmm(x.flatten(0, 1), y.flatten(0, 1))
        return made.unflatten(0, (n, -1)), 0


def _front(tensor: Tensor, axis: int | None, n: int) -> Tensor:
    """With the axis of points in front, also where nothing moves."""
    if axis is None:
        return tensor.unsqueeze(0).expand(n, *tensor.shape)
    return tensor.movedim(axis, 0)


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    attn_mask: Tensor | None = None,
    scale: float | None = None,
) -> tuple[Tensor, None]:
    """As torch's kernel is called."""
    made = _MappedAttention.apply(
        query, key, value, attn_mask, is_causal, scale
    )
    return made, None


def addmm(bias: Tensor, x: Tensor, weight: Tensor, **scales: Any) -> Tensor:
    """As torch's is called."""
    if scales:
        return torch.addmm(bias, x, weight, **scales)
    return _MappedLinear.apply(bias, x, weight)


def mm(x: Tensor, weight: Tensor) -> Tensor:
    """As torch's is called."""
    return _MappedLinear.apply(None, x, weight)


def bmm(x: Tensor, y: Tensor) -> Tensor:
    """As torch's is called."""
    return _MappedProducts.apply(x, y)


def fused_weight_norm(*args: Any) -> tuple[Tensor, None]:
    """As torch's kernel is called."""
    return weight_norm(*args), None


RULES = {
    aten.view.default: torch.reshape,
    aten._unsafe_view.default: torch.reshape,
    aten._scaled_dot_product_flash_attention_for_cpu.default: attention,
    aten._weight_norm_interface.default: fused_weight_norm,
    aten.addmm.default: addmm,
    aten.mm.default: mm,
    aten.bmm.default: bmm,
}


def mappable(graph: fx.Graph) -> fx.Graph:
    """A graph for vmap, with these rules."""
    without_writing(graph)
    for node in graph.nodes:
        if not node.meta.get("written"):
            node.target = RULES.get(node.target, node.target)
    return graph
