"""Exact definitions, golden numbers and the reference table."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from dldna import init
from dldna.init.weight_spectra import MEASURES

GOLD = torch.diag(torch.tensor([4.0, 2.0, 1.0, 1.0]))
SIZES = [784, 256, 192, 128, 64, 10]


def mlp(act=nn.PReLU):
    shared, layers = act(), []
    for a, b in itertools.pairwise(SIZES):
        layers += [nn.Linear(a, b), shared]
    return nn.Sequential(*layers[:-1])


def test_golden_numbers():
    assert init.condition_number(GOLD) == 4
    assert init.spectral_norm(GOLD) == 4
    assert init.nuclear_ratio(GOLD) == 2
    assert init.stable_rank(GOLD) == 1.375
    assert init.effective_rank(GOLD) == pytest.approx(3.3636, abs=5e-5)
    assert init.energy_rank(GOLD) == 3


def test_against_numpy():
    g = torch.Generator().manual_seed(0)
    w = torch.randn(7, 4, 3, generator=g, dtype=torch.float64)
    s = np.linalg.svd(w.reshape(7, 12).numpy(), compute_uv=False)
    p = s / s.sum()
    expected = {
        "condition_number": s[0] / s[-1],
        "spectral_norm": s[0],
        "stable_rank": (s**2).sum() / s[0] ** 2,
        "nuclear_ratio": s.sum() / s[0],
        "effective_rank": np.exp(-(p * np.log(p)).sum()),
        "energy_rank": (np.cumsum(s) < 0.95 * s.sum()).sum(),
    }
    for name, value in expected.items():
        assert getattr(init, name)(w) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("name", MEASURES[1:])
def test_scale_does_not_matter(name):
    w = torch.randn(9, 5, generator=torch.Generator().manual_seed(0))
    measure = getattr(init, name)
    assert measure(1000 * w) == pytest.approx(measure(w), rel=1e-5)


def test_marchenko_pastur_edges():
    w = init.lecun_normal(
        torch.empty(256, 784), generator=torch.Generator().manual_seed(0)
    )
    s = init.singular_values(w)
    r = math.sqrt(256 / 784)
    assert float(s[0]) == pytest.approx(1 + r, abs=0.03)
    assert float(s[-1]) == pytest.approx(1 - r, abs=0.03)


# cond and spectral norm including one shared PReLU slope of .25 counted
# as a sixth layer, as a table in circulation has it; the rest per matrix.
REFERENCE = {
    "lecun_normal": (5.69, 1.41, 0.925, 0.58, 0.894),
    "xavier_normal": (5.68, 1.63, 0.926, 0.58, 0.894),
    "kaiming_normal": (5.66, 1.98, 0.925, 0.58, 0.894),
    "orthogonal": (1.00, 0.875, 1.0, 1.0, 0.947),
    "double_counted_orthogonal": (1.00, 0.132, 1.0, 1.0, 0.947),
    "constant_variance": (5.83, 19.2, 0.925, 0.58, 0.894),
}


@pytest.mark.parametrize("scheme", REFERENCE)
def test_reference_means(scheme):
    net, runs = mlp(), []
    for seed in range(6):
        init.initialize(net, scheme, seed=seed)
        table = init.spectral_table(net)
        assert len(table.names) == 5  # the PReLU slope is not among them
        runs.append(table.mean())
    mean = {k: np.mean([r[k] for r in runs]) for k in runs[0]}
    cond, norm, eff, nuclear, energy = REFERENCE[scheme]
    assert (5 * mean["condition_number"] + 1) / 6 == pytest.approx(
        cond, abs=0.35
    )
    assert (5 * mean["spectral_norm"] + 0.25) / 6 == pytest.approx(
        norm, rel=0.01
    )
    assert mean["effective_rank_share"] == pytest.approx(eff, abs=0.003)
    assert mean["nuclear_ratio_share"] == pytest.approx(nuclear, abs=0.012)
    shares = 5 * mean["energy_rank_share"] + 1
    assert shares / 6 == pytest.approx(energy, abs=0.004)


def test_grouped_convolution_is_block_diagonal():
    conv = nn.Conv2d(6, 8, 3, groups=2, dtype=torch.float64)
    w = conv.weight.detach().flatten(1)
    dense = torch.block_diag(w[:4], w[4:])
    expected = init.effective_rank(dense)
    got = init.spectral_table(conv).columns["effective_rank"][0]
    assert got == pytest.approx(expected, rel=1e-12)


def test_attention_and_ties():
    att = nn.MultiheadAttention(8, 2)
    names = init.spectral_table(att).names
    assert names == [
        "in_proj_weight[q]", "in_proj_weight[k]", "in_proj_weight[v]",
        "out_proj.weight",
    ]  # fmt: skip
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    net[1].weight = net[0].weight
    assert init.spectral_table(net).names == ["0.weight"]
    assert "condition number" in str(init.spectral_table(net))


def test_refusals():
    with pytest.raises(ValueError, match=r"shape \(5,\)"):
        init.condition_number(torch.ones(5))
    with pytest.raises(ValueError, match="NaN"):
        init.spectral_norm(torch.full((2, 2), math.nan))
    with pytest.raises(ValueError, match="no weight matrix"):
        init.spectral_table(nn.BatchNorm1d(3))
    with pytest.raises(ValueError, match="share"):
        init.energy_rank(GOLD, share=1.0)
    zero = torch.zeros(3, 3)
    assert math.isnan(init.condition_number(zero))
    assert init.effective_rank(zero) == 0
    assert init.condition_number(torch.diag(torch.tensor([1.0, 0]))) == (
        math.inf
    )
