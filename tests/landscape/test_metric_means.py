"""A metric that does not add up over samples is warned of, and no other."""

import re
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dldna.landscape import line, surface


def r2(output, batch):
    y = batch[1]
    return 1 - (output - y).square().sum() / (y - y.mean()).square().sum()


def f1(output, batch):
    high, right = output > 0, batch[1] > 0
    return 2 * (high & right).sum() / (high.sum() + right.sum())


def mae(output, batch):
    return (output - batch[1]).abs().mean()


def mae_of_each(output, batch):
    return (output - batch[1]).abs()


def bias(output, batch):  # a mean of both signs, near 0
    return (output - batch[1]).mean()


def chance(output, batch):
    return torch.rand(())


def unable(output, batch):
    if len(output) < 20:
        raise ValueError("too few samples")
    return r2(output, batch)


def warns_of_few(output, batch):
    if len(output) < 20:
        warnings.warn("few samples", stacklevel=1)
    return mae(output, batch)


MEANS = {"mae": mae, "each": mae_of_each, "bias": bias}


@pytest.fixture
def regression():
    torch.manual_seed(0)
    x = torch.randn(40, 3)
    y = x.sum(1, keepdim=True) + torch.randn(40, 1)
    model = nn.Linear(3, 1)
    nn.init.constant_(model.weight, 0.5)
    return model, x, y


def batches(x, y, size):
    return list(zip(x.split(size), y.split(size), strict=True))


def said(call, *args, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        record = call(*args, resolution=3, **options)
    return [str(w.message) for w in caught], record


@pytest.mark.parametrize("metric", [r2, f1])
@pytest.mark.parametrize("size", [20, 8])
def test_a_ratio_over_batches_is_named_once(regression, metric, size):
    model, x, y = regression
    given = {"mine": metric, **MEANS}
    told, record = said(
        surface, model, F.mse_loss, batches(x, y, size), metrics=given
    )
    [sentence] = told
    assert "'mine' is no mean over samples" in sentence
    assert "mean over batches is shown" in sentence
    assert "one batch with all data gives the right number" in sentence
    whole = re.search(r"it is (\S+) on a batch", sentence)[1]
    with torch.no_grad():
        first = metric(model(x[:size]), (x[:size], y[:size]))
    assert float(whole) == pytest.approx(float(first), rel=1e-3)
    assert sentence in record.report()


def test_one_batch_with_all_data_gives_the_right_number(regression):
    model, x, y = regression
    told, record = said(
        surface, model, F.mse_loss, [(x, y)], metrics={"r2": r2}
    )
    assert not told
    with torch.no_grad():
        true = float(r2(model(x), (x, y)))
    assert record.metrics["r2"][1, 1] == pytest.approx(true, rel=1e-5)


@pytest.mark.parametrize("size", [20, 7, 1])
def test_means_and_accuracy_are_silent(regression, size):
    model, x, y = regression
    data = batches(x, y, size)
    assert not said(surface, model, F.mse_loss, data, metrics=MEANS)[0]
    signs = batches(x, (y > 0).float(), size)
    loss = F.binary_cross_entropy_with_logits
    assert not said(surface, model, loss, signs, metrics="accuracy")[0]


def test_what_chance_decides_or_cannot_be_cut_is_silent(regression):
    model, x, y = regression
    given = {"chance": chance, "unable": unable, "mae": warns_of_few}
    data = batches(x, y, 20)
    assert not said(surface, model, F.mse_loss, data, metrics=given)[0]


def test_samples_that_normalisation_couples_are_no_reason(regression):
    _, x, y = regression
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    data = batches(x, y, 20)
    for statistics in ("train", "recalibrate"):
        more = {"metrics": MEANS, "statistics": statistics}
        assert not said(surface, net, F.mse_loss, data, **more)[0]


def test_a_line_says_it_and_looks_at_an_end(regression):
    model, x, y = regression
    other = nn.Linear(3, 1)
    with pytest.warns(UserWarning, match="'r2' is no mean over samples"):
        line(model, other, F.mse_loss, batches(x, y, 20),
             metrics={"r2": r2}, resolution=3)  # fmt: skip
