"""What fails is told with what was given, to whom, and what was kept back."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dldna.init.orthogonal import haar
from dldna.landscape import surface, trace
from dldna.objective import Objective
from dldna.params import usable_device
from dldna.training import evaluate, train

X, Y = torch.randn(8, 4), torch.arange(8) % 3


class Needs(nn.Linear):
    """A network that cannot do without labels, and says so as asked."""

    def __init__(self, kind=None):
        super().__init__(4, 3)
        self.kind = kind

    def forward(self, x, labels=None):
        if labels is None and self.kind is not None:
            raise self.kind("labels or decoder_inputs are needed")
        out = super().forward(x)
        loss = None if labels is None else F.cross_entropy(out, labels)
        return {"loss": loss, "logits": out}


class Positional(nn.Linear):
    def forward(self, x, labels):
        return super().forward(x)


def own(output, batch):
    return output["loss"]


def once(net, loss, data):
    sgd = torch.optim.SGD(net.parameters(), 0.1)
    return train(net, sgd, [data], epochs=1, loss_fn=loss)


CALLS = [
    lambda n, l, d: surface(n, l, d, resolution=3),
    trace,
    Objective,
    lambda n, l, d: evaluate(n, [d], l),
    once,
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("net", "loss", "keys", "kind", "says"),
    [
        (Positional(4, 3), F.cross_entropy, "labels", TypeError, "missing 1"),
        (Needs(ValueError), F.cross_entropy, "labels", ValueError, "needed"),
        (Needs(RuntimeError), own, "labels", RuntimeError, "needed"),
        (Needs(KeyError), own, "label", TypeError, "needed"),
        (Needs(AssertionError), own, "y", AssertionError, None),
        (Needs(), own, "labels", TypeError, "not NoneType"),
        (Needs(), lambda o, b: 2 * o["loss"], "labels", TypeError, "operand"),
        (nn.Linear(4, 3), F.cross_entropy, "y", TypeError, "argument 'x'"),
    ],
)
def test_labels_kept_back_are_named(call, net, loss, keys, kind, says):
    net.zero_grad()
    with pytest.raises(kind) as told:
        call(net, loss, {"x": X, keys: Y})
    if says is None:  # what is no error of a call comes as it is
        assert "kept" not in str(told.value)
        return
    assert says in str(told.value)
    back = f"called with 'x', and {keys!r} went to the loss alone"
    assert back in str(told.value)
    asks = "loss_fn='model'" if isinstance(net, (Needs, Positional)) else "**"
    assert asks in str(told.value)


def test_an_error_that_has_nothing_to_do_with_labels_keeps_its_words():
    wide = torch.randn(8, 5)
    for data in (wide, (wide, Y)):
        with pytest.raises(RuntimeError) as told:
            surface(nn.Linear(4, 3), F.cross_entropy, data, resolution=3)
        assert "kept" not in str(told.value)
        assert "forward was called" not in str(told.value)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ((X, Y), r"here a tuple \(Tensor, Tensor\), and the call failed"),
        ([(X, Y)], r"here a tuple \(Tensor, Tensor\), and the call failed"),
        ({"z": X, "labels": Y}, "here a dict of 'z', 'labels', and the call"),
        (X, "returned a Tensor without one.*nn.CrossEntropyLoss"),
    ],
)
def test_a_model_that_computes_no_loss_is_not_asked_for_it(data, says):
    for call in CALLS[:3]:
        with pytest.raises(TypeError, match=says):
            call(nn.Linear(4, 3), "model", data)


# Devices ---------------------------------------------------------------------

ABSENT = ["mps" if torch.cuda.is_available() else "cuda", "meta", "gpu", 0]


@pytest.mark.parametrize("device", ABSENT)
def test_a_device_that_is_not_there_is_refused_before_anything_moves(device):
    net = nn.Linear(4, 3)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    sgd = torch.optim.SGD(net.parameters(), 0.1)
    with pytest.raises(ValueError, match=f"device='{device}'.*take 'cpu'"):
        train(net, sgd, [(X, Y)], epochs=1, device=device)
    with pytest.raises(ValueError, match=f"device='{device}'.*take 'cpu'"):
        haar(3, 3, device=device)
    for key, value in net.state_dict().items():
        assert torch.equal(value, before[key])


def test_a_device_that_is_there_is_taken():
    assert usable_device("cpu") == torch.device("cpu")
    assert usable_device(torch.device("cpu", 0)).type == "cpu"
