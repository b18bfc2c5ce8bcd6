"""One convention for batches and losses, shared by all rooms."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dldna import batches

X, Y = torch.randn(5, 3), torch.tensor([0, 1, 2, 1, 0])


@pytest.mark.parametrize(
    "loss",
    [
        nn.CrossEntropyLoss(),
        F.cross_entropy,
        lambda output, target: F.cross_entropy(output, target) + 0,
        lambda output, batch: F.cross_entropy(output, batch[1]),
        lambda output, anything: F.cross_entropy(output, anything[1]),
    ],
    ids=["module", "function", "target", "batch", "other name"],
)
def test_every_way_to_write_a_loss_gives_the_same_number(loss):
    expected = F.cross_entropy(X, Y)
    assert batches.loss_caller(loss)(X, (X, Y)) == expected


def test_a_users_own_loss_module_is_read_by_its_forward():
    class Mine(nn.Module):
        def forward(self, output, batch):
            return F.cross_entropy(output, batch["labels"])

    value = batches.loss_caller(Mine())(X, {"x": X, "labels": Y})
    assert value == F.cross_entropy(X, Y)


@pytest.mark.parametrize(
    "inputs",
    [X, (X, X), {"a": X, "b": [X, 3]}, [(X, "word"), X]],
    ids=["tensor", "tuple", "dict", "list"],
)
def test_a_model_may_write_into_what_it_is_given(inputs):
    def writes(*args, **kwargs):
        found = list(batches.tensors([args, kwargs]))
        for tensor in found:
            assert torch.equal(tensor, before)
            tensor.zero_()
        return len(found)

    before = X.clone()
    number = len(list(batches.tensors(inputs)))
    assert batches.apply(writes, inputs) == number
    assert torch.equal(X, before)


def test_a_loss_that_cannot_be_called_is_refused():
    with pytest.raises(TypeError, match="must be callable"):
        batches.loss_caller("cross_entropy")


def test_inputs_are_spread_as_the_model_wants_them():
    def model(a, b=1):
        return a + b

    assert batches.apply(model, {"a": 1, "b": 2}) == 3
    assert batches.apply(model, (1, 2)) == 3
    assert batches.apply(model, 1) == 2


@pytest.mark.parametrize(
    ("data", "sizes"),
    [
        ((X, Y), [5]),
        ([(X[:3], Y[:3]), (X[3:], Y[3:])], [3, 2]),
        ({"x": X, "labels": Y}, [5]),
        (X, [5]),
        (torch.utils.data.DataLoader(list(zip(X, Y, strict=True)), 2),
         [2, 2, 1]),
    ],
)  # fmt: skip
def test_held_takes_loaders_pairs_dicts_and_tensors(data, sizes):
    assert [batches.size(b) for b in batches.held(data)] == sizes


def test_held_cuts_to_the_limit():
    got = batches.held([(X, Y), (X, Y)], limit=7)
    assert [batches.size(b) for b in got] == [5, 2]
    torch.testing.assert_close(got[1][1], Y[:2])


@pytest.mark.parametrize("empty", [[], (X[:0], Y[:0])])
def test_empty_data_are_refused(empty):
    with pytest.raises(ValueError, match="not a single sample"):
        batches.held(empty)


def test_a_data_set_is_not_a_loader():
    data = torch.utils.data.TensorDataset(X, Y)
    with pytest.raises(TypeError, match="DataLoader"):
        batches.held(data)


def test_only_floats_change_their_type():
    x, y = batches.to((X, Y), dtype=torch.float64)
    assert x.dtype == torch.float64
    assert y.dtype == torch.int64
