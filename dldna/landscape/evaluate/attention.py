"""torch's transformer encoders, written out in their plain operations.

The module's own inference kernel copies biases and attention weights that
nobody reads; the same operations one by one take about half the time.
"""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from dldna.landscape.evaluate.products import linear

ACTIVATIONS = (nn.GELU, nn.ReLU)


def known(module: nn.Module) -> bool:
    """Whether :func:`encode` can stand for a module in evaluation mode."""
    if type(module) is nn.TransformerEncoder:
        norm = module.norm
        return all(known(layer) for layer in module.layers) and (
            norm is None or type(norm) is nn.LayerNorm
        )
    if type(module) is not nn.TransformerEncoderLayer or module.training:
        return False
    attention = module.self_attn
    return (
        type(attention) is nn.MultiheadAttention
        and attention.batch_first
        and attention._qkv_same_embed_dim
        and attention.in_proj_bias is not None
        and attention.bias_k is None
        and not attention.add_zero_attn
        and module.linear1.bias is not None
        and (
            module.activation in (F.relu, F.gelu)
            or type(module.activation) in ACTIVATIONS
        )
    )


def encode(
    module: nn.Module, x: Tensor, at: Callable[[str], Tensor], name: str = ""
) -> Tensor:
    """The output of an encoder or one of its layers, without masks.

    Args:
        module: what :func:`known` approves of.
        x: (N, T, D) tokens.
        at: gives a parameter by its name in ``module``.
        name: prefix of those names.

    Returns:
        (N, T, D).
    """
    if type(module) is nn.TransformerEncoder:
        for i, part in enumerate(module.layers):
            x = encode(part, x, at, f"{name}layers.{i}.")
        if module.norm is not None:
            x = _normed(module.norm, x, at, f"{name}norm")
        return x

    def normed(k: int, x: Tensor) -> Tensor:
        return _normed(getattr(module, f"norm{k}"), x, at, f"{name}norm{k}")

    def layer(part: str, x: Tensor) -> Tensor:
        bias = at(f"{name}{part}.bias")
        return linear(x, at(f"{name}{part}.weight"), bias)

    def attend(x: Tensor) -> Tensor:
        (n, t, d), own = x.shape, f"{name}self_attn."
        weight, bias = at(f"{own}in_proj_weight"), at(f"{own}in_proj_bias")
        heads = module.self_attn.num_heads
        parts = linear(x, weight, bias).view(n, t, 3, heads, d // heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v)
        return layer("self_attn.out_proj", y.transpose(1, 2).reshape(n, t, d))

    def feed(x: Tensor) -> Tensor:
        return layer("linear2", module.activation(layer("linear1", x)))

    if module.norm_first:
        x = attend(normed(1, x)).add_(x)
        return feed(normed(2, x)).add_(x)
    x = normed(1, attend(x).add_(x))
    return normed(2, feed(x).add_(x))


def _normed(norm: nn.LayerNorm, x: Tensor, at, name: str) -> Tensor:
    weight = None if norm.weight is None else at(f"{name}.weight")
    bias = None if norm.bias is None else at(f"{name}.bias")
    return F.layer_norm(x, norm.normalized_shape, weight, bias, norm.eps)
