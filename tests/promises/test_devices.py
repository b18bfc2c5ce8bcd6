"""Public calls on a GPU, without one: no tensor is left on the CPU.

See pretended.py. What works on the CPU must work where model and data lie
elsewhere, on "cuda" and on Apple's "mps", which has no float64.
"""

from contextlib import nullcontext

import pytest
import torch
from calls import CALLS
from menagerie import make
from pretended import Mixture, Pretended
from torch import nn

pytestmark = pytest.mark.filterwarnings("ignore")

# These are handed "cpu", or tensors of the CPU, by the table itself.
ON_THE_CPU = {
    name for name in CALLS if name.startswith("chapter_05.visualization")
}
# These take no model of this kind, wherever it lies.
REFUSED = {
    "init.propagate_blocks",
    "landscape.Slice.of",
    "landscape.top_eigenpairs, in training mode",
}
# Asked for what the device has not, which is said.
HAS_NOT = {
    (name, "mps"): "GPUs have no float64"
    for name in (
        "landscape.surface, float64",
        "training.central_flow",
        "training.gradient_flow",
        "training.projected_descent",
        "training.stable_flow",
    )
}


@pytest.mark.parametrize(
    "kind", ["cuda", pytest.param("mps", marks=pytest.mark.full)]
)
@pytest.mark.parametrize("name", sorted(set(CALLS) - ON_THE_CPU - REFUSED))
def test_nothing_is_left_on_the_cpu(name, kind):
    case = make("batch_norm_dropout")
    elsewhere = Pretended(kind)
    elsewhere.put(case.model)
    elsewhere.put(case.data)
    says = HAS_NOT.get((name, kind))
    refused = pytest.raises(ValueError, match=says) if says else nullcontext()
    with refused, elsewhere:
        CALLS[name](case)


# The mode itself -------------------------------------------------------------


@pytest.fixture(params=["cuda", "mps"])
def there(request):
    return Pretended(request.param)


def test_what_is_computed_from_a_tensor_lies_where_it_does(there):
    net, x = nn.Linear(2, 3), torch.randn(4, 2)
    there.put(net)
    there.put(x)
    with there:
        y = net(x).relu()
        loss = y.square().mean()
        loss.backward()
        for one in (
            y,
            loss,
            y[0],
            y.T,
            y.detach(),
            net.weight.grad,
            torch.zeros_like(y),
            y.new_zeros(2),
            y.clone(),
            torch.zeros(2, device=y.device),
            torch.zeros(2).to(y),
            torch.autograd.grad(net(x).sum(), net.weight)[0],
            torch.func.grad(lambda w: (x @ w.T).sum())(net.weight),
        ):
            assert one.device == there.device  # fmt: skip
        for one in (
            torch.zeros(2),
            y.cpu(),
            y.to("cpu"),
            torch.zeros_like(y, device="cpu"),
            torch.tensor([y.sum(), y.sum()]),
        ):
            assert one.device == torch.device("cpu")  # fmt: skip
        assert y.is_cuda == (there.kind == "cuda")
        assert y + 1 is not None
        assert (torch.tensor(2.0) * y).device == there.device


MIX = {
    "sum": lambda far, near: far + near,
    "product": lambda far, near: near.T @ far,
    "stack": lambda far, near: torch.stack([far, near]),
    "in place": lambda far, near: near.add_(far),
    "a number in place": lambda far, near: near.sum().add_(far.sum()),
    "indices": lambda far, near: near[far.long().abs() * 0],
    "numpy": lambda far, near: far.numpy(),
    "a generator of the CPU": lambda far, near: far.normal_(
        generator=torch.Generator()
    ),
    "a loss": nn.MSELoss(),
    "in vmap": lambda far, near: torch.vmap(lambda f: f + near[0])(far),
}


@pytest.mark.parametrize("how", MIX)
def test_a_mixture_is_seen(there, how):
    far, near = torch.randn(3, 3), torch.randn(3, 3)
    there.put(far)
    with there, pytest.raises((Mixture, TypeError)):
        MIX[how](far, near)


def test_apple_s_gpus_have_no_float64():
    there = Pretended("mps")
    x = torch.ones(2)
    there.put(x)
    with there:
        for make_it in (
            x.double,
            lambda: x.to(torch.float64),
            lambda: torch.zeros(2, dtype=torch.float64, device=x.device),
        ):
            with pytest.raises(TypeError, match="float64"):
                make_it()
        assert x.cpu().double().dtype == torch.float64
