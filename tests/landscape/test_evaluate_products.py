"""Products of layers by other libraries, and with fewer multiplications."""

import pytest
import torch

from dldna.landscape.evaluate import products


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
