"""Starts of a decoder: residual scaling, zero branches, T-Fixup, muP."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dldna import init, params
from dldna.models import DecoderTransformer


def net(**options):
    torch.manual_seed(0)
    options = {"width": 64, "depth": 3, "heads": 4, **options}
    return DecoderTransformer(40, 16, **options)


def stir(model):
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p))
    return model


def rms(p):
    return float(p.detach().square().mean().sqrt())


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("feed", ["gelu", "swiglu"])
def test_gpt2s_start(tied, feed):
    """Every parameter, whatever it was; six branches end at 0.05/sqrt 6."""
    model = stir(net(tied=tied, feed=feed))
    report = init.gpt2(model, std=0.05, embedding_std=0.3, seed=2)
    seen = set()
    for name, p in model.named_parameters():
        kind = name.rpartition(".")[2]
        if "norm" in name:
            assert torch.all(p == (1.0 if kind == "weight" else 0.0)), name
            continue
        if kind == "bias":
            assert not p.any(), name
            continue
        wanted = 0.05
        if "tokens" in name or "positions" in name:
            wanted = 0.3
        elif name.endswith(("attention.out.weight", "feed.down.weight")):
            wanted = 0.05 / math.sqrt(6)
        near = 4 / math.sqrt(2 * p.numel())
        assert rms(p) == pytest.approx(wanted, rel=near), name
        seen.add(wanted)
    assert len(seen) == 3
    assert not report.left
    assert len(report.numbers["ends"]) == 6
    again = init.gpt2(stir(net(tied=tied, feed=feed)), std=0.05,
                      embedding_std=0.3, seed=2)  # fmt: skip
    assert [f.std for f in again.filled] == [f.std for f in report.filled]


@pytest.mark.full
def test_gpt2_adds_as_much_at_every_depth():
    """Eight times the blocks: unscaled branches add eight times as much."""
    added = {}
    tokens = torch.arange(16).repeat(2, 1)
    for depth in (1, 8):
        model = net(depth=depth, bias=False, tied=False)
        for name, ends in (("scaled", None), ("plain", ["head"])):
            init.gpt2(model, std=0.1, embedding_std=0.3, ends=ends)
            s = init.propagate_blocks(model, tokens).second_moment
            added[name, depth] = s[-1] - s[0]
    assert 0.6 < added["scaled", 8] / added["scaled", 1] < 1.7
    assert 6 < added["plain", 8] / added["plain", 1] < 14


def test_ends_of_torchs_own_layers():
    both = nn.Transformer(16, 2, 1, 2, 32, batch_first=True)
    ends = init.branch_ends(both)
    assert ends == [
        "encoder.layers.0.self_attn.out_proj", "encoder.layers.0.linear2",
        *(f"decoder.layers.{i}.{end}" for i in range(2) for end in
          ("self_attn.out_proj", "multihead_attn.out_proj", "linear2")),
    ]  # fmt: skip
    init.gpt2(both)
    for end in ends:
        weight = both.get_submodule(end).weight
        near = 4 / math.sqrt(2 * weight.numel())
        assert rms(weight) == pytest.approx(0.02 / math.sqrt(8), rel=near)


@pytest.mark.parametrize(
    ("norm", "scheme"), [("pre", "torch_default"), ("none", "lecun_normal")]
)
def test_zero_branches_are_the_identity_and_can_learn(norm, scheme):
    model = net(norm=norm)
    before = copy.deepcopy(model.tokens.weight)
    init.zero_branches(model, scheme)
    assert torch.equal(before, model.tokens.weight)
    x = torch.randn(2, 16, 64)
    assert torch.equal(model.blocks(x), x)
    ids = torch.arange(32).view(2, 16)
    sgd = torch.optim.SGD(model.parameters(), lr=1.0)
    for step in range(2):
        sgd.zero_grad()
        F.cross_entropy(model(ids), ids).backward()
        for name, p in model.blocks.named_parameters():
            end = "out." in name or "down." in name
            if "weight" in name and "norm" not in name:
                assert bool(p.grad.any()) == (end or step > 0), name
        sgd.step()


@pytest.mark.parametrize("feed", ["gelu", "swiglu"])
def test_tfixup_on_a_decoder(feed):
    model = net(norm="none", feed=feed)
    plain = copy.deepcopy(model)
    report = init.tfixup(model, seed=3)
    init.initialize(plain, "xavier_uniform", seed=3)
    factor = 0.67 * 3**-0.25
    for name, p in model.blocks.named_parameters():
        if name.endswith("weight"):
            start = plain.blocks.get_parameter(name)
            kept = "query" in name or "key" in name
            torch.testing.assert_close(p, start if kept else factor * start)
    wanted = 64**-0.5 * 27**-0.25
    assert rms(model.tokens.weight) == pytest.approx(wanted, rel=0.08)
    assert rms(model.positions.weight) == pytest.approx(wanted, rel=0.1)
    assert model.head.weight is model.tokens.weight
    assert not report.notes
    assert "without layer norm" in init.tfixup(net()).notes[0]


def coordinates(width, scheme, tied, steps=3):
    """How far some steps of Adam move each part of the forward pass."""
    base = 32
    make = {
        "standard": lambda n: net(width=n, tied=tied),
        "mup": lambda n: net(
            width=n, tied=tied,
            attention_scale=(base // 4) ** 0.5 / (n // 4),
            output_scale=base / n if tied else 1.0,
        ),
    }[scheme]  # fmt: skip
    model, lr = make(width), 0.01
    groups = [{"params": list(model.parameters()), "lr": lr}]
    if scheme == "mup":
        init.mup(model, make(base), seed=1)
        groups = init.mup_param_groups(model, make(base), lr)
    else:
        init.initialize(model, "lecun_normal", seed=1)
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(40, (2, 6, 12), generator=draw)
    parts = {"attention": model.blocks[1].attention,
             "feed": model.blocks[2].feed, "logits": model.head}  # fmt: skip
    found = {}
    for name, part in parts.items():
        part.register_forward_hook(
            lambda m, a, out, name=name: found.__setitem__(name, out.detach())
        )
    model(ids[0])
    before = dict(found)
    adam = torch.optim.Adam(groups)
    for _ in range(steps):
        adam.zero_grad()
        F.cross_entropy(model(ids[0]), ids[1]).backward()
        adam.step()
    model(ids[0])
    scale = model.output_scale
    return {
        k: rms(found[k] - before[k]) * (scale if k == "logits" else 1)
        for k in found
    }


@pytest.mark.parametrize(
    "tied", [True, pytest.param(False, marks=pytest.mark.full)]
)
def test_coordinates_move_alike_at_every_width_under_mup(tied):
    ratio = {}
    for scheme in ("mup", "standard"):
        thin, wide = (coordinates(n, scheme, tied) for n in (32, 192))
        ratio[scheme] = {k: wide[k] / thin[k] for k in thin}
    assert all(0.5 < r < 1.5 for r in ratio["mup"].values()), ratio
    for part, least in (("attention", 2.5), ("feed", 1.8), ("logits", 1.5)):
        assert ratio["standard"][part] > least, ratio


def test_mup_finds_the_decoders_roles():
    wide, base = net(width=128), net(width=32)
    roles = init.mup_roles(wide, base)
    for name, role in roles.items():
        if "tokens" in name or "positions" in name:
            wanted = ("input", 1.0)
        elif name.endswith("bias") or "norm" in name:
            wanted = ("vector", 1.0)
        else:
            wanted = ("hidden", 0.25)
        assert (role.role, role.lr("adam")) == wanted, name
    wide, base = (net(width=n, tied=False) for n in (128, 32))
    assert init.mup_roles(wide, base)["head.weight"].role == "output"


def test_mup_takes_a_tied_table_at_the_base_width_itself():
    roles = init.mup_roles(net(), net())
    assert roles["tokens.weight"].role == "input"
    assert init.mup(net(), net()).notes


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: init.gpt2(nn.Linear(3, 3)), "no transformer blocks"),
        (lambda: init.zero_branches(nn.Linear(3, 3)), "no transformer blocks"),
        (lambda: init.gpt2(net(), ends=["blocks.7"]), "no weight layer named"),
        (lambda: init.gpt2(net(), ends=["head"]), "one tensor"),
        (lambda: init.gpt2(net(), std=-1.0), "std"),
        (lambda: init.gpt2(net(), embedding_std=0.0), "embedding_std"),
        (lambda: init.zero_branches(net(), "lecun"), "unknown scheme"),
    ],
)
def test_what_does_not_fit(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_refused_model_stays_as_it_was():
    model = net()
    before = params.copy(params.of(model))
    with pytest.raises(ValueError, match="one tensor"):
        init.zero_branches(model, ends=["head"])
    for k, v in params.of(model).items():
        assert torch.equal(v, before[k])
