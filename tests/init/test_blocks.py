"""The theory of blocks: its parts by quadrature, the whole by measuring."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dldna import init
from dldna.init.block_theory import kernel
from dldna.init.gaussian import joint_mean
from dldna.models import DecoderTransformer

TANH = {"approximate": "tanh"}


FUNCTIONS = {
    "gelu": lambda x: F.gelu(x, **TANH), "silu": F.silu,
    "tanh": torch.tanh, "erf": torch.erf,
}  # fmt: skip
LARGE = [(f, q) for f in FUNCTIONS for q in (0.04, 3.0)]


@pytest.mark.parametrize(
    ("name", "q"),
    [
        ("gelu", 1.0),
        ("silu", 1.0),
        *(pytest.param(*case, marks=pytest.mark.full) for case in LARGE),
    ],
)
def test_kernels_are_the_joint_means(name, q):
    """Of equal variances, as the polar quadrature has them."""
    f = FUNCTIONS[name]
    for c in (-0.9, 0.0, 0.3, 0.95, 1.0):
        k = q * torch.tensor([[1, c], [c, 1]], dtype=torch.float64)
        value, slope = kernel(f, k)
        assert float(value[0, 1]) == pytest.approx(
            joint_mean(f, q, c), rel=2e-4, abs=1e-6
        )

        def derivative(u):
            with torch.enable_grad():
                u = u.clone().requires_grad_()
                return torch.autograd.grad(f(u).sum(), u)[0]

        assert float(slope[0, 1]) == pytest.approx(
            joint_mean(derivative, q, c), rel=2e-3
        )
    second = init.moments(f, q)
    assert float(value[0, 0]) == pytest.approx(second.second, rel=1e-10)
    assert float(slope[1, 1]) == pytest.approx(second.slope, rel=1e-10)


def test_kernels_of_unequal_variances_by_sampling():
    k = torch.tensor([[0.5, 0.6], [0.6, 2.0]], dtype=torch.float64)
    draw = torch.Generator().manual_seed(0)
    z = torch.randn(200_000, 2, generator=draw, dtype=torch.float64)
    u = z @ torch.linalg.cholesky(k).T
    product = F.silu(u[:, 0]) * F.silu(u[:, 1])
    error = float(product.std()) / len(z) ** 0.5
    found = float(kernel(F.silu, k)[0][0, 1])
    assert abs(found - float(product.mean())) < 4 * error


def wide(norm, feed, width, gain, query=0.1):
    torch.manual_seed(0)
    net = DecoderTransformer(
        30, 12, width=width, depth=3, heads=4, norm=norm, feed=feed,
        tied=False,
    )  # fmt: skip
    init.gpt2(net, std=gain * width**-0.5, embedding_std=1.0, ends=["head"])
    with torch.no_grad():
        for name, p in net.named_parameters():
            if "query" in name or "key" in name:
                p.mul_(query)
            if name.endswith("bias") and "norm" not in name:
                p.add_(0.1 * torch.randn_like(p))
    return net


def gaps(net, loss=None):
    draw = torch.Generator().manual_seed(1)
    x, y = torch.randint(30, (2, 8, 12), generator=draw)
    found = init.propagate_blocks(net, (x, y), loss)
    assert len(found.names) == 4
    return {
        key: getattr(found, key) / found.predicted[key] - 1
        for key in ("second_moment", "grad_second_moment")
    }, found


ALL = [(n, f) for n in ("pre", "post", "none") for f in ("gelu", "swiglu")]
FEW = ("pre", "gelu"), ("post", "swiglu")


@pytest.mark.parametrize(
    ("norm", "feed"),
    [
        pytest.param(*k, marks=[] if k in FEW else pytest.mark.full)
        for k in ALL
    ],
)
def test_theory_meets_what_is_measured(norm, feed):
    """Branches as strong as the stream; without norm half as strong."""
    net = wide(norm, feed, 320, 0.5 if norm == "none" else 1.0)
    for loss in (None, F.cross_entropy):
        gap, found = gaps(net, loss)
        for key, values in gap.items():
            assert np.abs(values).max() < 0.09, (key, values)
        assert gap["second_moment"][0] == pytest.approx(0, abs=1e-5)
        assert gap["grad_second_moment"][-1] == pytest.approx(0, abs=1e-5)
    if norm == "pre":  # grown far more than the gap
        assert found.second_moment[-1] > 3 * found.second_moment[0]
        assert found.grad_second_moment[0] > 2 * found.grad_second_moment[-1]


@pytest.mark.full
def test_the_gap_closes_with_width():
    gap = [
        np.mean([
            np.abs(values).max()
            for seed in range(4)
            for values in gaps(wide("pre", "gelu", width, 1.0 + seed / 20)
                               )[0].values()
        ])
        for width in (16, 256)
    ]  # fmt: skip
    assert gap[1] < 0.5 * gap[0]


def test_what_is_measured_is_what_hooks_see():
    net = wide("post", "swiglu", 16, 1.0)
    x = torch.arange(24).view(2, 12)
    found = init.propagate_blocks(net, (x, x), F.cross_entropy)
    h = net.tokens(x) + net.positions.weight
    stream = [h]
    for block in net.blocks:
        stream.append(block(stream[-1]))
    loss = F.cross_entropy(net.head(stream[-1]).transpose(1, 2), x)
    grads = torch.autograd.grad(loss, stream)
    for i, (s, g) in enumerate(zip(stream, grads, strict=True)):
        s, g = s.detach().double(), g.double()
        assert found.mean[i] == pytest.approx(float(s.mean()), abs=1e-6)
        assert found.second_moment[i] == pytest.approx(
            float(s.square().mean()), rel=1e-5
        )
        assert found.grad_second_moment[i] == pytest.approx(
            float(g.square().mean()), rel=1e-4
        )


def test_frozen_weights_and_logits_that_are_not_small():
    net = wide("pre", "gelu", 64, 1.0, query=4.0)
    before = {k: p.clone() for k, p in net.named_parameters()}
    net.requires_grad_(False)
    found = init.propagate_blocks(net, torch.arange(12)[None])
    assert np.isfinite(found.grad_second_moment).all()
    assert min(found.provenance.notes["logit_std"]) > 4
    assert not any(p.requires_grad for p in net.parameters())
    for k, p in net.named_parameters():
        assert torch.equal(p, before[k])


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_stays_as_it_was(fails):
    """Weights, gradients, hooks and the random state, also after an error."""
    net = wide("pre", "gelu", 16, 1.0).eval()
    x = torch.arange(12)[None]
    F.cross_entropy(net(x), x).backward()
    kept = [(p.clone(), p.grad.clone()) for p in net.parameters()]
    if fails:
        net.blocks[1].forward = lambda x: 1 / 0
    state = torch.get_rng_state()
    try:
        init.propagate_blocks(net, x)
    except ZeroDivisionError:
        assert fails
    assert torch.equal(state, torch.get_rng_state())
    assert not net.training
    for p, (value, grad) in zip(net.parameters(), kept, strict=True):
        assert torch.equal(p, value)
        assert torch.equal(p.grad, grad)
    for module in net.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


def test_the_logits_spread_as_theory_says():
    net = wide("pre", "gelu", 256, 1.0, query=1.0)
    x = torch.arange(24).view(2, 12)
    said = init.propagate_blocks(net, x).provenance.notes["logit_std"][0]
    h = net.blocks[0].norm1(net.tokens(x) + net.positions.weight)
    layer = net.blocks[0].attention
    q, k = (
        f(h).unflatten(-1, (4, 64)).transpose(1, 2).detach()
        for f in (layer.query, layer.key)
    )
    logits = q @ k.mT / 8
    assert float(logits.std()) == pytest.approx(said, rel=0.1)


def test_another_model_is_refused():
    with pytest.raises(TypeError, match="measures the layers"):
        init.propagate_blocks(torch.nn.Linear(3, 3), torch.ones(2, 3))
