r"""Starts of residual branches: GPT-2's scaling, and branches at zero.

L blocks of two branches each add 2 L terms to the residual stream. If each
term has the variance :math:`s^2`, the stream's grows by
:math:`2 L s^2`; GPT-2 divides the last matrix of each branch by
:math:`\sqrt{2 L}`, so that they add :math:`s^2` together, whatever the
depth. A branch whose last matrix is 0 adds nothing at all: every block is
the identity at the start.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from dldna import checks
from dldna.guard import untouched
from dldna.init._draw import make_generator, normal_
from dldna.init.apply import initialize
from dldna.init.init_report import InitReport, describe
from dldna.init.parametrized import TABLES, scaled_blocks, write_scaled
from dldna.init.weight_matrices import check_model, matrices
from dldna.models.decoder import DecoderBlock

ENDS = {
    DecoderBlock: ("attention.out", "feed.down"),
    nn.TransformerEncoderLayer: ("self_attn.out_proj", "linear2"),
    nn.TransformerDecoderLayer: (
        "self_attn.out_proj", "multihead_attn.out_proj", "linear2",
    ),
}  # fmt: skip


def branch_ends(model: nn.Module) -> list[str]:
    """Names of the layers that end the residual branches of transformers.

    Args:
        model: a module with :class:`dldna.models.DecoderTransformer`'s
            blocks or torch's transformer layers inside.

    Returns:
        The names, in the order of the blocks; none for other models.

    Example:
        >>> branch_ends(nn.TransformerEncoderLayer(8, 2))
        ['self_attn.out_proj', 'linear2']
    """
    return list(_ends(check_model(model)))


def _ends(model: nn.Module) -> Iterator[str]:
    for name, block in model.named_modules():
        for kind, ends in ENDS.items():
            if isinstance(block, kind):
                yield from (f"{name}.{end}".lstrip(".") for end in ends)


def gpt2(
    model: nn.Module,
    *,
    std: float = 0.02,
    embedding_std: float | None = None,
    ends: Sequence[str] | None = None,
    seed: int = 0,
    generator: torch.Generator | None = None,
) -> InitReport:
    r"""GPT-2's start, in place.

    Matrices and embeddings are :math:`N(0, \sigma^2)`, the last matrix of
    each of the m residual branches :math:`N(0, \sigma^2 / m)`, biases 0,
    norms 1 and 0. With two branches to a block, :math:`m = 2 L`.

    Args:
        model: a transformer, or any module whose ``ends`` are named.
        std: :math:`\sigma`.
        embedding_std: of the embeddings; ``std`` if not given. A table
            shared with a head is an embedding.
        ends: names of the last layers of the branches; None takes those
            of :func:`branch_ends`.
        seed: of the random numbers.
        generator: instead of the seed.

    Returns:
        A report; ``numbers["ends"]`` names the scaled layers.

    Raises:
        ValueError: no branches, an unknown name, or an end whose weight
            is computed from others, or shared with another layer.

    Example:
        >>> from dldna.models import DecoderTransformer
        >>> net = DecoderTransformer(width=64, depth=8)
        >>> report = gpt2(net)
        >>> rms = {f.name: f.std for f in report.filled}
        >>> round(rms["blocks.0.feed.down.weight"] * 16**0.5, 3)
        0.02

    References:
        A. Radford et al., Language models are unsupervised multitask
        learners, 2019 (section 2.3).
    """
    checks.positive("std", std)
    if embedding_std is None:
        embedding_std = std
    checks.positive("embedding_std", embedding_std)
    names = _named_ends(model, ends)
    factor = len(names) ** -0.5

    def normal(tensor, *, generator=None):
        return normal_(tensor, std, generator)

    def table(tensor, *, generator=None):
        return normal_(tensor, embedding_std, generator)

    normal.__name__ = f"normal {std:g}"
    table.__name__ = f"normal {embedding_std:g}"
    return _start(
        model, normal, names, factor, make_generator(seed, generator), table
    )


def zero_branches(
    model: nn.Module,
    scheme: str = "lecun_normal",
    *,
    ends: Sequence[str] | None = None,
    seed: int = 0,
    generator: torch.Generator | None = None,
) -> InitReport:
    """A scheme everywhere, and residual branches that end in 0, in place.

    Without norm after the sum, every block is the identity at the start.
    Only the last matrices have a gradient in the first step; the others
    follow as soon as these have moved. Embeddings are left as they are.

    Args:
        model: a transformer, or any module whose ``ends`` are named.
        scheme: of the other matrices, as :func:`dldna.init.initialize`
            takes it.
        ends: names of the last layers of the branches; None takes those
            of :func:`branch_ends`.
        seed: of the random numbers.
        generator: instead of the seed.

    Returns:
        A report; ``numbers["ends"]`` names the layers at zero.

    Raises:
        ValueError: as :func:`gpt2`.

    Example:
        >>> from dldna.models import DecoderTransformer
        >>> net = DecoderTransformer(norm="none")
        >>> report = zero_branches(net)
        >>> x = torch.randn(1, 5, 64)
        >>> torch.equal(net.blocks(x), x)
        True

    References:
        P. Goyal et al., Accurate, large minibatch SGD: training ImageNet
        in 1 hour, 2017, arXiv:1706.02677 (section 5.1).

        T. Bachlechner et al., ReZero is all you need, UAI 2021,
        arXiv:2003.04887.
    """
    names = _named_ends(model, ends)
    source = make_generator(seed, generator)
    return _start(model, scheme, names, 0.0, source, None)


def _named_ends(model: nn.Module, ends: Sequence[str] | None) -> Sequence[str]:
    check_model(model)
    names = branch_ends(model) if ends is None else list(ends)
    known = [n for n, m in model.named_modules() if any(matrices(m))]
    for name in names:
        if name not in known:
            raise ValueError(
                f"no weight layer named {name!r}; this model has "
                + ", ".join(known)
            )
    if not names:
        raise ValueError(
            f"{type(model).__name__} has no transformer blocks; name the "
            "last layers of its residual branches in ends="
        )
    return names


def _start(model, scheme, names, factor, source, table) -> InitReport:
    """The scheme, the tables, and the ends times the factor."""
    blocks = scaled_blocks(model, dict.fromkeys(names, factor), "this start")
    tables = [n for n, m in model.named_modules() if isinstance(m, TABLES)]
    # a table shared with a head is filled once, and as a table
    shared = {id(m.weight) for m in model.modules() if isinstance(m, TABLES)}
    rules = {
        key: table
        for key, p in model.named_parameters(remove_duplicate=False)
        if id(p) in shared
    }
    if not factor:  # a branch that is 0 has no bias either
        biases = {k for k, _ in model.named_parameters()}
        biases &= {f"{name}.bias" for name in names}
        rules |= dict.fromkeys(sorted(biases), "zeros")
    with untouched(model):
        report = initialize(model, scheme, generator=source, rules=rules)
        values = {k: p.clone() for k, p in model.named_parameters()}
    how = {f.name: f.scheme for f in report.filled}
    write_scaled(model, values, blocks, how)
    return describe(
        model,
        "gpt2" if factor else "zero_branches",
        how,
        report.left,
        tied=report.tied,
        numbers={"ends": names, "embeddings": tables},
    )
