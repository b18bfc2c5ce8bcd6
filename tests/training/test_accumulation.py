"""Several batches to a step; the weights that stay; what both leave alone."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dldna import optim
from dldna.data import Loader, load
from dldna.training import evaluate, load_checkpoint, train
from dldna.training.dynamics import Dynamics


@pytest.fixture(scope="module")
def blobs():
    return load("blobs")


def network(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 3))


def flat(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


STEPPERS = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "SAM": lambda p: optim.SAM(p, lr=0.1, rho=0.05),
    "SophiaH": lambda p: optim.SophiaH(p, lr=0.01, k=2),
    "SophiaG": lambda p: optim.SophiaG(p, lr=0.01, k=2),
    "PAL": lambda p: optim.PAL(p, lr=0.1),
}


@pytest.mark.parametrize("name", STEPPERS)
def test_accumulated_batches_are_one_batch(blobs, name):
    """Ragged ones, too: each counts by its samples."""
    x, y = blobs.train_x[:200].double(), blobs.train_y[:200]
    cuts = [(0, 40), (40, 50), (50, 120), (120, 160), (160, 200)]
    small = [(x[a:b], y[a:b]) for a, b in cuts]
    large = [(x[:120], y[:120]), (x[120:], y[120:])]
    mine, theirs = network().double(), network().double()
    kw = {"epochs": 4, "progress": False, "clip": 0.5}
    a = train(mine, STEPPERS[name](mine.parameters()), small,
              accumulate=3, **kw)  # fmt: skip
    b = train(theirs, STEPPERS[name](theirs.parameters()), large, **kw)
    torch.testing.assert_close(flat(mine), flat(theirs), rtol=1e-9, atol=0)
    assert a.step_loss == pytest.approx(b.step_loss, rel=1e-9)
    assert a.train_loss == pytest.approx(b.train_loss, rel=1e-9)
    assert a.train_accuracy == pytest.approx(b.train_accuracy)
    assert len(a.step_loss) == 8


class Cut(Exception):
    pass


class Pull:
    def __init__(self, after):
        self.after = after

    def on_step(self, state):
        if state.step == self.after:
            raise Cut


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("name", ["SGD", "ScheduleFreeAdamW"])
@pytest.mark.parametrize("test", [True, False])
def test_a_cut_run_ends_bit_for_bit(blobs, tmp_path, name, accumulate, test):
    """Also with the average in the checkpoint, saved in mid-epoch."""

    def go(checkpoint=None, stop=()):
        model = network()
        optimizer = optim.make(name, model.parameters(), lr=0.05)
        loader = Loader(blobs.train_x, blobs.train_y, 240, True, 5)
        train(
            model, optimizer, loader, loader if test else None, epochs=2,
            accumulate=accumulate, checkpoint=checkpoint,
            checkpoint_seconds=0.0, callbacks=stop, progress=False,
        )  # fmt: skip
        return flat(model)

    whole = go()
    path = tmp_path / "run.pt"
    for after in (1, 3):
        with pytest.raises(Cut):
            go(path, [Pull(after)])
    assert torch.equal(go(path), whole)
    if accumulate > 1:
        model = network()
        optimizer = optim.make(name, model.parameters(), lr=0.05)
        with pytest.raises(ValueError, match="accumulate=3, not 1"):
            train(
                model, optimizer, Loader(blobs.train_x, blobs.train_y, 240,
                True, 5), epochs=2, checkpoint=path, progress=False,
            )  # fmt: skip


@pytest.mark.parametrize("theirs", [False, True])
@pytest.mark.parametrize("name", ["ScheduleFreeSGD", "ScheduleFreeAdamW"])
def test_the_weights_that_stay_are_those_that_were_evaluated(
    blobs, tmp_path, name, theirs
):
    package = pytest.importorskip("schedulefree")
    names = {
        "ScheduleFreeSGD": package.SGDScheduleFree,
        "ScheduleFreeAdamW": package.AdamWScheduleFree,
    }
    cls = names[name] if theirs else getattr(optim, name)
    model = network()
    optimizer = cls(model.parameters(), lr=0.05)
    test = blobs.loaders()[1]
    path = tmp_path / "run.pt"
    history = train(
        model, optimizer, *blobs.loaders(64), epochs=3, checkpoint=path,
        progress=False,
    )  # fmt: skip
    loss, accuracy = evaluate(model, test)
    assert history.test_loss[-1] == loss
    assert history.test_accuracy[-1] == accuracy
    saved = load_checkpoint(path)
    held = network()
    held.load_state_dict(saved["model"])
    assert torch.equal(flat(held), flat(model))
    assert evaluate(held, test)[0] == loss
    held.load_state_dict(saved["training_weights"])
    assert not torch.equal(flat(held), flat(model))
    optimizer.train()  # and y is where training goes on from
    torch.testing.assert_close(flat(held), flat(model))


def test_other_optimizers_keep_one_set_of_weights(blobs, tmp_path):
    model = network()
    sgd = torch.optim.SGD(model.parameters(), lr=0.05)
    path = tmp_path / "run.pt"
    train(model, sgd, blobs.loaders()[0], epochs=1, checkpoint=path,
          progress=False)  # fmt: skip
    assert load_checkpoint(path)["training_weights"] is None


def test_a_second_call_trains_on(blobs):
    def go(*epochs):
        model = network()
        optimizer = optim.ScheduleFreeSGD(model.parameters(), lr=0.5)
        loader = [(blobs.train_x, blobs.train_y)]
        for n in epochs:
            train(model, optimizer, loader, epochs=n, progress=False)
        return flat(model)

    torch.testing.assert_close(go(2, 3), go(5), rtol=1e-5, atol=1e-6)


def test_a_plateau_of_steps_is_refused_before_the_run(blobs):
    model = network()
    sgd = torch.optim.SGD(model.parameters(), lr=0.05)
    plateau = optim.schedule("plateau", sgd)
    before = copy.deepcopy(model)
    with pytest.raises(ValueError, match="scheduler_every='epoch'"):
        train(model, sgd, blobs.loaders()[0], epochs=1, scheduler=plateau,
              scheduler_every="step")  # fmt: skip
    assert torch.equal(flat(before), flat(model))


def test_callbacks_see_the_joined_batch(blobs):
    seen = []

    class Look:
        def on_step(self, state):
            seen.append((state.step, state.batch, state.loss))

    x, y = blobs.train_x[:90], blobs.train_y[:90]
    model = network()
    sgd = torch.optim.SGD(model.parameters(), lr=0.0)
    watch = Dynamics()
    loader = [(x[:50], y[:50]), (x[50:80], y[50:80]), (x[80:], y[80:])]
    train(model, sgd, loader, epochs=1, accumulate=2,
          callbacks=[Look(), watch], progress=False)  # fmt: skip
    assert [step for step, _, _ in seen] == [1, 2]
    assert torch.equal(seen[0][1][0], x[:80])
    loss = F.cross_entropy(model(x[:80]), y[:80]).item()
    assert math.isclose(seen[0][2], loss, rel_tol=1e-6)
    assert abs(watch.record().loss_improvement).max() < 1e-6
    words = [
        {"x": torch.zeros(2, 3), "labels": torch.zeros(2, dtype=torch.long)},
        {"x": torch.zeros(1, 2), "labels": torch.zeros(1, dtype=torch.long)},
    ]

    class Sum(nn.Linear):
        def forward(self, x):
            return super().forward(x.sum(1, keepdim=True))

    model = Sum(1, 3)
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    train(model, sgd, words, epochs=1, accumulate=2,
          callbacks=[Look(), Dynamics()],
          loss_fn=lambda out, batch: F.cross_entropy(out, batch["labels"]),
          progress=False)  # fmt: skip
    assert seen[-1][1] is None
