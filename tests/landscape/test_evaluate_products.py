"""Products of layers by other libraries, and with fewer multiplications."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dldna import params
from dldna.landscape.evaluate import (
    buffer_steps,
    choose,
    layer_forms,
    layered,
    products,
    winograd,
)
from tests.landscape.test_evaluate_paths import points, relative, setting

FULL = pytest.mark.full


@pytest.mark.parametrize("rows", [1, 64])
@pytest.mark.parametrize("bias", [True, False])
def test_a_large_product_in_float32(rows, bias):
    """At the size from which another library is asked, and below."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 8, 512, generator=generator)
    weight = torch.randn(64, 512, generator=generator)
    shift = torch.randn(64, generator=generator) if bias else None
    large = x.numel() * len(weight) >= products.MANY
    assert large == (rows == 64)
    exact = x.double() @ weight.double().t()
    exact += 0 if shift is None else shift.double()
    got = products.linear(x, weight, shift)
    torch.testing.assert_close(got.double(), exact, rtol=1e-5, atol=1e-4)
    turned = x.transpose(0, 1)
    turned = products.linear(turned, weight, shift).transpose(0, 1)
    torch.testing.assert_close(turned.double(), exact, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_large_product_keeps_what_is_not_finite(value):
    x = torch.ones(512, 512)
    x[3, 5] = value
    weight = torch.ones(64, 512)
    got = products.linear(x, weight, torch.zeros(64))
    wanted = torch.full((512, 64), 512.0)
    wanted[3] = value
    torch.testing.assert_close(got, wanted, equal_nan=True)


def empty(dtype):
    return lambda shape, use="": torch.empty(shape, dtype=dtype)


@pytest.mark.parametrize("bias", [True, False])
def test_fewer_products_on_maps_of_all_small_sizes(bias):
    """Single pixels, pairs, one piece, several, and ends that are shorter."""
    generator = torch.Generator().manual_seed(0)
    random = {"generator": generator, "dtype": torch.float64}
    for rows, columns in [(1, 2), (2, 2), (3, 3), (2, 5), (4, 8), (9, 7)]:
        x = torch.randn(3, 5, rows, columns, **random)
        weight = torch.randn(7, 5, 3, 3, **random)
        shift = torch.randn(7, **random) if bias else None
        room = empty(torch.float64)
        made = winograd.factors(weight, (rows, columns), room)
        got = winograd.convolve(x, made, shift, room)
        wanted = F.conv2d(x, weight, shift, padding=1)
        torch.testing.assert_close(got, wanted, rtol=1e-11, atol=1e-11)
        assert got.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("side", [2, 4, 8])
def test_rounding_of_fewer_products_in_float32(side):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 128, side, side, generator=generator).relu()
    weight = torch.randn(128, 128, 3, 3, generator=generator)
    room = empty(torch.float32)
    made = winograd.factors(weight, (side, side), room)
    got = winograd.convolve(x, made, None, room).double()
    exact = F.conv2d(x.double(), weight.double(), padding=1)
    assert (got - exact).abs().max() < 5e-6 * exact.abs().max()
    assert (got - exact).norm() < 2e-6 * exact.norm()


def test_which_layers_save_products():
    def kind(a, b, side, stride=1, dtype=torch.float32, fewer=True):
        layer = nn.Conv2d(a, b, 3, stride, 1, device="meta")
        x = torch.empty(1, a, side, side, dtype=dtype)
        return layer_forms.form(layer, x, 0, fewer).kind

    assert kind(128, 256, 4) == kind(128, 128, 8) == "fewer"
    assert kind(128, 128, 2) == "fewer"
    assert kind(128, 128, 1) == kind(64, 128, 2) == "dense"
    assert kind(128, 128, 2, fewer=False) == "dense"
    assert kind(128, 128, 2, dtype=torch.bfloat16) == "dense"
    assert kind(64, 128, 8) == kind(128, 128, 16) == "plain"
    assert kind(128, 128, 8, stride=2) == "plain"


@pytest.fixture
def seen(monkeypatch):
    """Sizes of maps on which products were saved, with few channels."""
    found, real = [], winograd.convolve

    def look(x, *rest):
        found.append(tuple(x.shape[2:]))
        return real(x, *rest)

    monkeypatch.setattr(layer_forms, "CHANNELS", 4)
    monkeypatch.setattr(winograd, "convolve", look)
    return found


@pytest.mark.parametrize(
    "case",
    ["interpolate"]
    + [pytest.param(c, marks=FULL) for c in ("eval", "large", "batches")],
)
def test_a_network_with_fewer_products(case, seen, monkeypatch):
    """Off the centre; with moving norms, laid out anew, over batches."""
    sizes = (9, 13) if case != "batches" else (40, 40, 5)
    model, data, origin, directions = setting("residual", sizes=sizes)
    options = {"dtype": "float64"}
    if case == "interpolate":
        steps = buffer_steps(model, setting("residual", seed=3)[0])
        half = {k: v / 2 for k, v in steps.items()}
        options |= {"statistics": case, "buffer_directions": [steps, half]}
    if case == "large":
        monkeypatch.setattr(layered, "is_large", lambda _: True)
    if case == "batches":
        monkeypatch.setattr(layered, "joined", lambda batches, _: batches)
        directions = [  # norms stand still, and are folded once
            {k: v * (v.ndim > 1) for k, v in d.items()} for d in directions
        ]
    args = (model, nn.CrossEntropyLoss(), data, origin, directions)
    coords = points(2, 3) / 4
    slow = choose(*args, way="slow", **options)(coords)["loss"]
    fast = choose(*args, way="layered", **options)(coords)["loss"]
    assert {(8, 8), (4, 4), (2, 2)} <= set(seen)
    assert relative(fast, slow) < 1e-12


def test_what_is_infinite_before_a_relu_stays_without_effect(seen):
    """A difference of two infinities would be NaN in a whole piece."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1),
        nn.ReLU(), nn.Flatten(), nn.Linear(64, 3),
    )  # fmt: skip
    with torch.no_grad():
        model[0].weight.fill_(1)
        model[2].weight.abs_().neg_()
    x = torch.randn(6, 3, 4, 4)
    x[2, :, 1, 3] = 3e38
    origin = params.of(model)
    small = [params.scale(origin, s) for s in (1e-3, -2e-3)]
    data = [(x, torch.randint(3, (6,)))]
    args = (model, nn.CrossEntropyLoss(), data, origin, small)
    slow = choose(*args, way="slow")(points(2, 3))["loss"]
    fast = choose(*args, way="layered")(points(2, 3))["loss"]
    assert np.isfinite(slow).all()
    assert (4, 4) in seen
    np.testing.assert_allclose(fast, slow, rtol=1e-6)


@FULL
def test_rows_share_what_does_not_move_along_them():
    """Weights at the fixed coordinate are formed once for a row."""
    model, data, origin, directions = setting("residual")
    args = (model, nn.CrossEntropyLoss(), data, origin, directions)
    fast = choose(*args, way="layered", dtype="float64")
    coords = torch.cartesian_prod(
        torch.tensor([-0.5, 0.0, 1.0]), torch.tensor([0.0, 0.25, -1.0])
    )
    alone = np.concatenate([fast(c[None])["loss"] for c in coords])
    np.testing.assert_allclose(fast(coords)["loss"], alone, rtol=1e-12)
    slow = choose(*args, way="slow", dtype="float64")
    assert relative(alone, slow(coords)["loss"]) < 1e-12
