"""A transformer that reads a sequence and foretells each next token."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dldna.checks import choice, count, positive

NORMS = ("pre", "post", "none")
POSITIONS = ("learned", "rotary")
FEEDS = ("gelu", "swiglu")
STD = 0.02
ROTARY_BASE = 10_000.0


class Attention(nn.Module):
    r"""Causal attention: each token looks at itself and those before it.

    .. math:: y_t = W_o \sum_{s \le t} a_{ts} W_v x_s, \qquad
        a_{t\cdot} = \mathrm{softmax}_{s \le t}
        \bigl(\alpha\, (W_q x_t) \cdot (W_k x_s)\bigr),

    in each head by itself, with :math:`\alpha = d_{head}^{-1/2}` unless
    given. Rotary positions turn query and key by angles that grow with
    their place, so that their product knows the distance alone.

    Args:
        width: length of a token's vector.
        heads: number of heads; divides ``width``.
        context: largest number of tokens, for the rotary angles.
        rotary: whether queries and keys are turned.
        scale: :math:`\alpha`.
        bias: whether the four matrices have biases.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        context: int,
        rotary: bool = False,
        scale: float | None = None,
        bias: bool = True,
    ):
        super().__init__()
        self.query = nn.Linear(width, width, bias)
        self.key = nn.Linear(width, width, bias)
        self.value = nn.Linear(width, width, bias)
        self.out = nn.Linear(width, width, bias)
        self.heads, self.rotary, self.scale = heads, rotary, scale
        if rotary:
            cos, sin = rotary_tables(context, width // heads)
            self.register_buffer("cos", cos, persistent=False)
            self.register_buffer("sin", sin, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) of (B, T, width)."""

        def split(y: Tensor) -> Tensor:  # (B, heads, T, d_head)
            return y.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        q, k, v = (split(f(x)) for f in (self.query, self.key, self.value))
        if self.rotary:
            cos, sin = self.cos[: x.shape[1]], self.sin[: x.shape[1]]
            q, k = turned(q, cos, sin), turned(k, cos, sin)
        y = F.scaled_dot_product_attention(
            q, k, v, is_causal=True, scale=self.scale
        )
        return self.out(y.transpose(1, 2).flatten(2))


def rotary_tables(context: int, d: int) -> tuple[Tensor, Tensor]:
    r"""Cosines and sines of :math:`t\, 10000^{-2i/d}`, (context, d / 2) each.

    Example:
        >>> cos, sin = rotary_tables(8, 4)
        >>> cos.shape, float(sin[0].abs().max())
        (torch.Size([8, 2]), 0.0)
    """
    rate = ROTARY_BASE ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    angle = torch.arange(context, dtype=torch.float64)[:, None] * rate
    kind = torch.get_default_dtype()
    return angle.cos().to(kind), angle.sin().to(kind)


def turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the planes (i, i + d/2) of (..., T, d) vectors by their angles.

    References:
        J. Su et al., RoFormer: enhanced transformer with rotary position
        embedding, 2021, arXiv:2104.09864.
    """
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


class FeedForward(nn.Module):
    r"""Two dense layers for each token by itself, or three with a gate.

    GELU: :math:`W_2\, \phi(W_1 x)`; SwiGLU:
    :math:`W_2\, (\mathrm{SiLU}(W_g x) \odot W_1 x)`.

    Args:
        width: length of a token's vector.
        hidden: units between.
        kind: ``gelu`` (by its tanh approximation, as in GPT-2) or
            ``swiglu``.
        bias: whether the matrices have biases.

    References:
        N. Shazeer, GLU variants improve transformer, 2020,
        arXiv:2002.05202.
    """

    def __init__(self, width: int, hidden: int, kind: str, bias: bool):
        super().__init__()
        self.gate = None
        if kind == "swiglu":
            self.gate = nn.Linear(width, hidden, bias)
        self.up = nn.Linear(width, hidden, bias)
        self.down = nn.Linear(hidden, width, bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) of (B, T, width)."""
        if self.gate is None:
            return self.down(F.gelu(self.up(x), approximate="tanh"))
        return self.down(F.silu(self.gate(x)) * self.up(x))


class DecoderBlock(nn.Module):
    r"""Attention and a feed-forward part, each a residual branch.

    Pre-norm: :math:`x + F(N(x))`; post-norm: :math:`N(x + F(x))`; without
    norm: :math:`x + F(x)`.

    Args:
        width: length of a token's vector.
        attention: the first branch.
        feed: the second branch.
        norm: ``pre``, ``post`` or ``none``.
        dropout: share of a branch's output that is dropped in training.
    """

    def __init__(
        self,
        width: int,
        attention: nn.Module,
        feed: nn.Module,
        norm: str,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.norm = norm
        self.drop = nn.Dropout(dropout)
        self.attention, self.feed = attention, feed
        if norm != "none":
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) of (B, T, width)."""
        if self.norm == "pre":
            x = x + self.drop(self.attention(self.norm1(x)))
            return x + self.drop(self.feed(self.norm2(x)))
        if self.norm == "post":
            x = self.norm1(x + self.drop(self.attention(x)))
            return self.norm2(x + self.drop(self.feed(x)))
        x = x + self.drop(self.attention(x))
        return x + self.drop(self.feed(x))


class DecoderTransformer(nn.Module):
    r"""A decoder-only transformer, from a chapter's size to GPT-2's.

    Logits come as (B, vocab, T), classes second, as torch's cross-entropy
    takes them with targets (B, T): its mean is over all tokens.

    With d the width, h the hidden units, V, T, L the vocabulary, context
    and depth, the number of parameters is

    .. math:: (V + T) d + L\, (4 d^2 + 4 d + 2 d h + h + d + 4 d) + 2 d

    for learned positions, GELU, pre-norm and a tied head. Rotary
    positions take away :math:`T d`; SwiGLU adds :math:`L\,(d h + h)`; an
    untied head adds :math:`V d`; post-norm takes away the last norm's
    :math:`2 d`, and no norm also the blocks' :math:`4 L d`; without biases
    :math:`L\,(5 d + h)` are missing, and with SwiGLU :math:`L h` more.

    Weights start as N(0, 0.02²) and biases at 0; :mod:`dldna.init` has
    the schemes.

    Args:
        vocab: number of different tokens, V.
        context: largest number of tokens read at once, T.
        width: length of a token's vector, d.
        depth: number of blocks, L.
        heads: number of attention heads; divides ``width``.
        hidden: units of the feed-forward part, h; 4 d if not given.
        norm: ``pre``, ``post`` or ``none``.
        positions: ``learned`` or ``rotary``.
        feed: ``gelu`` or ``swiglu``.
        tied: whether the head shares the embedding's table.
        bias: whether the blocks' matrices have biases; the head has none.
        attention_scale: of the attention's logits; the root of the head's
            width, inverted, if not given. muP wants the width itself.
        output_scale: of the logits; muP with a tied head wants the
            inverse of the width's growth.
        dropout: share dropped in training, of the embeddings' sum and of
            each branch's output.

    Raises:
        ValueError: an unknown word, or sizes that do not fit each other.

    Example:
        >>> net = DecoderTransformer()
        >>> sum(p.numel() for p in net.parameters())
        212736
        >>> net(torch.zeros(2, 128, dtype=torch.int64)).shape
        torch.Size([2, 70, 128])
        >>> with torch.device("meta"):  # GPT-2 small
        ...     gpt2 = DecoderTransformer(
        ...         50257, 1024, width=768, depth=12, heads=12)
        >>> sum(p.numel() for p in gpt2.parameters())
        124439808

    References:
        A. Radford et al., Language models are unsupervised multitask
        learners, 2019.

        R. Xiong et al., On layer normalization in the transformer
        architecture, ICML 2020, arXiv:2002.04745.
    """

    def __init__(
        self,
        vocab: int = 70,
        context: int = 128,
        *,
        width: int = 64,
        depth: int = 4,
        heads: int = 4,
        hidden: int | None = None,
        norm: str = "pre",
        positions: str = "learned",
        feed: str = "gelu",
        tied: bool = True,
        bias: bool = True,
        attention_scale: float | None = None,
        output_scale: float = 1.0,
        dropout: float = 0.0,
    ):
        super().__init__()
        count("vocab", vocab, 2)
        count("depth", depth)
        choice("norm", norm, NORMS)
        choice("feed", feed, FEEDS)
        if count("width", width) % count("heads", heads):
            raise ValueError(f"{heads} heads do not divide width={width}")
        rotary = choice("positions", positions, POSITIONS) == "rotary"
        if rotary and width // heads % 2:
            raise ValueError(
                f"rotary positions turn planes: a head's width must be even, "
                f"not {width // heads}"
            )
        hidden = 4 * width if hidden is None else count("hidden", hidden)
        if attention_scale is not None:
            positive("attention_scale", attention_scale)
        self.output_scale = positive("output_scale", output_scale)
        self.context = count("context", context)
        self.drop = nn.Dropout(dropout)
        self.tokens = nn.Embedding(vocab, width)
        self.positions = None if rotary else nn.Embedding(context, width)
        self.blocks = nn.Sequential()
        for _ in range(depth):
            attention = Attention(
                width, heads, context, rotary, attention_scale, bias
            )
            part = FeedForward(width, hidden, feed, bias)
            block = DecoderBlock(width, attention, part, norm, dropout)
            self.blocks.append(block)
        self.norm = nn.LayerNorm(width) if norm == "pre" else nn.Identity()
        self.head = nn.Linear(width, vocab, bias=False)
        if tied:
            self.head.weight = self.tokens.weight
        self._start()

    def _start(self) -> None:
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=STD)
            if getattr(module, "bias", None) is not None:
                nn.init.zeros_(module.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (B, vocab, T) of the next token, for (B, T) tokens."""
        if tokens.ndim != 2 or tokens.shape[1] > self.context:
            raise ValueError(
                f"wanted are (B, T) tokens with T at most {self.context}, "
                f"not {tuple(tokens.shape)}"
            )
        x = self.tokens(tokens)
        if self.positions is not None:
            x = x + self.positions.weight[: tokens.shape[1]]
        logits = self.head(self.norm(self.blocks(self.drop(x))))
        if self.output_scale != 1:
            logits = self.output_scale * logits
        return logits.transpose(1, 2)
