"""Training on a text for so many tokens, beside a plain loop."""

import math

import pytest
import torch
from torch.nn import functional as F

from dldna import data, models, training
from dldna.data.text import text_of
from dldna.optim import WarmupThen
from dldna.training.tokens import train_tokens, windows_anywhere

TEXT = text_of(
    ["".join(chr(97 + k * k % 7) for k in range(1400))], "rule", "a rule"
).windows(8)


def reader():
    torch.manual_seed(0)
    return models.DecoderTransformer(
        len(TEXT.classes), 8, width=8, depth=1, heads=2
    )


def test_it_is_the_plain_loop():
    one, other = reader(), reader()
    adam = torch.optim.Adam(one.parameters(), lr=0.01)
    found = train_tokens(one, adam, TEXT, tokens=20 * 32, batch_size=4,
                         warmup=0.25, marks=4, seed=3)  # fmt: skip
    t = TEXT.tokens["train"]
    order = data.Loader(t[:-8], t[:-8], 4, shuffle=True, seed=3).order(0)
    plain = torch.optim.Adam(other.parameters(), lr=0.01)
    for k in range(20):
        rate = min(1, (k + 1) / 5) * (1 + math.cos(math.pi * k / 20)) / 2
        plain.param_groups[0]["lr"] = 0.01 * rate
        starts = order[4 * k : 4 * k + 4].tolist()
        x = torch.stack([t[s : s + 8] for s in starts])
        y = torch.stack([t[s + 1 : s + 9] for s in starts])
        plain.zero_grad()
        F.cross_entropy(other(x), y).backward()
        plain.step()
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)
    valid = training.evaluate(
        one, data.Loader(TEXT.valid_x, TEXT.valid_y, 128)
    )
    assert found.test_loss.shape == (4,)
    assert found.test_loss[-1] == pytest.approx(valid[0])


def test_it_goes_on_from_its_checkpoint(tmp_path):
    ends = []
    for stop in (False, True):
        file, net = tmp_path / f"{stop}.pt", reader()

        class Asks(training.Callback):
            """Saves at step 6, and breaks off at the next."""

            def on_step(self, state):
                state.save = state.step == 6
                if state.step == 7:
                    raise KeyboardInterrupt

        for callbacks in [[Asks()], []] if stop else [[]]:
            net = reader()
            adam = torch.optim.Adam(net.parameters(), lr=0.01)
            try:
                train_tokens(net, adam, TEXT, tokens=12 * 32, batch_size=4,
                             marks=3, callbacks=callbacks,
                             checkpoint=file)  # fmt: skip
            except KeyboardInterrupt:
                assert file.exists()
        ends.append(torch.cat([p.flatten() for p in net.parameters()]))
    assert torch.equal(*ends)


def test_a_constant_rate_stays():
    factor = WarmupThen(10, 0.2, end="constant")
    assert [factor(k) for k in (0, 1, 2, 9)] == [0.5, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: WarmupThen(5, 1.5), "a share of the steps"),
        (lambda: WarmupThen(5, end="cosin"), "cosine"),
        (lambda: windows_anywhere(torch.arange(4), 4), "hold no window"),
        (
            lambda: train_tokens(reader(), None, TEXT, tokens=50),
            "fewer than 10 batches",
        ),
    ],
)
def test_bad_input_is_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_dropout_drops_in_training_alone():
    torch.manual_seed(0)
    net = models.DecoderTransformer(5, 8, width=8, depth=1, dropout=0.5)
    plain = models.DecoderTransformer(5, 8, width=8, depth=1)
    plain.load_state_dict(net.state_dict())
    x = torch.arange(5)[None]
    assert torch.equal(net.eval()(x), plain(x))
    assert not torch.equal(net.train()(x), net(x))
