"""Cutting the data into batches changes no loss, and no curvature."""

import math
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dldna import landscape
from dldna.explorer import Explorer
from dldna.landscape.curvature import (
    Operator,
    diagonal,
    keskar_sharpness,
    layer_spectra,
    sam_sharpness,
    spectral_density,
    top_eigenpairs,
    trace,
)
from dldna.landscape.curvature.pyhessian import pyhessian_eigenpairs
from dldna.landscape.evaluate import choose
from dldna.landscape.space.directions import full_gradient
from dldna.objective import batch_weight, pieces, reduction
from dldna.training import evaluate

WEIGHT = torch.tensor([0.2, 1.0, 3.0], dtype=torch.float64)
CUTS = [(12,), (5, 7), (1, 2, 3, 6), (4, 4, 4)]


def small():
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    return net.double()


class Words(nn.Module):
    """Logits (N, C, T) of tokens (N, T), in float64."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.embed = nn.Embedding(4, 3)
        self.head = nn.Linear(3, 3)
        self.double()

    def forward(self, tokens):
        z = self.head(torch.tanh(self.embed(tokens)).cumsum(1))
        return z.transpose(1, 2)


def labelled():
    g = torch.Generator().manual_seed(2)
    x = torch.randn(12, 4, generator=g, dtype=torch.float64)
    y = torch.randint(0, 3, (12,), generator=g)
    return x, y


def ignored():
    x, y = labelled()
    y[:5] = -100  # a whole batch of some cuts
    y[9] = -100
    return x, y


def padded():
    g = torch.Generator().manual_seed(2)
    x = torch.randint(0, 4, (12, 6), generator=g)
    y = torch.randint(0, 3, (12, 6), generator=g)
    for i, length in enumerate([1, 6, 0, 2, 5, 3, 1, 1, 0, 6, 4, 2]):
        y[i, length:] = -100
    return x, y


def cut(data, sizes):
    return list(
        zip(*(torch.split(part, list(sizes)) for part in data), strict=True)
    )


def log_softmax():
    return nn.Sequential(small(), nn.LogSoftmax(1))


CASES = {
    "weights": (small, nn.CrossEntropyLoss(WEIGHT), labelled),
    "ignored": (small, F.cross_entropy, ignored),
    "both": (small, nn.CrossEntropyLoss(WEIGHT, ignore_index=1), labelled),
    "smoothed": (
        small,
        nn.CrossEntropyLoss(WEIGHT, label_smoothing=0.2),
        ignored,
    ),
    "smoothed, unweighted": (
        small,
        partial(F.cross_entropy, label_smoothing=0.2),
        ignored,
    ),
    "partial": (small, partial(F.cross_entropy, weight=WEIGHT), ignored),
    "nll": (log_softmax, nn.NLLLoss(WEIGHT), ignored),
    "nll function": (log_softmax, partial(F.nll_loss, weight=WEIGHT), ignored),
    "language": (Words, nn.CrossEntropyLoss(), padded),
    "weighted language": (Words, nn.CrossEntropyLoss(WEIGHT), padded),
}


def oracle(model, loss_fn, data):
    x, y = data
    with torch.no_grad():
        return float(loss_fn(model(x), y))


def right_answers(model, loss_fn, data, ignore):
    x, y = data
    with torch.no_grad():
        right = model(x).argmax(1) == y
    counts = y != ignore
    return float(right[counts].double().mean()), int(counts.sum())


@pytest.mark.parametrize("sizes", CUTS)
@pytest.mark.parametrize("case", CASES)
def test_the_accuracy_is_that_of_the_answers_that_count(case, sizes):
    make, loss_fn, data = CASES[case]
    model, data = make(), data()
    held = cut(data, sizes)
    ignore = 1 if case == "both" else -100
    share, answers = right_answers(model, loss_fn, data, ignore)
    assert evaluate(model, held, loss_fn)[1] == pytest.approx(share)
    for way in ("auto", "slow"):
        found = landscape.surface(
            model, loss_fn, held, resolution=3, metrics="accuracy", way=way
        )
        assert found.metrics["accuracy"][1, 1] == pytest.approx(share)
    probe = Explorer(model, loss_fn, held).map().probe(0.0, 0.0)
    error = (share * (1 - share) / answers) ** 0.5
    assert probe["accuracy"] == pytest.approx(share)
    assert probe["accuracy_error"] == pytest.approx(error)


@pytest.mark.parametrize("kind", ["regression", "several labels"])
def test_where_answers_are_no_classes_there_is_no_accuracy(kind):
    torch.manual_seed(0)
    x, model = torch.randn(20, 3), nn.Linear(3, 1)
    data, loss_fn = (x, x.sum(1, keepdim=True)), nn.MSELoss()
    if kind == "several labels":
        model, loss_fn = nn.Linear(3, 3), nn.BCEWithLogitsLoss()
        data = x, (x > 0).float()
    assert math.isnan(evaluate(model, data, loss_fn)[1])
    probe = Explorer(model, loss_fn, data).map().probe(0.0, 0.0)
    assert probe["accuracy"] is None
    assert probe["accuracy_error"] is None
    with pytest.raises(
        ValueError, match=r"accuracy needs .* a metric of your own"
    ):
        landscape.surface(
            model, loss_fn, data, resolution=3, metrics="accuracy"
        )


@pytest.mark.parametrize("sizes", CUTS)
@pytest.mark.parametrize("case", CASES)
def test_the_loss_is_that_of_the_whole_in_any_cut(case, sizes):
    make, loss_fn, data = CASES[case]
    model, data = make(), data()
    held = cut(data, sizes)
    own = oracle(model, loss_fn, data)
    op = Operator(model, loss_fn, held)
    assert op.loss() == pytest.approx(own, rel=1e-12)
    grads = torch.autograd.grad(
        loss_fn(model(data[0]), data[1]), list(model.parameters())
    )
    flat = torch.cat([g.flatten() for g in grads])
    torch.testing.assert_close(op.gradient(), flat, rtol=1e-10, atol=1e-12)
    found = full_gradient(model, loss_fn, held)
    torch.testing.assert_close(
        torch.cat([g.flatten() for g in found.values()]), flat
    )


@pytest.mark.parametrize("case", CASES)
def test_eigenvalues_are_those_of_the_whole_in_any_cut(case, monkeypatch):
    monkeypatch.setattr(pieces, "MERGE", 1)  # keep the batches as they are
    make, loss_fn, data = CASES[case]
    model, data = make(), data()
    for matrix, sizes in (("hessian", (5, 7)), ("gauss-newton", (1, 2, 3, 6))):
        one, other = (
            top_eigenpairs(model, loss_fn, given, k=2, tol=1e-9, matrix=matrix)
            for given in (data, cut(data, sizes))
        )
        np.testing.assert_allclose(
            other.eigenvalues, one.eigenvalues, rtol=1e-10
        )
        assert np.isfinite(one.errors).all()
        assert np.isfinite(other.errors).all()
        assert len(one.errors) == 2  # the slices were used


@pytest.mark.parametrize("way", ["slow", "captured", "layered", "mlp"])
@pytest.mark.parametrize("case", CASES)
def test_surfaces_are_those_of_the_whole_in_any_cut(case, way):
    make, loss_fn, data = CASES[case]
    model, data = make(), data()
    if way != "slow" and ("language" in case or "nll" in case):
        pytest.skip("not a network of this way")
    origin = {k: p.detach().clone() for k, p in model.named_parameters()}
    step = {k: torch.ones_like(p) for k, p in origin.items()}
    coords = torch.tensor([[0.0], [0.3], [-0.7]]).double()
    for sizes in CUTS:
        at = choose(model, loss_fn, cut(data, sizes), origin, [step], way=way)
        losses = at(coords)["loss"]
        for c, loss in zip(coords[:, 0].tolist(), losses, strict=True):
            moved = make()
            with torch.no_grad():
                for name, p in moved.named_parameters():
                    p.copy_(origin[name] + c * step[name])
            assert loss == pytest.approx(
                oracle(moved, loss_fn, data), rel=1e-10
            )


@pytest.mark.parametrize("case", ["both", "smoothed", "language"])
def test_a_whole_surface_takes_such_a_loss(case):
    make, loss_fn, data = CASES[case]
    model, data = make(), data()
    one, other = (
        landscape.surface(model, loss_fn, given, resolution=3, seed=0)
        for given in (data, cut(data, (5, 7)))
    )
    np.testing.assert_allclose(other.losses, one.losses, rtol=1e-10)


def test_sums_and_vectors_mean_the_mean_in_all_of_curvature():
    model, data = small(), labelled()
    held = cut(data, (1, 4, 7))

    def numbers(loss_fn, given):
        exact = {"tol": 1e-9}
        yield top_eigenpairs(model, loss_fn, given, **exact).eigenvalues
        yield top_eigenpairs(
            model, loss_fn, given, matrix="gauss-newton", **exact
        ).eigenvalues
        yield trace(model, loss_fn, given, products=6).value
        yield diagonal(model, loss_fn, given, products=3).value
        density = spectral_density(model, loss_fn, given, probes=2, steps=4)
        yield density.nodes
        yield keskar_sharpness(model, loss_fn, given).value
        yield sam_sharpness(model, loss_fn, given).value
        for found in layer_spectra(model, loss_fn, given, tol=1e-9).values():
            yield found.eigenvalues

    whole = list(numbers(F.cross_entropy, data))
    for other, given in (
        (nn.CrossEntropyLoss(reduction="sum"), held),
        (nn.CrossEntropyLoss(reduction="none"), data),
        (partial(F.cross_entropy, reduction="sum"), data),
        (partial(F.cross_entropy, reduction="none"), held),
    ):
        for got, want in zip(numbers(other, given), whole, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-9)


def test_a_surface_of_sums_by_partial_is_that_of_the_mean():
    model, data = small(), labelled()
    one, other = (
        landscape.surface(
            model, loss_fn, cut(data, (5, 7)), "hessian", resolution=3
        )
        for loss_fn in (
            F.cross_entropy,
            partial(F.cross_entropy, reduction="sum"),
        )
    )
    np.testing.assert_allclose(other.losses, one.losses, rtol=1e-9)
    said = [s.provenance.notes["hessian"]["eigenvalues"] for s in (one, other)]
    np.testing.assert_allclose(said[1], said[0], rtol=1e-6)


def test_where_all_targets_are_ignored_there_is_no_loss():
    model, (x, y) = small(), labelled()
    with pytest.raises(ValueError, match="every target is ignored"):
        Operator(model, F.cross_entropy, (x, torch.full_like(y, -100)))


def test_metrics_go_by_the_number_of_samples():
    model, data = small(), labelled()
    origin = {k: p.detach().clone() for k, p in model.named_parameters()}

    def first(output, batch):
        return (batch[1] == 0).double().mean()

    at = choose(
        model,
        nn.CrossEntropyLoss(WEIGHT),
        cut(data, (5, 7)),
        origin,
        [origin],
        metrics={"first": first},
    )
    found = at(torch.zeros(1, 1).double())["first"][0]
    assert found == pytest.approx(float((data[1] == 0).double().mean()))


def test_weights_of_batches():
    y = torch.tensor([0, 2, -100, 1])
    batch = torch.zeros(4, 3), y
    assert batch_weight(nn.MSELoss(), batch) == 4
    assert batch_weight(F.cross_entropy, batch) == 3
    assert batch_weight(nn.CrossEntropyLoss(WEIGHT), batch) == pytest.approx(
        4.2
    )
    assert batch_weight(nn.CrossEntropyLoss(reduction="sum"), batch) == 4
    assert batch_weight(nn.CrossEntropyLoss(ignore_index=2), batch) == 3
    likely = torch.zeros(4, 3), torch.rand(4, 3)  # torch divides by N
    assert batch_weight(nn.CrossEntropyLoss(WEIGHT), likely) == 4
    assert batch_weight(F.cross_entropy, {"x": torch.zeros(4, 2)}) == 4
    assert reduction(partial(F.cross_entropy, reduction="sum")) == "sum"
    assert reduction(nn.MSELoss(reduction="none")) == "none"


def test_probabilities_as_targets_with_class_weights():
    model, (x, _) = small(), labelled()
    g = torch.Generator().manual_seed(3)
    y = torch.rand(12, 3, generator=g, dtype=torch.float64)
    loss_fn = nn.CrossEntropyLoss(WEIGHT, label_smoothing=0.1)
    own = oracle(model, loss_fn, (x, y))
    for sizes in CUTS:
        op = Operator(model, loss_fn, cut((x, y), sizes))
        assert op.loss() == pytest.approx(own, rel=1e-12)


def test_pyhessian_refuses_what_it_would_weight_by_size():
    pytest.importorskip("pyhessian")
    model, data = small(), labelled()
    loss_fn = nn.CrossEntropyLoss(WEIGHT)
    options = {"k": 1, "max_products": 4000}
    with pytest.raises(ValueError, match="weights batches by their size"):
        pyhessian_eigenpairs(model, loss_fn, cut(data, (5, 7)), **options)
    own = top_eigenpairs(model, loss_fn, data, k=1).eigenvalues
    for loss in (loss_fn, nn.CrossEntropyLoss(WEIGHT, reduction="sum")):
        found = pyhessian_eigenpairs(model, loss, data, **options).eigenvalues
        scale = 1 if loss is loss_fn else 12 / float(WEIGHT[data[1]].sum())
        np.testing.assert_allclose(found * scale, own, rtol=1e-4)
