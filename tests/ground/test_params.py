"""Parameter algebra against torch's own vector functions."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parameters_to_vector

from dldna import params
from dldna.landscape import Recorder


@pytest.fixture
def net():
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))


def test_flatten_is_torchs_vector(net):
    ours = params.flatten(params.of(net))
    torch.testing.assert_close(
        ours, parameters_to_vector(net.parameters()).detach()
    )


def test_unflatten_undoes_flatten(net):
    p = params.of(net)
    back = params.unflatten(params.flatten(p), p)
    assert all(torch.equal(back[k], p[k]) for k in p)


def test_unflatten_refuses_another_length(net):
    with pytest.raises(ValueError, match=r"shape \(23,\)"):
        params.unflatten(torch.zeros(22), params.of(net))


def test_dot_and_norm_are_those_of_the_vector(net):
    p = params.of(net)
    v = params.flatten(p).double()
    assert params.dot(p, p) == pytest.approx(float(v @ v), rel=1e-12)
    assert params.norm(p) == pytest.approx(float(v.norm()), rel=1e-12)


def test_algebra_leaves_its_arguments_alone(net):
    p = params.of(net)
    before = params.copy(p)
    params.add(p, p, 2.0), params.scale(p, 3.0), params.sub(p, p)
    assert all(torch.equal(before[k], p[k]) for k in p)


def test_points_of_different_networks_are_refused(net):
    p = params.of(net)
    fewer = {k: v for k, v in p.items() if k != "0.bias"}
    with pytest.raises(ValueError, match=r"'0.bias' is missing"):
        params.add(p, fewer)
    other = {**p, "0.bias": torch.zeros(7)}
    with pytest.raises(ValueError, match=r"shape \(3,\).*\(7,\)"):
        params.add(p, other)


def test_tied_parameters_count_once():
    a, b = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
    b.weight = a.weight
    assert params.count(params.of(nn.Sequential(a, b))) == 9


def test_random_directions_repeat_and_do_not_touch_the_global_state(net):
    state = torch.random.get_rng_state()
    draw = [
        params.randn_like(params.of(net), torch.Generator().manual_seed(s))
        for s in (1, 1, 2)
    ]
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(draw[0]["0.weight"], draw[1]["0.weight"])
    assert not torch.equal(draw[0]["0.weight"], draw[2]["0.weight"])


def test_call_gives_back_a_module_that_is_used_twice():
    act = nn.PReLU()
    net = nn.Sequential(nn.Linear(3, 4), act, nn.Linear(4, 2), act)
    before = dict(net.named_parameters())
    state = {k: v + 1 for k, v in params.of(net).items()}
    x = torch.randn(5, 3)
    out = params.call(net, state, (x,))
    for name, p in net.named_parameters():
        assert p is before[name]
    with torch.no_grad():
        for p in net.parameters():
            p.add_(1)
    torch.testing.assert_close(net(x), out)


def test_call_gives_the_parameters_back_after_an_error():
    act = nn.PReLU()
    net = nn.Sequential(act, nn.Linear(3, 2), act)
    before = dict(net.named_parameters())
    with pytest.raises(RuntimeError):
        params.call(net, {"0.weight": torch.ones(1)}, (torch.ones(5),))
    assert all(p is before[k] for k, p in net.named_parameters())


def test_complex_numbers_count_as_two():
    a = {"w": torch.tensor([1 + 2j, 3 - 1j])}
    b = {"w": torch.tensor([2 - 1j, 1j])}
    want = (
        torch.view_as_real(a["w"]).flatten()
        @ torch.view_as_real(b["w"]).flatten()
    )
    assert params.dot(a, b) == pytest.approx(float(want))
    drawn = params.randn_like(a, torch.Generator().manual_seed(0))["w"]
    assert drawn.dtype == torch.complex64
    assert drawn.imag.abs().min() > 0


def test_a_recorder_refuses_complex_parameters(tmp_path):
    net = nn.Linear(8, 3, dtype=torch.complex64)
    with (
        Recorder(tmp_path) as recorder,
        pytest.raises(ValueError, match="complex numbers in 'weight'"),
    ):
        recorder.record(net, step=0)
