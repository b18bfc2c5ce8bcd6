"""Weights that are computed, shared or pinned, in every start."""

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from dldna import init


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def old_weight_norm(layer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return nn.utils.weight_norm(layer)


def pruned(layer):
    return prune.random_unstructured(layer, "weight", 0.4)


class Doubled(nn.Module):
    def forward(self, w):
        return 2 * w


def doubled(layer):
    nn.utils.parametrize.register_parametrization(layer, "weight", Doubled())
    return layer


SCALABLE = {
    "old weight norm": old_weight_norm,
    "weight norm": parametrizations.weight_norm,
    "weight norm of all": lambda m: parametrizations.weight_norm(m, dim=None),
    "pruned": pruned,
}
REFUSED = {
    "old spectral norm": nn.utils.spectral_norm,
    "spectral norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "own": doubled,
}
LAYERS = {
    "linear": lambda: nn.Linear(12, 12),
    "conv": lambda: nn.Conv1d(12, 12, 1, groups=3),
    "transposed": lambda: nn.ConvTranspose1d(12, 12, 1),
}


def net_of(kind, put_on):
    layers = [put_on(LAYERS[kind]()), nn.ReLU(), LAYERS[kind]()]
    return nn.Sequential(*layers, nn.Tanh(), put_on(LAYERS[kind]()))


def inputs(kind):
    shape = (40, 12) if kind == "linear" else (40, 12, 5)
    return 3 + 5 * torch.randn(shape, generator=source(1))


def variance_at(model, x, name):
    """The first output of a layer in an untouched forward pass."""
    found = []
    layer = model.get_submodule(name)
    hook = layer.register_forward_hook(
        lambda m, args, out: found.append(
            (out[0] if isinstance(out, tuple) else out).detach()
        )
    )
    model(x)
    hook.remove()
    return float(found[0].var(correction=0))


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("put_on", SCALABLE)
def test_lsuv_scales_behind_the_weight(put_on, kind):
    net, x = net_of(kind, SCALABLE[put_on]), inputs(kind)
    report = init.lsuv(net, x, tol=1e-3)
    for name in ("0", "2", "4"):
        now = net.get_submodule(name).weight.detach().clone()
        var = variance_at(net, x, name)
        assert torch.equal(net.get_submodule(name).weight, now)
        assert var == pytest.approx(1, abs=1e-3)
        after = report.numbers["variance"][name][1]
        assert after == pytest.approx(var, rel=1e-5)
    assert not report.notes
    assert sum(f.scheme == "lsuv" for f in report.filled) == 2
    assert set(report.left).isdisjoint(f.name for f in report.filled)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("put_on", REFUSED)
def test_lsuv_refuses_what_it_cannot_scale(put_on, kind):
    net = net_of(kind, REFUSED[put_on])
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(ValueError, match=r"'0\.weight' is computed by"):
        init.lsuv(net, inputs(kind))
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("put_on", SCALABLE)
def test_a_failed_lsuv_leaves_computed_weights_in_step(put_on):
    net = net_of("linear", SCALABLE[put_on])
    before, seen = copy.deepcopy(net.state_dict()), net[0].weight.clone()
    graph = net[0].weight.requires_grad
    with pytest.raises(ValueError, match="LSUV cannot scale"):
        init.lsuv(net, torch.zeros(9, 12))
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])
    assert torch.equal(net[0].weight, seen)
    assert net[0].weight.requires_grad == graph


def test_lsuv_refuses_hooks_that_attention_does_not_call():
    net = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    pruned(net.self_attn.out_proj)
    with pytest.raises(ValueError, match=r"self_attn\.out_proj\.weight"):
        init.lsuv(net, torch.randn(4, 3, 8))


class Language(nn.Module):
    """An embedding, a body and a head that shares the table."""

    def __init__(self, width, tie="head", vocabulary=50, padding=None):
        super().__init__()
        embed = nn.Embedding(vocabulary, width, padding_idx=padding)
        head = nn.Linear(width, vocabulary, bias=False)
        if tie == "head first":
            self.head, self.emb = head, embed
        else:
            self.emb = embed
        self.body = nn.Linear(width, width)
        if tie != "head first":
            self.head = head
        self.head.weight = self.emb.weight

    def forward(self, tokens):
        return self.head(torch.relu(self.body(self.emb(tokens))))


@pytest.mark.parametrize("tie", ["head", "head first"])
def test_lsuv_measures_shared_weights_when_all_is_done(tie):
    net, tokens = Language(16, tie), torch.arange(50).view(10, 5)
    report = init.lsuv(net, tokens, tol=1e-2)
    for name in ("body", "head"):
        var = variance_at(net, tokens, name)
        after = report.numbers["variance"][name][1]
        assert after == pytest.approx(var, rel=1e-5)
        assert var == pytest.approx(1, abs=1e-2)


def test_lsuv_tells_of_a_second_owner():
    net = nn.Sequential(nn.Linear(9, 9), nn.ReLU(), nn.Linear(9, 9))
    net[2].weight = net[0].weight
    x = torch.randn(30, 9, generator=source())
    report = init.lsuv(net, x, tol=1e-3)
    assert list(report.numbers["variance"]) == ["0"]
    var = variance_at(net, x, "2")
    assert report.notes == [
        "'2' shares the weight of '0', which was scaled: the variance of "
        f"'2' is {var:.3g}"
    ]


def test_lsuv_says_what_batch_norm_does():
    net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3))
    x = torch.randn(20, 4, generator=source())
    assert "batch norm" in init.lsuv(net, x).notes[0]
    assert not init.lsuv(net.eval(), x).notes


def branches(put_on=None, tie=None):
    block = lambda: init.FixupBlock([nn.Linear(6, 6), nn.Linear(6, 6)])  # noqa: E731
    net = nn.Sequential(nn.Linear(6, 6), block(), block(), nn.Linear(6, 3))
    if put_on:
        put_on(net[1].layers[0])
    if tie:
        net[1].layers[0].weight = net.get_submodule(tie).weight
    return net


@pytest.mark.parametrize("put_on", [*SCALABLE, *REFUSED])
def test_fixup_and_tfixup_refuse_computed_weights(put_on):
    put = {**SCALABLE, **REFUSED}[put_on]
    name = r"'1\.layers\.0\.weight' is computed by"
    with pytest.raises(ValueError, match=name):
        init.fixup(branches(put))
    net = nn.Sequential(nn.Linear(8, 8), nn.TransformerEncoderLayer(8, 2, 8))
    put(net[1].linear1)
    with pytest.raises(ValueError, match=r"'1\.linear1\.weight' is computed"):
        init.tfixup(net)
    head = branches()
    put(head[3])
    with pytest.raises(ValueError, match=r"'3\.weight' is computed by"):
        init.fixup(head)
    init.fixup(nn.Sequential(put(nn.Linear(6, 6)), *branches()[1:]))


def test_fixup_scales_a_shared_weight_once():
    net, plain = branches(tie="2.layers.0"), branches(tie="2.layers.0")
    init.fixup(net, seed=3)
    init.initialize(plain, "kaiming_normal", seed=3)
    torch.testing.assert_close(
        net[2].layers[0].weight, 2**-0.5 * plain[2].layers[0].weight
    )
    block = init.FixupBlock([nn.Linear(4, 4), nn.Linear(4, 4)])
    twice = nn.Sequential(block, block, nn.Linear(4, 2))
    report = init.fixup(twice, seed=3)
    assert len(report.numbers["branches"]) == 2
    rms = float(block.layers[0].weight.detach().square().mean().sqrt())
    single = nn.Sequential(copy.deepcopy(block), nn.Linear(4, 2))
    init.fixup(single, seed=3)
    alone = single[0].layers[0].weight.detach().square().mean().sqrt()
    assert rms == pytest.approx(2**-0.5 * float(alone))


@pytest.mark.parametrize("tie", ["0", "1.layers.1", "3"])
def test_fixup_refuses_one_tensor_with_two_scales(tie):
    net = branches()
    if tie == "3":
        net[3] = nn.Linear(6, 6)
    net[1].layers[0].weight = net.get_submodule(tie).weight
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(ValueError, match="are one tensor"):
        init.fixup(net)
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])


def test_tfixup_scales_shared_layers_once():
    layers = [nn.TransformerEncoderLayer(8, 2, 16) for _ in range(2)]
    layers[1].linear1.weight = layers[0].linear1.weight
    net = nn.Sequential(*layers)
    plain = copy.deepcopy(net)
    init.tfixup(net, seed=1)
    init.initialize(plain, "xavier_uniform", seed=1)
    torch.testing.assert_close(
        net[0].linear1.weight, 0.67 * 2**-0.25 * plain[0].linear1.weight
    )


# Rows that stay 0


class Bag(nn.Module):
    def __init__(self):
        super().__init__()
        self.bag = nn.EmbeddingBag(9, 4, padding_idx=2)


TABLES = {
    "embedding": lambda: nn.Embedding(9, 4, padding_idx=2),
    "negative": lambda: nn.Embedding(9, 4, padding_idx=-7),
    "bag": lambda: nn.EmbeddingBag(9, 4, padding_idx=2),
    "inside": Bag,
    "pruned": lambda: prune.identity(
        nn.Embedding(9, 4, padding_idx=2), "weight"
    ),
    "own": lambda: doubled(nn.Embedding(9, 4, padding_idx=2)),
}


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("scheme", ["xavier_normal", "fill"])
def test_padding_rows_stay_zero(kind, scheme):
    model = TABLES[kind]()
    rule = scheme if scheme != "fill" else nn.init.ones_
    report = init.initialize(model, rules={"*": rule})
    (row,) = report.filled
    table = dict(model.named_parameters())[row.name].detach()
    assert (table[2] == 0).all()
    assert int((table == 0).sum()) == 4
    rms = float(table.square().mean().sqrt())
    assert row.std == pytest.approx(rms, rel=1e-6)


@pytest.mark.parametrize("tie", ["head", "head first"])
def test_padding_rows_of_a_shared_table(tie):
    net = Language(8, tie, padding=4)
    init.initialize(net)
    assert (net.emb.weight[4] == 0).all()
    assert (net.emb.weight[3] != 0).any()
    layer = nn.TransformerEncoderLayer(8, 2, 8)
    both = nn.ModuleDict({"net": Language(8, tie, padding=4), "layer": layer})
    init.tfixup(both)
    assert (both["net"].head.weight[4] == 0).all()
    init.lsuv(net, torch.arange(50).view(10, 5))
    assert (net.emb.weight[4] == 0).all()
    init.mup(net, Language(4, tie, padding=4))
    assert (net.emb.weight[4] == 0).all()


def test_a_padding_row_that_nobody_fills_is_left():
    net = nn.Embedding(9, 4, padding_idx=2)
    with torch.no_grad():
        net.weight[2] = 7.0
    init.initialize(net)
    assert (net.weight[2] == 7).all()


# What initialize writes, and what it lists


@pytest.mark.parametrize("put_on", [*SCALABLE, *REFUSED])
def test_initialize_lists_computed_weights(put_on):
    put = {**SCALABLE, **REFUSED}[put_on]
    net = nn.Sequential(put(nn.Linear(5, 4)), nn.Linear(4, 3))
    before = {k: p.detach().clone() for k, p in net[0].named_parameters()}
    report = init.initialize(net, bias=0.5)
    for name, p in net[0].named_parameters():
        if name == "bias":
            assert (p == 0.5).all()
        else:
            assert torch.equal(p, before[name])
            assert "computed" in report.left[f"0.{name}"] or (
                "parametrized" in report.left[f"0.{name}"]
            )
    assert {f.name for f in report.filled if f.fan_in} == {"1.weight"}


def test_recurrent_and_attention_weights_behind_norms_are_left():
    lstm = old_weight_norm_of(nn.LSTM(4, 3), "weight_hh_l0")
    names = {f.name.partition("[")[0] for f in init.initialize(lstm).filled}
    assert names == {"weight_ih_l0", "bias_ih_l0", "bias_hh_l0"}
    att = nn.MultiheadAttention(4, 2)
    parametrizations.weight_norm(att, "in_proj_weight")
    report = init.initialize(att)
    assert {f.name for f in report.filled if f.fan_in} == {"out_proj.weight"}


def old_weight_norm_of(layer, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return nn.utils.weight_norm(layer, name)


@pytest.mark.parametrize("put_on", [*SCALABLE, *REFUSED])
def test_spectra_are_those_of_the_computed_weight(put_on):
    net = nn.Sequential({**SCALABLE, **REFUSED}[put_on](nn.Linear(5, 4)))
    before = copy.deepcopy(net.state_dict())
    top = init.spectral_table(net).columns["spectral_norm"][0]
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])
    net.eval()
    expected = torch.linalg.matrix_norm(net[0].weight.detach().double(), 2)
    assert top == pytest.approx(float(expected), rel=1e-6)
