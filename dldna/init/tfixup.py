r"""T-Fixup: transformers without layer norm and without warm-up.

Xavier everywhere, embeddings :math:`N(0, d^{-1/2})` (standard deviation);
then, with N layers, value and output projections, MLP weights and
embeddings are scaled: by :math:`(9N)^{-1/4}` in a decoder and for
embeddings, by :math:`0.67\,N^{-1/4}` in an encoder. The factors follow from
the branches of a layer, three in a decoder that looks at an encoder, too,
and two in an encoder; a decoder-only transformer has the encoder's two, and
its factor.
"""

import torch
from torch import Tensor, nn

from dldna.guard import untouched
from dldna.init._draw import make_generator, normal_
from dldna.init.apply import initialize
from dldna.init.init_report import InitReport, describe
from dldna.init.parametrized import (
    TABLES,
    clear_padding,
    computed,
    scaled_blocks,
    write_scaled,
)
from dldna.init.weight_matrices import check_model, matrices
from dldna.models.decoder import Attention, DecoderBlock

TWO_BRANCHES = (nn.TransformerEncoderLayer, DecoderBlock)
THREE_BRANCHES = (nn.TransformerDecoderLayer,)


def tfixup(
    model: nn.Module,
    *,
    seed: int = 0,
    generator: torch.Generator | None = None,
) -> InitReport:
    """Initialize transformer layers by T-Fixup's rules, in place.

    Args:
        model: a module with ``nn.TransformerEncoderLayer``,
            ``nn.TransformerDecoderLayer`` or the blocks of
            :class:`dldna.models.DecoderTransformer` inside.
        seed: of the random numbers.
        generator: instead of the seed.

    Returns:
        A report; its notes name layer norms, which the scheme is meant to
        make needless.

    Raises:
        ValueError: no transformer layer, or a weight to scale that is
            computed from others or shared with another kind of layer.

    Example:
        >>> layer = nn.TransformerEncoderLayer(8, 2, 16)
        >>> report = tfixup(layer)
        >>> [f.scheme for f in report.filled if f.fan_in][2]
        'xavier_uniform * 0.67'

    References:
        Huang, Perez, Ba, Volkovs, ICML 2020.
    """
    source = make_generator(seed, generator)
    check_model(model)
    layers = dict(model.named_modules())
    encoder = {k: m for k, m in layers.items() if isinstance(m, TWO_BRANCHES)}
    decoder = {
        k: m for k, m in layers.items() if isinstance(m, THREE_BRANCHES)
    }
    if not encoder and not decoder:
        raise ValueError(
            f"{type(model).__name__} has no nn.TransformerEncoderLayer, "
            "nn.TransformerDecoderLayer or block of a DecoderTransformer, "
            "which T-Fixup is about"
        )
    attention = [m for m in layers.values() if isinstance(m, Attention)]
    unscaled = {id(part) for m in attention for part in (m.query, m.key)}
    in_encoder = 0.67 * max(len(encoder), 1) ** -0.25
    in_decoder = (9 * (len(decoder) or len(encoder))) ** -0.25
    factors = {}
    for group, factor in ((encoder, in_encoder), (decoder, in_decoder)):
        for name in group:
            dot = f"{name}." if name else ""
            for inner, m in group[name].named_modules():
                if any(matrices(m)) and id(m) not in unscaled:
                    factors[dot + inner if inner else name] = factor
    blocks = scaled_blocks(model, factors, "T-Fixup", skip=("q", "k"))
    with untouched(model):
        base = initialize(model, "xavier_uniform", generator=source)
        for m in model.modules():
            if isinstance(m, TABLES):
                std = m.embedding_dim**-0.5 * in_decoder
                normal_(_table(m), std, source)
        clear_padding(model)
        values = {k: p.clone() for k, p in model.named_parameters()}
    how = {f.name: f.scheme for f in base.filled}
    left, tied = dict(base.left), dict(base.tied)
    write_scaled(model, values, blocks, how)
    for name, m in layers.items():
        if isinstance(m, TABLES):
            label = f"{name}.weight".lstrip(".")
            left.pop(label, None)
            if label in tied:  # the head that shares it follows it
                head = tied.pop(label)
                how.pop(head, None)
                tied[head] = label
            how[label] = f"normal d^-1/2 * {in_decoder:.4g}"
    norms = [n for n, m in layers.items() if isinstance(m, nn.LayerNorm)]
    notes = [f"T-Fixup is made for transformers without layer norm: {norms}"]
    return describe(
        model,
        "tfixup",
        how,
        left,
        tied=tied,
        notes=notes * bool(norms),
        numbers={"encoder": in_encoder, "decoder": in_decoder},
    )


def _table(embedding: nn.Module) -> Tensor:
    """An embedding's stored table."""
    for name, how in computed(embedding).items():
        raise ValueError(
            f"the {name} of an embedding is computed by {how}, which "
            "T-Fixup cannot fill: call it first, and put this on afterwards"
        )
    return embedding.weight.detach()
