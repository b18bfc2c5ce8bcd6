"""The decoder: its size, what it sees, and the same layers by torch."""

from functools import partial
from itertools import product

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dldna import params
from dldna.data import load
from dldna.landscape import Operator, surface
from dldna.models import DecoderTransformer
from dldna.models.decoder import Attention, FeedForward, rotary_tables, turned

TANH = partial(F.gelu, approximate="tanh")
KINDS = list(product(("pre", "post", "none"), ("learned", "rotary"),
                     ("gelu", "swiglu"), (True, False)))  # fmt: skip
kinds = pytest.mark.parametrize(
    ("norm", "positions", "feed", "tied"),
    KINDS, ids=["-".join(map(str, kind)) for kind in KINDS],
)  # fmt: skip


def small(seed=0, stir=0.3, **options):
    """A decoder in float64 whose weights all differ from their start."""
    torch.manual_seed(seed)
    options = {"width": 8, "depth": 2, "heads": 2, **options}
    net = DecoderTransformer(11, 7, **options).double()
    with torch.no_grad():
        for p in net.parameters():
            p.add_(stir * torch.randn_like(p))
    return net


def ids(*shape, seed=1, vocab=11):
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(vocab, shape, generator=draw)


@kinds
def test_the_size_is_the_closed_form(norm, positions, feed, tied):
    v, t, d, n, h = 19, 13, 12, 3, 20
    for bias in (True, False):
        with torch.device("meta"):
            net = DecoderTransformer(
                v, t, width=d, depth=n, heads=3, hidden=h, norm=norm,
                positions=positions, feed=feed, tied=tied, bias=bias,
            )  # fmt: skip
        b, gates = int(bias), int(feed == "swiglu")
        block = 4 * (d * d + b * d)
        block += (1 + gates) * (d * h + b * h) + d * h + b * d
        block += 0 if norm == "none" else 4 * d
        wanted = v * d * (1 if tied else 2) + n * block
        wanted += t * d * (positions == "learned") + 2 * d * (norm == "pre")
        assert sum(p.numel() for p in net.parameters()) == wanted


def test_gpt2_small_has_124_million():
    with torch.device("meta"):
        net = DecoderTransformer(50257, 1024, width=768, depth=12, heads=12)
    assert sum(p.numel() for p in net.parameters()) == 124_439_808


@kinds
def test_no_token_sees_a_later_one(norm, positions, feed, tied):
    """Bit for bit; and each sees all before it."""
    net = small(norm=norm, positions=positions, feed=feed, tied=tied).float()
    x = ids(3, 7)
    with torch.no_grad():
        before = net(x)
        for t in range(7):
            y = x.clone()
            y[:, t] = (y[:, t] + 1 + ids(3, seed=t) % 10) % 11
            after = net(y)
            assert torch.equal(after[..., :t], before[..., :t])
            moved = (after != before).any(1)
            assert moved[:, t:].all()


def encoder_layer(block, norm):
    """torch's own layer with the weights of one of our blocks."""
    ours = block.attention
    layer = nn.TransformerEncoderLayer(
        8, 2, 32, 0.0, TANH, batch_first=True, norm_first=norm == "pre",
        dtype=torch.float64,
    )  # fmt: skip
    parts = [ours.query, ours.key, ours.value]
    pairs = [
        (layer.self_attn.in_proj_weight, torch.cat([p.weight for p in parts])),
        (layer.self_attn.in_proj_bias, torch.cat([p.bias for p in parts])),
    ]
    for mine, theirs in (
        (ours.out, layer.self_attn.out_proj),
        (block.feed.up, layer.linear1),
        (block.feed.down, layer.linear2),
        (block.norm1, layer.norm1),
        (block.norm2, layer.norm2),
    ):
        pairs += [(theirs.weight, mine.weight), (theirs.bias, mine.bias)]
    with torch.no_grad():
        for theirs, mine in pairs:
            theirs.copy_(mine)
    return layer


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_torchs_own_layers_give_the_same(norm):
    net, x = small(norm=norm), ids(3, 7)
    mask = nn.Transformer.generate_square_subsequent_mask(
        7, dtype=torch.float64
    )
    h = net.tokens.weight[x] + net.positions.weight
    for block in net.blocks:
        layer = encoder_layer(block, norm).train()
        h = layer(h, src_mask=mask, is_causal=True)
    if norm == "pre":
        h = F.layer_norm(h, (8,), net.norm.weight, net.norm.bias)
    logits = h @ net.tokens.weight.T
    torch.testing.assert_close(
        net(x), logits.transpose(1, 2), rtol=1e-12, atol=1e-12
    )


def test_rotary_positions_are_a_turn_of_complex_numbers():
    cos, sin = (t.double() for t in rotary_tables(9, 6))
    x = torch.randn(2, 9, 6, dtype=torch.float64)
    z = torch.complex(x[..., :3], x[..., 3:])
    t = torch.arange(9)[:, None]
    rate = 10000.0 ** (-2 * torch.arange(3) / 6)
    z = z * torch.exp(1j * (t * rate).double())
    wanted = torch.cat([z.real, z.imag], dim=-1)
    torch.testing.assert_close(turned(x, cos, sin), wanted, atol=1e-6, rtol=0)


def test_rotary_attention_knows_distances_alone():
    """The last token of a shifted sequence finds the same."""
    torch.manual_seed(0)
    layer = Attention(8, 2, context=12, rotary=True).double()
    x = torch.randn(1, 12, 8, dtype=torch.float64)

    def last(first, n):  # of the tokens from `first` on, at their places
        whole = torch.zeros(1, n, 8, dtype=torch.float64)
        whole[:, n - 4 :] = x[:, first : first + 4]
        q, k = layer.query(whole), layer.key(whole)
        cos, sin = layer.cos[:n].double(), layer.sin[:n].double()
        q, k = (
            turned(y.view(1, n, 2, 4).transpose(1, 2), cos, sin)
            for y in (q, k)
        )
        return (q @ k.mT)[0, :, -1, -4:]

    torch.testing.assert_close(last(3, 4), last(3, 12), atol=1e-6, rtol=0)


def test_swiglu_is_its_formula():
    torch.manual_seed(0)
    part, x = FeedForward(6, 9, "swiglu", True), torch.randn(4, 6)
    gate = part.gate(x)
    wanted = part.down(gate * torch.sigmoid(gate) * part.up(x))
    torch.testing.assert_close(part(x), wanted)


def test_scales_of_attention_and_output():
    net, x = small(), ids(2, 7)
    other = small(attention_scale=4**-0.5, output_scale=0.25)
    torch.testing.assert_close(0.25 * net(x), other(x))
    cold = small(attention_scale=1e-9)  # attends to all alike
    layer, h = cold.blocks[0].attention, torch.randn(1, 7, 8).double()
    n = torch.arange(1, 8)[:, None]
    mean = layer.out(layer.value(h).cumsum(1) / n)
    torch.testing.assert_close(layer(h), mean, atol=1e-7, rtol=0)


def test_the_start_knows_nothing_and_follows_from_the_seed():
    net = DecoderTransformer()
    x = ids(4, 128, vocab=70)
    loss = F.cross_entropy(net(x), ids(4, 128, vocab=70, seed=2))
    assert float(loss.detach()) == pytest.approx(4.2485, abs=0.05)


@pytest.mark.parametrize(("norm", "tied"), [("pre", True), ("post", False)])
def test_a_surface_is_that_of_a_plain_loop(norm, tied):
    data = load("plays").windows(7)
    net = DecoderTransformer(70, 7, width=8, depth=2, heads=2, norm=norm,
                             tied=tied)  # fmt: skip
    x, y = data.train_x[:30], data.train_y[:30]
    w, draw = params.of(net), torch.Generator().manual_seed(0)
    assert ("head.weight" in w) == (not tied)
    d, e = (
        {k: 0.1 * v for k, v in params.randn_like(w, draw).items()}
        for _ in range(2)
    )
    found = surface(net, F.cross_entropy, [(x[:9], y[:9]), (x[9:], y[9:])],
                    [d, e], resolution=3)  # fmt: skip
    for i, alpha in enumerate(found.alphas):
        for j, beta in enumerate(found.betas):
            plain = DecoderTransformer(
                70, 7, width=8, depth=2, heads=2, norm=norm, tied=tied
            )
            with torch.no_grad():
                for k, p in plain.named_parameters():
                    p.copy_(w[k] + float(alpha) * d[k] + float(beta) * e[k])
                loss = F.cross_entropy(plain(x), y)
            assert found.losses[i, j] == pytest.approx(float(loss), rel=1e-5)


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_curvature_is_that_of_autograd(positions):
    """A tied table counts once, with both of its uses."""
    net = small(width=4, heads=1, depth=1, hidden=5, positions=positions,
                feed="swiglu", bias=False)  # fmt: skip
    x, y = ids(5, 7), ids(5, 7, seed=2)
    names = [k for k, _ in net.named_parameters()]
    w = [p.detach().clone() for p in net.parameters()]
    n = sum(p.numel() for p in w)
    operator = Operator(net, F.cross_entropy, (x, y))
    v = torch.randn(n, dtype=torch.float64)

    def loss(*values):
        point = dict(zip(names, values, strict=True))
        with torch.nn.attention.sdpa_kernel(
            torch.nn.attention.SDPBackend.MATH
        ):
            return F.cross_entropy(
                torch.func.functional_call(net, point, (x,)), y
            )

    parts = tuple(
        part.view_as(p)
        for part, p in zip(v.split([p.numel() for p in w]), w, strict=True)
    )
    _, wanted = torch.autograd.functional.hvp(loss, tuple(w), parts)
    wanted = torch.cat([part.flatten() for part in wanted])
    assert operator.shape == (n, n)
    found = torch.as_tensor(operator @ v)
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norm": "prenorm"}, "norm"),
        ({"positions": "rotray"}, "did you mean 'rotary'"),
        ({"feed": "relu"}, "feed"),
        ({"heads": 3}, "3 heads do not divide width=64"),
        ({"width": 12, "heads": 4, "positions": "rotary"}, "even, not 3"),
        ({"vocab": 1}, "vocab"),
        ({"output_scale": 0.0}, "output_scale"),
        ({"attention_scale": -1.0}, "attention_scale"),
    ],
)
def test_what_does_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        DecoderTransformer(**options)


def test_more_tokens_than_it_can_read():
    with pytest.raises(ValueError, match=r"T at most 7, not \(2, 8\)"):
        small()(ids(2, 8))
    with pytest.raises(ValueError, match=r"\(B, T\) tokens"):
        small()(ids(7))
