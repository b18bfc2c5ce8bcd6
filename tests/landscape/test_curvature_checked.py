"""What holds eigenpairs to the truth without a product for each of them."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd.functional import hessian
from torch.func import functional_call, jacfwd
from torch.nn import functional as F

from dldna import params
from dldna.landscape.curvature import top_eigenpairs
from dldna.landscape.curvature.lanczos import tridiagonal, unseen
from dldna.landscape.curvature.taylor import Taylor
from dldna.objective.kernels import forward_kernels

CE = nn.functional.cross_entropy


class Wrong(torch.autograd.Function):
    """A square with a backward, and no forward derivative."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.square()

    @staticmethod
    def backward(ctx, grad):
        return 2 * ctx.saved_tensors[0] * grad


class Custom(nn.Module):
    def forward(self, x):
        return Wrong.apply(x)


def network(middle):
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(4, 5), middle, nn.Linear(5, 3)).double()
    x = torch.randn(12, 4, dtype=torch.float64)
    return net, x, torch.randint(3, (12,))


def by_hand(net, loss, x, y, rows, parts=3):
    """Standard errors of the forms, from dense matrices of the slices."""
    point, forms = params.copy(params.of(net)), []
    for a, b in zip(x.chunk(parts), y.chunk(parts), strict=True):

        def f(w, a=a, b=b):
            p = params.unflatten(w, point)
            with torch.nn.utils.parametrize.cached():
                return loss(functional_call(net, p, (a,)), b, p)

        h = hessian(f, params.flatten(point))
        forms.append(((rows @ h) * rows).sum(1))
    return torch.stack(forms).std(0) / parts**0.5


def plain(z, y, p):
    return CE(z, y)


def penalised(z, y, p):
    return CE(z, y) + 0.5 * sum(t.pow(4).sum() for t in p.values())


MIDDLES = {"norm": nn.LayerNorm(5), "in place": nn.ELU(inplace=True)}
KINDS = ["plain", "norm", "in place", "penalty", "custom"]


@pytest.mark.parametrize("kind", KINDS)
def test_error_bars_are_right_where_forward_derivatives_are_not(kind):
    net, x, y = network(MIDDLES.get(kind, nn.Tanh()))
    loss, truth = CE, plain
    if kind == "custom":
        net[1] = Custom()
    if kind == "penalty":
        truth = penalised

        def loss(z, batch):
            return penalised(z, batch[1], dict(net.named_parameters()))

    found = top_eigenpairs(net, loss, (x, y), 3, 1e-8, parts=3)
    spent = found.products - sum(found.provenance.notes["search_products"])
    assert spent == (4 if kind == "penalty" else 1)
    if kind == "custom":
        net[1] = type("Square", (nn.Module,), {"forward": _square})()
    rows = torch.from_numpy(found.eigenvectors)
    expected = by_hand(net, truth, x, y, rows)
    np.testing.assert_allclose(found.errors, expected, rtol=1e-6)


def _square(self, x):
    return x * x


def attention(x):
    """Queries, keys and values from one product, and a skip."""
    q, k, v = x.chunk(3, -1)
    return F.scaled_dot_product_attention(q, k, v) + x[..., :2]


BRANCHES = {
    "shared": lambda u, w: F.prelu(
        F.linear(F.prelu(u @ w, w[0, 0]), w), w[0, 0]
    ),
    "norm": lambda u, w: F.layer_norm(F.linear(u, w), (6,), w[0]),
    "attention": lambda u, w: attention(F.linear(u, w).softmax(-1)),
    "two": lambda u, w: torch.cat((u @ w).sin().split(3, -1)[::-1], -1),
}


@pytest.mark.parametrize("name", BRANCHES)
def test_derivatives_of_a_forward_are_those_of_torch(name):
    f = BRANCHES[name]
    g = torch.Generator().manual_seed(0)
    w, v = torch.randn(2, 6, 6, generator=g).double()
    u = torch.randn(4, 6, generator=g).double()
    with forward_kernels(), Taylor([(w, v[None])]) as taylor:
        first, second = taylor.of(f(u, w))

    def moved(t):
        with forward_kernels():
            return f(u, w + t * v)

    zero = torch.zeros((), dtype=torch.float64)
    slope = jacfwd(moved)
    torch.testing.assert_close(first[0], slope(zero))
    torch.testing.assert_close(second[0], jacfwd(slope)(zero))


def test_convolutions_have_error_bars_too():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten())
    net.append(nn.Linear(8, 3)).double()
    x = torch.randn(9, 1, 4, 4, dtype=torch.float64)
    y = torch.randint(3, (9,))
    found = top_eigenpairs(net, CE, (x, y), 2, 1e-8, parts=3)
    rows = torch.from_numpy(found.eigenvectors)
    expected = by_hand(net, plain, x, y, rows)
    np.testing.assert_allclose(found.errors, expected, rtol=1e-6)
    assert found.products == found.provenance.notes["search_products"][0] + 1


@pytest.mark.parametrize("steps", [2, 5, 9])
def test_no_share_of_a_start_is_above_its_bound(steps):
    g = torch.Generator().manual_seed(steps)
    a = torch.randn(40, 40, generator=g, dtype=torch.float64)
    values, vectors = torch.linalg.eigh(a + a.T)
    start = torch.randn(40, generator=g, dtype=torch.float64)
    diagonal, off = tridiagonal(lambda v: (a + a.T) @ v, start, steps + 1)
    t = torch.diag(diagonal[:steps])
    t += torch.diag(off[: steps - 1], 1) + torch.diag(off[: steps - 1], -1)
    shares = (vectors.T @ start / start.norm()).square()
    bounds = [unseen(t, float(off[steps - 1]), float(v)) for v in values]
    bounds = torch.tensor(bounds)
    assert (shares <= bounds * (1 + 1e-9)).all()
    assert float((shares / bounds).max()) > 0.05  # and it is no idle one
