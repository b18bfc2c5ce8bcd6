"""The start that torch's layers have by themselves, layer by layer."""

import math

import pytest
import torch
from torch import nn

from dldna import init

LAYERS = {
    "linear": lambda: nn.Linear(40, 70),
    "conv": lambda: nn.Conv2d(16, 48, (3, 5)),
    "grouped": lambda: nn.Conv1d(32, 96, 3, groups=4),
    "transposed": lambda: nn.ConvTranspose2d(48, 12, 3),
    "transposed, grouped": lambda: nn.ConvTranspose1d(64, 32, 5, groups=4),
    "transposed, 3d": lambda: nn.ConvTranspose3d(24, 8, 2),
    "lstm": lambda: nn.LSTM(30, 20, num_layers=2, bidirectional=True),
    "lstm, projected": lambda: nn.LSTM(30, 20, proj_size=9),
    "gru": lambda: nn.GRU(30, 20),
    "rnn": lambda: nn.RNN(50, 30),
    "gru cell": lambda: nn.GRUCell(30, 20),
    "attention": lambda: nn.MultiheadAttention(24, 4),
    "attention, apart": lambda: nn.MultiheadAttention(24, 4, kdim=60, vdim=10),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_torch_default_is_what_each_layer_draws(kind):
    torch.manual_seed(0)
    theirs = [LAYERS[kind]() for _ in range(4)]
    ours = LAYERS[kind]()
    seeds = []
    for seed in range(4):
        report = init.initialize(ours, "torch_default", seed=seed)
        assert not report.left
        seeds.append([p.detach().clone() for p in ours.parameters()])
    for i, p in enumerate(ours.parameters()):
        mine = torch.stack([s[i] for s in seeds])
        torchs = torch.stack([[*m.parameters()][i].detach() for m in theirs])
        # the mean square of n uniform numbers spreads by root(0.8 / n)
        margin = 5 * math.sqrt(2 * 0.8 / mine.numel())
        power = float(torchs.square().mean())
        assert float(mine.square().mean()) == pytest.approx(
            power, rel=margin
        ), (kind, p.shape)
        top = float(torchs.abs().max())
        assert float(mine.abs().max()) == pytest.approx(top, rel=0.1)


def mixed():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.ReLU(),
        nn.Conv2d(8, 6, 3, groups=2),
        nn.ConvTranspose2d(6, 8, 3),
        nn.Flatten(),
        nn.Linear(8, 5),
    )


def calls():
    own = lambda w, generator: w.normal_(generator=generator)  # noqa: E731
    square = {n: n for n in init.SCHEMES if n != "delta_orthogonal"}
    return {**square, "torch's": nn.init.xavier_uniform_, "own": own}


@pytest.mark.parametrize("scheme", calls())
def test_a_seed_fixes_the_start_in_every_memory_format(scheme):
    a, b = mixed(), mixed().to(memory_format=torch.channels_last)
    assert not b[0].weight.is_contiguous()
    init.initialize(a, calls()[scheme], seed=1)
    init.initialize(b, calls()[scheme], seed=1)
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        assert torch.equal(p, q)
    assert not b[0].weight.is_contiguous()


def test_mup_and_lsuv_start_alike_in_every_memory_format():
    a, b = mixed(), mixed().to(memory_format=torch.channels_last)
    for net in (a, b):
        init.mup(net, mixed(), seed=1)
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        assert torch.equal(p, q)


BEFORE = {
    "initialize": init.initialize,
    "lsuv": lambda m: init.lsuv(m, torch.ones(4, 3)),
    "fixup": lambda m: init.fixup(m, ["0"]),
    "mup": lambda m: init.mup(m, m),
    "gpt2": lambda m: init.gpt2(m, ends=["0"]),
    "zero branches": lambda m: init.zero_branches(m, ends=["0"]),
    "ends": init.branch_ends,
    "blocks": lambda m: init.propagate_blocks(m, torch.ones(4, 3)),
    "gradinit": lambda m: init.gradinit(
        m, nn.MSELoss(), (torch.ones(4, 3), torch.ones(4, 2))
    ),
    "metainit": lambda m: init.metainit(m, (4, 3), 2),
    "quotient": lambda m: init.gradient_quotient(
        m, nn.MSELoss(), (torch.ones(4, 3), torch.ones(4, 2))
    ),
    "jacobian": lambda m: init.jacobian(m, torch.ones(4, 3)),
    "propagate": lambda m: init.propagate(m, torch.ones(4, 3)),
    "table": init.spectral_table,
    "tfixup": lambda m: init.tfixup(
        nn.ModuleList([m, nn.TransformerEncoderLayer(4, 2)])
    ),
}


@pytest.mark.parametrize("call", BEFORE)
def test_models_without_numbers_are_refused(call):
    lazy = nn.Sequential(nn.LazyLinear(4), nn.Linear(4, 2))
    with pytest.raises(ValueError, match="run one batch"):
        BEFORE[call](lazy)
    with torch.device("meta"):
        meta = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    with pytest.raises(ValueError, match="to_empty"):
        BEFORE[call](meta)
    with pytest.raises(TypeError, match="expected a module"):
        BEFORE[call]("net") if call != "tfixup" else init.tfixup("net")


@pytest.mark.parametrize("scheme", [*init.SCHEMES][:10])
def test_empty_layers_are_left(scheme):
    with pytest.warns(UserWarning, match="zero-element"):
        net = nn.Sequential(nn.Linear(0, 3), nn.Linear(3, 0), nn.Linear(4, 4))
    report = init.initialize(net, scheme)
    assert report.left == dict.fromkeys(
        ("0.weight", "1.weight", "1.bias"), "empty"
    )
    assert {f.name for f in report.filled} == {
        "0.bias", "2.weight", "2.bias",
    }  # fmt: skip


def test_a_scheme_that_refuses_names_the_parameter():
    net = nn.Sequential(nn.Conv1d(2, 4, 3), nn.Conv1d(4, 2, 3))
    with pytest.raises(ValueError, match=r"1\.weight: .*c_out >= c_in"):
        init.initialize(net, "delta_orthogonal")
    net[1].to(torch.float8_e4m3fn)
    with pytest.raises(TypeError, match=r"1\.weight: .*float8"):
        init.initialize(net)
    with pytest.raises(TypeError, match="seed"):
        init.initialize(net, seed="1")
