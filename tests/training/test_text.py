"""Training on windows of tokens: every token counts once, everywhere."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dldna.data import Loader, bits_per_character, load
from dldna.landscape import line
from dldna.models import make
from dldna.training import evaluate, train
from dldna.training.sweep import sweep


@pytest.fixture(scope="module")
def text():
    return load("plays").windows(8).take(50, n_test=21)


def net(seed=0):
    return make("decoder", seed=seed, in_shape=(8,), num_classes=70,
                width=8, depth=1, heads=2)  # fmt: skip


def test_a_run_is_the_plain_loop(text):
    """50 windows in batches of 16: the last batch is smaller."""
    ours, plain = net(), net()
    loader = Loader(text.train_x, text.train_y, 16, shuffle=True, seed=3)
    test = Loader(text.test_x, text.test_y, 16)
    adam = torch.optim.Adam(ours.parameters(), lr=0.01)
    history = train(ours, adam, loader, test, epochs=2, progress=False)
    adam = torch.optim.Adam(plain.parameters(), lr=0.01)
    for epoch in range(2):
        nats, right, tokens = 0.0, 0, 0
        for part in loader.order(epoch).split(16):
            x, y = text.train_x[part], text.train_y[part]
            logits = plain(x)
            p = logits.log_softmax(1).gather(1, y[:, None])
            adam.zero_grad()
            (-p.mean()).backward()
            adam.step()
            nats -= float(p.detach().sum())
            right += int((logits.argmax(1) == y).sum())
            tokens += y.numel()
        assert tokens == 400
        assert history.train_loss[epoch] == pytest.approx(nats / 400, rel=1e-5)
        assert history.train_accuracy[epoch] == right / 400
    for a, b in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        logits = ours(text.test_x)
        nats = F.cross_entropy(logits, text.test_y)
    share = float((logits.argmax(1) == text.test_y).double().mean())
    assert history.test_loss[-1] == pytest.approx(float(nats), rel=1e-6)
    assert history.test_accuracy[-1] == pytest.approx(share, rel=1e-12)
    bits = bits_per_character(history.test_loss)
    assert bits[-1] == pytest.approx(float(nats) / math.log(2), rel=1e-6)


def test_padding_counts_nowhere(text):
    """Rows of different lengths: the mean is over tokens, not rows."""
    x, y = text.test_x, text.test_y.clone()
    y[:5, 3:] = -100
    y[16] = -100  # a whole row
    model = net()
    found = evaluate(model, Loader(x, y, 4))
    with torch.no_grad():
        logits = model(x)
    kept = y != -100
    nats = -logits.log_softmax(1).gather(1, y.clamp(min=0)[:, None])[:, 0]
    assert found[0] == pytest.approx(float(nats[kept].mean()), rel=1e-6)
    right = (logits.argmax(1) == y)[kept].double().mean()
    assert found[1] == pytest.approx(float(right), rel=1e-12)


def test_a_token_outside_the_vocabulary_is_named(text):
    y = text.test_y.clone()
    y[2, 3] = 70
    with pytest.raises(ValueError, match="label 70 is outside the 70"):
        evaluate(net(), Loader(text.test_x, y, 8))


def test_batches_of_any_size_give_one_line(text):
    """And the line's own loss is that of `evaluate`."""
    model, data = net(), (text.test_x, text.test_y)
    lines = [
        line(model, net(1), F.cross_entropy, given, resolution=3)
        for given in (data, Loader(*data, 4), Loader(*data, 21))
    ]
    for found in lines[1:]:
        np.testing.assert_allclose(found.losses, lines[0].losses, rtol=1e-6)
    at = int(np.flatnonzero(lines[0].alphas == 0)[0])
    ours = evaluate(model, Loader(*data, 5))[0]
    assert lines[0].losses[at] == pytest.approx(ours, rel=1e-6)


@pytest.mark.filterwarnings(  # torch 2.4, which is right, and slower
    "ignore:There is a performance drop .*_scaled_dot_product_:UserWarning"
)
def test_a_sweep_is_its_runs_one_by_one(text):
    """Accuracy over all tokens, classes on the second axis."""
    rates, both = (0.1, 1.0), (text.test_x, text.test_y)
    found = sweep(
        net, (text.train_x, text.train_y), "sgd",
        [{"lr": lr} for lr in rates], seeds=[0, 1], batch_size=16, epochs=1,
        test=both,
    )  # fmt: skip
    for i, lr in enumerate(rates):
        for seed in (0, 1):
            model = net(seed)
            sgd = torch.optim.SGD(model.parameters(), lr=lr)
            loader = Loader(text.train_x, text.train_y, 16, True, seed)
            history = train(
                model, sgd, loader, Loader(*both), epochs=1, progress=False
            )
            np.testing.assert_allclose(
                found.step_loss[i, seed], history.step_loss, rtol=1e-5
            )
            assert found.test_loss[i, seed, 0] == pytest.approx(
                history.test_loss[0], rel=1e-5
            )
            assert found.test_accuracy[i, seed, 0] == pytest.approx(
                history.test_accuracy[0], rel=1e-9
            )
