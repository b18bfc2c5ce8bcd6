"""GPT-2 of transformers, and our decoder with its weights."""

import warnings

import pytest
import torch
from torch.nn import functional as F

from dldna.data import torchvision
from dldna.models import DecoderTransformer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torchvision()  # which it imports
hf = pytest.importorskip("transformers", reason="make test-libraries")

pytestmark = pytest.mark.filterwarnings("ignore")  # its own


def pair():
    """A tiny GPT-2 in float64, and ours with the same weights."""
    torch.manual_seed(0)
    theirs = hf.GPT2LMHeadModel(hf.GPT2Config(
        vocab_size=30, n_positions=16, n_embd=12, n_layer=3, n_head=2,
        bos_token_id=0, eos_token_id=0, initializer_range=0.3,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )).double()  # fmt: skip
    with torch.no_grad():
        for p in theirs.parameters():
            p.add_(0.1 * torch.randn_like(p))  # biases and norms, too
    ours = DecoderTransformer(30, 16, width=12, depth=3, heads=2).double()
    body = theirs.transformer
    state = {
        "tokens.weight": body.wte.weight,
        "head.weight": body.wte.weight,
        "positions.weight": body.wpe.weight,
        "norm.weight": body.ln_f.weight,
        "norm.bias": body.ln_f.bias,
    }
    for i, block in enumerate(body.h):
        at = f"blocks.{i}."
        packed = block.attn.c_attn  # stored (in, out), three in one
        for name, w, b in zip(
            ("query", "key", "value"), packed.weight.chunk(3, 1),
            packed.bias.chunk(3), strict=True,
        ):  # fmt: skip
            state[f"{at}attention.{name}.weight"] = w.T
            state[f"{at}attention.{name}.bias"] = b
        for name, layer in (
            ("attention.out", block.attn.c_proj),
            ("feed.up", block.mlp.c_fc),
            ("feed.down", block.mlp.c_proj),
        ):
            state[f"{at}{name}.weight"] = layer.weight.T
            state[f"{at}{name}.bias"] = layer.bias
        for k in (1, 2):
            norm = getattr(block, f"ln_{k}")
            state[f"{at}norm{k}.weight"] = norm.weight
            state[f"{at}norm{k}.bias"] = norm.bias
    ours.load_state_dict(state)
    return theirs, ours


def test_logits_loss_and_gradient_are_gpt2s():
    theirs, ours = pair()
    assert sum(p.numel() for p in ours.parameters()) == sum(
        p.numel() for p in theirs.parameters()
    )
    text = torch.randint(30, (4, 17))
    x, y = text[:, :-1], text[:, 1:]
    logits = theirs(x).logits
    found = ours(x)
    torch.testing.assert_close(
        found, logits.transpose(1, 2), rtol=1e-11, atol=1e-11
    )
    loss = F.cross_entropy(found, y)
    wanted = F.cross_entropy(logits.reshape(-1, 30), y.reshape(-1))
    torch.testing.assert_close(loss, wanted, rtol=1e-12, atol=0)
    loss.backward()
    wanted.backward()
    body = theirs.transformer
    for mine, grad in (
        (ours.tokens.weight, body.wte.weight.grad),
        (ours.positions.weight, body.wpe.weight.grad),
        (ours.blocks[1].feed.up.weight, body.h[1].mlp.c_fc.weight.grad.T),
        (
            ours.blocks[2].attention.out.weight,
            body.h[2].attn.c_proj.weight.grad.T,
        ),
    ):
        torch.testing.assert_close(mine.grad, grad, rtol=1e-9, atol=1e-11)


def test_gpt2_small_has_as_many_parameters():
    with torch.device("meta"):
        theirs = hf.GPT2LMHeadModel(hf.GPT2Config())
        ours = DecoderTransformer(50257, 1024, width=768, depth=12, heads=12)
    sizes = [sum(p.numel() for p in m.parameters()) for m in (theirs, ours)]
    assert sizes[0] == sizes[1] == 124_439_808
