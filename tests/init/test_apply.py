"""One call for a whole model: what is filled, left and shared."""

import math

import pytest
import torch
from torch import nn

from dldna import init


class Decoder(nn.Module):
    """Embedding, attention, norm and a tied head."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.att = nn.MultiheadAttention(8, 2)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 11)
        self.head.weight = self.embed.weight
        self.raw = nn.Parameter(torch.ones(2, 2))


def states(model):
    return {k: v.clone() for k, v in model.state_dict().items()}


def test_plain_layers_take_torchs_numbers():
    net = nn.Sequential(nn.Linear(9, 7), nn.ReLU(), nn.Conv1d(7, 5, 3))
    init.initialize(net, "xavier_normal", seed=4)
    g = torch.Generator().manual_seed(4)
    for i in (0, 2):
        w = torch.empty_like(net[i].weight)
        nn.init.xavier_normal_(w, generator=g)
        torch.testing.assert_close(net[i].weight.detach(), w)
        assert (net[i].bias == 0).all()


def test_attention_is_three_matrices():
    att = nn.MultiheadAttention(16, 4, dtype=torch.float64)
    init.initialize(att, "orthogonal")
    eye = torch.eye(16, dtype=torch.float64)
    for w in [*att.in_proj_weight.detach().chunk(3), att.out_proj.weight]:
        torch.testing.assert_close(w @ w.T, eye)
    whole = att.in_proj_weight.detach()
    assert not torch.allclose(whole.T @ whole, eye)
    apart = nn.MultiheadAttention(16, 4, kdim=12, vdim=10)
    report = init.initialize(apart, "lecun_normal")
    fan = {f.name: f.fan_in for f in report.filled if f.fan_in}
    assert fan == {
        "q_proj_weight[q]": 16, "k_proj_weight[k]": 12,
        "v_proj_weight[v]": 10, "out_proj.weight": 16,
    }  # fmt: skip


def test_recurrent_gates():
    lstm = nn.LSTM(6, 5, proj_size=3, dtype=torch.float64)
    init.initialize(lstm, "orthogonal")
    for gate in lstm.weight_hh_l0.detach().chunk(4):
        torch.testing.assert_close(
            gate.T @ gate, torch.eye(3, dtype=torch.float64)
        )
    report = init.initialize(nn.GRUCell(6, 5), "lecun_normal")
    assert [f.name for f in report.filled if f.fan_in][:3] == [
        "weight_ih[gate 0]", "weight_ih[gate 1]", "weight_ih[gate 2]",
    ]  # fmt: skip


def test_transposed_and_grouped_orthogonal():
    layer = nn.ConvTranspose2d(6, 8, 2, groups=2, dtype=torch.float64)
    init.initialize(layer, "orthogonal")
    for group in layer.weight.detach().chunk(2, 0):  # (c_in/g, c_out/g, k)
        m = group.transpose(0, 1).flatten(1)
        torch.testing.assert_close(m @ m.T, torch.eye(4, dtype=torch.float64))


def test_what_is_left_and_tied():
    net = Decoder()
    before = states(net)
    report = init.initialize(net, "kaiming_normal")
    assert report.left == {"raw": "no rule for Decoder"}
    assert report.tied == {"embed.weight": "head.weight"}
    after = states(net)
    assert torch.equal(before["raw"], after["raw"])
    assert not torch.equal(before["embed.weight"], after["embed.weight"])
    text = str(report)
    assert "tied: embed.weight = head.weight" in text
    assert "left: raw (no rule for Decoder)" in text
    filled = [f.name.partition("[")[0] for f in report.filled]
    accounted = {*filled, *report.left, *report.tied}
    names = {k for k, _ in net.named_parameters(remove_duplicate=False)}
    assert accounted == names


def test_tied_weights_are_drawn_once():
    net = nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 5))
    net[1].weight = net[0].weight
    report = init.initialize(net, "lecun_normal", seed=2)
    g = torch.Generator().manual_seed(2)
    first = torch.empty(5, 5).normal_(0, 5**-0.5, generator=g)
    third = torch.empty(5, 5).normal_(0, 5**-0.5, generator=g)
    torch.testing.assert_close(net[0].weight.detach(), first)
    torch.testing.assert_close(net[2].weight.detach(), third)
    assert report.tied == {"1.weight": "0.weight"}


def test_rules():
    net = Decoder()
    report = init.initialize(
        net,
        "orthogonal",
        rules={
            nn.Embedding: "lecun_normal",
            "raw": "zeros",
            "att.out_proj.*": "zeros",
            nn.LayerNorm: None,
        },
    )
    scheme = {f.name: f.scheme for f in report.filled}
    assert scheme["embed.weight"] == "lecun_normal"
    assert scheme["raw"] == "zeros"
    assert scheme["att.out_proj.weight"] == "zeros"
    assert scheme["att.in_proj_weight[q]"] == "orthogonal"
    assert report.left["norm.weight"] == "left by a rule"
    assert report.tied == {"head.weight": "embed.weight"}
    assert (net.raw == 0).all()
    kept = states(net)["embed.weight"]
    report = init.initialize(net, "orthogonal", rules={"embed.*": None})
    assert torch.equal(kept, net.head.weight)


def test_nearest_base_class_wins_and_own_functions():
    class Mine(nn.Linear):
        pass

    net = nn.Sequential(Mine(4, 4), nn.Linear(4, 4), nn.PReLU())
    fill = lambda w: nn.init.constant_(w, 0.5)  # noqa: E731
    init.initialize(
        net, "orthogonal", rules={nn.Linear: "zeros", Mine: fill,
                                  nn.PReLU: fill},
    )  # fmt: skip
    assert (net[0].weight == 0.5).all()
    assert (net[0].bias == 0).all()
    assert (net[1].weight == 0).all()
    assert float(net[2].weight.detach()) == 0.5
    init.initialize(net, nn.init.xavier_uniform_, seed=1)
    w = torch.empty(4, 4)
    nn.init.xavier_uniform_(w, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(net[0].weight.detach(), w)


def test_biases():
    net = nn.Linear(400, 300)
    init.initialize(net, "torch_default")
    bound = 1 / 20
    assert 0.9 * bound < float(net.bias.detach().abs().max()) <= bound
    init.initialize(net, "lecun_normal", bias=0.25)
    assert (net.bias == 0.25).all()
    report = init.initialize(net, "lecun_normal", bias=None)
    assert (net.bias == 0.25).all()
    assert report.left == {"bias": "biases left"}


def test_norms_become_the_identity():
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))
    with torch.no_grad():
        net[1].weight.fill_(3.0)
        net[1](torch.randn(4, 3, 5, 5))
    init.initialize(net)
    assert (net[1].weight == 1).all()
    assert (net[1].running_mean == 0).all()
    assert int(net[1].num_batches_tracked) == 0


def test_options_reach_the_scheme():
    a, b = nn.Linear(6, 4), nn.Linear(6, 4)
    init.initialize(
        a, "kaiming_normal", nonlinearity="leaky_relu", slope=0.25,
        mode="fan_out", seed=3,
    )  # fmt: skip
    nn.init.kaiming_normal_(
        b.weight, a=0.25, mode="fan_out",
        generator=torch.Generator().manual_seed(3),
    )  # fmt: skip
    torch.testing.assert_close(a.weight, b.weight)


def test_a_generator_goes_on_and_the_global_one_rests():
    net, g = nn.Linear(4, 4), torch.Generator().manual_seed(0)
    before = torch.random.get_rng_state()
    init.initialize(net, generator=g)
    first = net.weight.clone()
    init.initialize(net, generator=g)
    assert not torch.equal(first, net.weight)
    init.initialize(net, seed=0)
    assert torch.equal(first, net.weight)
    assert torch.equal(before, torch.random.get_rng_state())


def test_failure_leaves_the_model_alone():
    net = nn.Sequential(nn.Conv1d(2, 4, 3), nn.Conv1d(4, 2, 3))
    before = states(net)
    with pytest.raises(ValueError, match="c_out >= c_in"):
        init.initialize(net, "delta_orthogonal")
    for k, v in net.state_dict().items():
        assert torch.equal(v, before[k])


def test_grads_and_flags_stay():
    net = nn.Linear(3, 2)
    net(torch.ones(1, 3)).sum().backward()
    net.weight.requires_grad_(False)
    grad, storage = net.bias.grad.clone(), net.weight.data_ptr()
    init.initialize(net.eval())
    assert torch.equal(net.bias.grad, grad)
    assert not net.weight.requires_grad
    assert net.weight.data_ptr() == storage
    assert not net.training


def test_parametrized_weights_are_reported():
    net = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    report = init.initialize(net)
    assert any("parametrized" in why for why in report.left.values())


@pytest.mark.full
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_what_torchscript_compiled_is_refused():
    net = torch.jit.script(nn.Linear(3, 2))
    with pytest.raises(TypeError, match="compiled by TorchScript"):
        init.initialize(net, "zeros")


def test_bad_input():
    net = nn.Linear(3, 2)
    with pytest.raises(ValueError, match="did you mean 'orthogonal'"):
        init.initialize(net, "ortogonal")
    with pytest.raises(ValueError, match="takes no gain="):
        init.initialize(net, "lecun_normal", gain=2.0)
    with pytest.raises(ValueError, match="fits nothing"):
        init.initialize(net, rules={"head.*": "zeros"})
    with pytest.raises(ValueError, match="fits nothing"):
        init.initialize(net, rules={nn.Conv2d: "zeros"})
    with pytest.raises(TypeError, match="rule's key"):
        init.initialize(net, rules={3: "zeros"})
    with pytest.raises(TypeError, match="seed="):
        init.initialize(net, generator=3)
    with pytest.raises(TypeError, match="module"):
        init.initialize(net.weight)
    with pytest.raises(TypeError, match="name or a function"):
        init.initialize(net, 3)
    with pytest.raises(TypeError, match="bias"):
        init.initialize(net, bias="zero")
    with pytest.raises(ValueError, match="run one batch"):
        init.initialize(nn.LazyLinear(3))
    for scheme in ("kaiming_normal", "torch_default"):
        with pytest.raises(TypeError, match="complex64"):
            init.initialize(nn.Linear(3, 2, dtype=torch.complex64), scheme)
        with pytest.raises(TypeError, match="float8"):
            init.initialize(net.to(torch.float8_e4m3fn), scheme)


def test_second_moment_through_ten_layers():
    """Kaiming keeps E[h^2] near 1; LeCun halves it per ReLU layer."""
    layers = []
    for _ in range(10):
        layers += [nn.Linear(1000, 1000, bias=False), nn.ReLU()]
    net = nn.Sequential(*layers)
    x = torch.randn(64, 1000, generator=torch.Generator().manual_seed(0))
    seen = {}
    for scheme in ("kaiming_normal", "lecun_normal"):
        init.initialize(net, scheme, seed=1)
        with torch.no_grad():
            seen[scheme] = float(net(x).square().mean())
    spread = math.sqrt(10 * 5 / 1000)  # of ln E[h^2], finite width
    assert abs(math.log(seen["kaiming_normal"])) < 3 * spread
    assert abs(math.log(seen["lecun_normal"] * 2**10)) < 3 * spread
