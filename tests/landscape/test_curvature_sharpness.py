"""Sharpness: closed forms, bounds, and Dinh's rescaling."""

import numpy as np
import pytest
import torch
from torch import nn

from dldna.landscape.curvature import (
    keskar_sharpness,
    rescale_relu,
    sam_sharpness,
    top_eigenpairs,
    trace,
)
from dldna.records import Sharpness

CE = nn.functional.cross_entropy


def small():
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    return net.double()


def labelled(n=12):
    g = torch.Generator().manual_seed(2)
    x = torch.randn(n, 4, generator=g, dtype=torch.float64)
    return x, torch.randint(0, 3, (n,), generator=g)


def bowl(a, w):
    """A model whose loss is sum(a w^2) / 2 at the weights w."""
    model = nn.Linear(len(w), 1, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([w]))
    a = torch.tensor(a, dtype=torch.float64)
    x = torch.diag(a.sqrt()) * (len(w) / 2) ** 0.5
    return model, (x, torch.zeros(len(w), 1, dtype=torch.float64))


MSE = nn.MSELoss()


def test_keskar_finds_the_corner_of_the_box():
    model, data = bowl([1.0, 10.0], [1.0, -2.0])
    found = keskar_sharpness(model, MSE, data, eps=0.1)
    loss, worst = (1 + 10 * 4) / 2, (1.2**2 + 10 * 2.3**2) / 2
    assert found.loss == pytest.approx(loss)
    assert found.value == pytest.approx(100 * (worst - loss) / (1 + loss))


def test_sam_finds_the_top_eigenvector_at_a_minimum():
    model, data = bowl([1.0, 10.0, 2.0], [0.0, 0.0, 0.0])
    found = sam_sharpness(model, MSE, data, rho=0.3, steps=60)
    assert found.value == pytest.approx(10 * 0.3**2 / 2, rel=1e-6)


def test_one_step_is_that_of_sam():
    model, data = bowl([1.0, 10.0], [1.0, -2.0])
    found = sam_sharpness(model, MSE, data, rho=0.3, steps=1)
    g = np.array([1.0, -20.0])
    w = np.array([1.0, -2.0]) + 0.3 * g / np.linalg.norm(g)
    assert found.worst == pytest.approx((w[0] ** 2 + 10 * w[1] ** 2) / 2)


def test_adaptive_in_the_inf_norm_scales_each_weight():
    model, data = bowl([1.0, 10.0], [1.0, -2.0])
    found = sam_sharpness(model, MSE, data, rho=0.3, adaptive=True, norm="inf")
    assert found.worst == pytest.approx(1.3**2 * (1 + 40) / 2)


@pytest.mark.parametrize("adaptive", [False, True])
def test_no_random_neighbour_is_worse(adaptive):
    model, (x, y) = small(), labelled()
    rho = 0.3
    found = sam_sharpness(
        model, CE, (x, y), rho=rho, adaptive=adaptive, steps=20
    )
    w = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
    scale = w.abs() if adaptive else torch.ones_like(w)
    for _ in range(200):
        u = torch.randn_like(w)
        torch.nn.utils.vector_to_parameters(
            w + rho * scale * u / u.norm(), model.parameters()
        )
        assert CE(model(x), y).item() < found.worst
    assert len(found.path) == 21


def relu_net():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))
    x = torch.randn(40, 4)
    return net.double(), (x.double(), torch.randint(0, 2, (40,)))


def measures(model, data):
    def top(**options):
        found = top_eigenpairs(
            model, CE, data, 1, 1e-9, which="largest", **options
        )
        return float(found.eigenvalues[0])

    return {
        "loss": CE(model(data[0]), data[1]).item(),
        "plain": top(),
        "trace": float(trace(model, CE, data, products=200).value),
        "sam": sam_sharpness(model, CE, data, rho=0.1, steps=30).value,
        "scaled": top(adaptive=True),
        "adaptive": sam_sharpness(
            model, CE, data, rho=0.1, steps=30, adaptive=True
        ).value,
    }


def test_dinh_s_rescaling_moves_all_but_the_scaled_measures():
    net, data = relu_net()
    before = measures(net, data)
    after = measures(rescale_relu(net, "0", "2", a=10.0), data)
    for name in ("loss", "scaled", "adaptive"):
        assert after[name] == pytest.approx(before[name], rel=1e-6)
    assert after["plain"] > 10 * before["plain"]
    assert after["trace"] > 10 * before["trace"]
    assert after["sam"] > 2 * before["sam"]


def test_the_twin_is_a_copy():
    net, (x, _) = relu_net()
    before = net[0].weight.clone()
    twin = rescale_relu(net, "0", "2", a=3.0)
    assert torch.equal(net[0].weight, before)
    torch.testing.assert_close(twin(x), net(x))
    torch.testing.assert_close(twin[0].bias, 3 * net[0].bias)


def test_the_record_survives_the_disk(tmp_path):
    model, data = relu_net()
    found = keskar_sharpness(model, CE, data)
    back = Sharpness.load(found.save(tmp_path / "s"))
    assert back.value == found.value
    assert (back.path == found.path).all()


def test_bad_input_is_named():
    net, data = relu_net()
    with pytest.raises(ValueError, match="eps must be greater"):
        keskar_sharpness(net, CE, data, eps=0)
    with pytest.raises(ValueError, match="rho must be greater"):
        sam_sharpness(net, CE, data, rho=-1)
    with pytest.raises(ValueError, match="steps must be"):
        sam_sharpness(net, CE, data, steps=0)
    with pytest.raises(ValueError, match="norm must be"):
        sam_sharpness(net, CE, data, norm=1)
    with pytest.raises(ValueError, match="a must be greater"):
        rescale_relu(net, "0", "2", a=0)
    with pytest.raises(ValueError, match="unknown layer '1'"):
        rescale_relu(net, "1", "2", a=2)
