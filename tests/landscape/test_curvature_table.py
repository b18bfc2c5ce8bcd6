"""Products of curvature over a table of layers, losses and ways.

Layers run in processes of their own, for torch can end a process whose
graph it cannot trace.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dldna.landscape import (
    NotConvergedWarning,
    Operator,
    layer_spectra,
    top_eigenpairs,
)
from dldna.landscape.curvature.copies import multiple
from dldna.landscape.curvature.lanczos import lanczos

sys.path.insert(0, str(Path(__file__).parent))

from curvature_table import LAYERS, LOSSES, WAYS

SCRIPT = Path(__file__).with_name("curvature_table.py")


WHOLE = [(layer, loss) for layer in LAYERS for loss in LOSSES]
# A few layers, each under one loss; test-full has the whole table.
KNOWN = list(LOSSES)
FEW = [
    (name, KNOWN[i % len(KNOWN)])
    for i, name in enumerate(LAYERS)
    if i % 5 == 0
]


def check(cells):
    """Every way gives the plain product ten times, or refuses in words."""
    done = subprocess.run(
        [sys.executable, SCRIPT, *map("/".join, cells)],
        capture_output=True,
        text=True,
        check=False,
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    ended = cells[len(rows) // len(WAYS) :][:1]
    assert done.returncode == 0, (done.returncode, ended, done.stderr[-2000:])
    assert len(rows) == len(cells) * len(WAYS)
    for *case, way, said, gap in rows:
        if gap is None:
            assert way != "auto", (case, said)
            assert "does not fit this model and loss" in said, said
        else:
            assert gap < 1e-9, (case, way, said, gap)


def test_every_way_gives_the_plain_product_ten_times_or_refuses():
    check(FEW)


@pytest.mark.full
@pytest.mark.parametrize("part", range(4))
def test_the_whole_table_of_layers_losses_and_ways(part):
    check(WHOLE[part::4])


def test_where_tracing_is_known_to_be_right_it_is_taken(monkeypatch):
    from dldna.landscape.curvature import operator

    monkeypatch.setattr(operator, "TRACE_AFTER", 0)
    for name in ("relu", "batch norm", "max pool", "residual"):
        data = torch.rand(6, 1, 6, 6), torch.randint(0, 3, (6,))
        tried = Operator(LAYERS[name](), F.cross_entropy, data)
        tried @ torch.ones(tried.n)
        assert tried.way == "linearize", (name, tried.passed_over)


def test_a_faster_product_that_changes_is_passed_over(monkeypatch):
    from dldna.landscape.curvature import operator, products

    def worse(f, batch):
        plain, calls = products.reverse(f, batch), []

        def product(v):
            calls.append(1)
            return plain(v) * (1 + 0.01 * (len(calls) > 2))

        return product

    monkeypatch.setattr(operator, "TRACE_AFTER", 0)
    monkeypatch.setattr(products, "linearize", worse)
    data = torch.rand(6, 1, 6, 6), torch.randint(0, 3, (6,))
    tried = Operator(LAYERS["relu"](), F.cross_entropy, data)
    tried @ torch.ones(tried.n)
    assert tried.way == "reverse"
    assert "differ by 1.0e-02" in tried.passed_over


@pytest.mark.parametrize("k", [1, 2, 3, 4, 7])
def test_eigenvalues_come_with_their_multiplicity(k):
    torch.manual_seed(0)
    layer = nn.Linear(5, 3)
    x, y = torch.randn(40, 5), torch.randn(40, 3)
    bias = torch.cat([x, torch.ones(40, 1)], 1).double()
    own = torch.linalg.eigvalsh(2 * bias.T @ bias / 40 / 3).flip(0)
    exact = own.repeat_interleave(3)[:k]
    found = top_eigenpairs(layer, nn.MSELoss(), (x, y), k=k, tol=1e-4)
    assert found.eigenvalues == pytest.approx(exact.numpy(), rel=1e-4)
    spectra = layer_spectra(layer, nn.MSELoss(), (x, y), k=k)
    assert spectra[""].eigenvalues == pytest.approx(exact.numpy(), rel=1e-3)


@pytest.mark.parametrize("which", ["magnitude", "largest", "smallest"])
def test_copies_are_found_among_any_eigenvalues(which):
    g = torch.Generator().manual_seed(3)
    q, _ = torch.linalg.qr(torch.randn(40, 40, generator=g).double())
    values = torch.linspace(-1, 1, 40).double()
    values[:4], values[-3:] = -3.0, 5.0
    a = q @ torch.diag(values) @ q.T
    start = torch.randn(40, generator=g).double()
    one = lanczos(lambda v: a @ v, start, 6, 1e-8, which=which)
    found = multiple(lambda v: a @ v, one, 1e-8, which=which, generator=g)
    order = {
        "magnitude": values.abs().argsort(descending=True, stable=True),
        "largest": values.argsort(descending=True),
        "smallest": values.argsort(),
    }[which]
    torch.testing.assert_close(found.values, values[order][:6])


@pytest.mark.parametrize("decay", [0.0, 0.5])
@pytest.mark.parametrize(
    ("sign", "which"), [(1, "smallest"), (-1, "largest"), (1, "magnitude")]
)
def test_copies_at_the_near_end_are_not_what_was_taken_out(
    decay, sign, which, recwarn
):
    """Vectors that are taken out have the value 0, beyond what is wanted."""
    g = torch.Generator().manual_seed(1)
    x, y = torch.randn(5, 20, generator=g), torch.randn(5, 1, generator=g)
    layer = nn.Linear(20, 1, bias=False).double()

    def ridge(output, batch):
        shrink = decay * (layer.weight**2).sum()
        return sign * ((output - batch[1]).square().mean() + shrink)

    h = sign * 2 * (x.double().T @ x.double() / 5 + decay * torch.eye(20))
    values = torch.linalg.eigvalsh(h)
    by = {"smallest": values, "largest": -values, "magnitude": -values.abs()}
    right = values[by[which].argsort()][:4].numpy()
    for seed in range(3):
        found = top_eigenpairs(
            layer, ridge, (x.double(), y.double()), k=4, which=which, seed=seed
        )
        assert found.eigenvalues == pytest.approx(right, rel=1e-4, abs=1e-9)
        v = found.eigenvectors
        assert np.allclose(v @ v.T, np.eye(4), atol=1e-9)
    assert not [w for w in recwarn if w.category is NotConvergedWarning]


def test_the_space_of_a_search_is_let_go():
    diagonal = torch.linspace(0, 1, 60).double()
    diagonal[-1] = 9
    start = torch.ones(60).double()
    one = lanczos(diagonal.mul, start, 1, 1e-3)
    assert one.basis is not None  # it is large, and pairs are kept
    g = torch.Generator().manual_seed(0)
    found = multiple(diagonal.mul, one, 1e-3, generator=g)
    assert found.basis is None
    assert found.products == one.products  # no copy belongs before the last
    assert float(found.values) == pytest.approx(9)


def test_gradients_switched_off_outside_change_nothing():
    layer, data = nn.Linear(2, 1), (torch.ones(3, 2), torch.zeros(3, 1))
    right = Operator(layer, nn.MSELoss(), data) @ torch.ones(3)
    for off in (torch.no_grad, torch.inference_mode):
        with off():
            operator = Operator(layer, nn.MSELoss(), data)
            assert torch.equal(operator @ torch.ones(3), right), off
            assert float(operator.gradient().norm()) > 0


def test_what_cannot_be_multiplied_is_named():
    layer, data = nn.Linear(1, 1), (torch.ones(3, 1), torch.zeros(3, 1))
    operator = Operator(layer, nn.MSELoss(), data)
    one = torch.ones(2)
    assert torch.equal(operator @ one.numpy(), operator @ one)
    for wrong in ([1.0, 2.0], {"weight": one}, None):
        with pytest.raises(TypeError, match="a tensor or an array"):
            operator @ wrong
    with pytest.raises(TypeError, match="names of parameters"):
        Operator(layer, nn.MSELoss(), data, params=[3])
