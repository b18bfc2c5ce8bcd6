"""The training loop beside loops written out by hand."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from dldna import training
from dldna.data import Loader, load
from dldna.models import make
from dldna.training import Callback, DivergenceWarning, evaluate, train

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
}


@pytest.fixture(scope="module")
def blobs():
    return load("blobs")


def network(seed=0, dropout=0.0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Linear(2, 16),
            nn.Tanh(),
            nn.Dropout(dropout),
            nn.Linear(16, 3),
        )


def weights(model):
    return torch.cat([v.flatten() for v in model.state_dict().values()])


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("clip", [None, 0.1])
def test_it_is_the_loop_one_would_write(blobs, name, clip):
    mine, theirs = network(), network()
    optimizer = OPTIMIZERS[name](mine.parameters())
    history = train(
        mine, optimizer, *blobs.loaders(64, seed=3), epochs=3, clip=clip
    )

    optimizer = OPTIMIZERS[name](theirs.parameters())
    loader = Loader(blobs.train_x, blobs.train_y, 64, True, 3)
    losses, test = [], []
    for _ in range(3):
        for x, y in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(theirs(x), y)
            loss.backward()
            if clip is not None:
                nn.utils.clip_grad_norm_(theirs.parameters(), clip)
            optimizer.step()
            losses.append(loss.item())
        answers = theirs(blobs.test_x).argmax(1)
        test.append(float((answers == blobs.test_y).double().mean()))
    assert torch.equal(weights(mine), weights(theirs))
    assert history.step_loss.tolist() == losses
    assert history.test_accuracy.tolist() == test
    means = np.reshape(losses, (3, -1)).mean(1)
    np.testing.assert_allclose(history.train_loss, means, rtol=1e-12)
    assert history.epochs.tolist() == [1, 2, 3]
    assert history.provenance.n_params == 99


def test_losses_of_unequal_batches_are_weighted(blobs):
    loader = Loader(blobs.test_x, blobs.test_y, 100)  # 100, 100, 40
    model = network()
    loss, accuracy = evaluate(model, loader)
    output = model(blobs.test_x).double()
    expected = F.cross_entropy(output, blobs.test_y).item()
    assert loss == pytest.approx(expected, rel=1e-6)
    right = (output.argmax(1) == blobs.test_y).double().mean()
    assert accuracy == pytest.approx(float(right))
    history = train(
        model, torch.optim.SGD(model.parameters(), lr=1e-12), loader, epochs=1
    )
    assert history.train_loss[0] == pytest.approx(expected, rel=1e-6)
    assert history.train_accuracy[0] == pytest.approx(accuracy)
    assert np.isnan(history.test_loss).all()


def test_evaluate_leaves_everything_as_it_was(blobs):
    model = nn.Sequential(
        nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3)
    )
    model[1].eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = torch.random.get_rng_state()
    loader = DataLoader(TensorDataset(blobs.test_x, blobs.test_y), 50, True)
    first = evaluate(model, loader)
    still = copy.deepcopy(model).eval()  # no dropout, running statistics
    expected = F.cross_entropy(still(blobs.test_x), blobs.test_y).item()
    assert first[0] == pytest.approx(expected, rel=1e-5)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    assert torch.equal(state, torch.random.get_rng_state())
    assert [m.training for m in model.modules()] == [
        True,
        True,
        False,
        True,
        True,
    ]
    assert model[0].weight.grad is None


def test_testing_does_not_change_training(blobs):
    results = []
    for test in (None, blobs.loaders()[1]):
        model = network(dropout=0.3)
        optimizer = OPTIMIZERS["sgd"](model.parameters())
        train(model, optimizer, blobs.loaders(64)[0], test, epochs=2)
        results.append(weights(model))
    assert torch.equal(*results)


def test_global_random_state_and_mode_are_as_before(blobs):
    model = network(dropout=0.5)
    model[2].eval()
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    train(model, optimizer, blobs.loaders(64)[0], epochs=1)
    assert torch.equal(torch_state, torch.get_rng_state())
    assert np.array_equal(numpy_state[1], np.random.get_state()[1])  # noqa: NPY002
    assert model.training
    assert not model[2].training


def test_the_seed_decides_dropout(blobs):
    def run(seed):
        model = network(dropout=0.5)
        optimizer = OPTIMIZERS["sgd"](model.parameters())
        train(model, optimizer, blobs.loaders()[0], epochs=1, seed=seed)
        return weights(model)

    torch.manual_seed(1)
    first = run(0)
    torch.manual_seed(2)
    assert torch.equal(first, run(0))
    assert not torch.equal(first, run(1))


class Twice(torch.optim.SGD):
    """Asks for the gradient at two points, and steps with the second."""

    needs_closure = True
    calls = 0

    def step(self, closure):
        with torch.enable_grad():
            loss = closure()
        params = self.param_groups[0]["params"]
        kept = [p.detach().clone() for p in params]
        with torch.no_grad():
            for p in params:
                p.add_(p.grad, alpha=0.05)
        closure()
        with torch.no_grad():
            for p, old in zip(params, kept, strict=True):
                p.copy_(old)
        super().step()
        type(self).calls += 1
        return loss


def test_optimizers_that_need_a_closure_get_one(blobs):
    model, other = network(), network()
    train_loader = blobs.loaders(240)[0]
    history = train(
        model, Twice(model.parameters(), lr=0.1), train_loader, epochs=1
    )
    assert Twice.calls == 4
    for k, (x, y) in enumerate(train_loader.batches(0)):
        loss = F.cross_entropy(other(x), y)
        assert history.step_loss[k] == loss.item()  # at the weights themselves
        grads = torch.autograd.grad(loss, other.parameters())
        up = {
            n: p + 0.05 * g
            for (n, p), g in zip(other.named_parameters(), grads, strict=True)
        }
        far = torch.func.functional_call(other, up, (x,))
        grads = torch.autograd.grad(F.cross_entropy(far, y), list(up.values()))
        with torch.no_grad():
            for p, g in zip(other.parameters(), grads, strict=True):
                p.sub_(g, alpha=0.1)
    torch.testing.assert_close(
        weights(model), weights(other), rtol=1e-5, atol=1e-6
    )


def test_lbfgs_runs(blobs):
    model = network()
    whole = Loader(blobs.train_x, blobs.train_y, 960)
    history = train(
        model, torch.optim.LBFGS(model.parameters()), whole, epochs=5
    )
    assert history.train_loss[-1] < 0.1 * history.train_loss[0]


class Leaning(torch.optim.SGD):
    """Tells what mode it was put into."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.modes = []

    def train(self):
        self.modes.append("train")

    def eval(self):
        self.modes.append("eval")

    def step(self):
        if self.modes[-1] == "train":
            self.modes.append("step")
        return super().step()


def test_optimizers_with_modes_are_switched(blobs):
    model = network()
    optimizer = Leaning(model.parameters(), lr=0.1)
    train(model, optimizer, *blobs.loaders(960), epochs=2)
    epoch = ["train", "step", "eval", "train"]
    assert optimizer.modes == [*epoch * 2, "eval"]


@pytest.mark.parametrize("every", ["epoch", "step"])
def test_schedulers(blobs, every):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    history = train(
        model,
        optimizer,
        blobs.loaders(480)[0],
        epochs=3,
        scheduler=scheduler,
        scheduler_every=every,
    )
    expected = {"epoch": [1, 0.5, 0.25], "step": [0.25, 1 / 16, 1 / 64]}
    assert history.metrics["lr"].tolist() == expected[every]


def test_a_plateau_scheduler_sees_the_test_loss(blobs):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, patience=0, threshold=0.1, eps=0.0
    )
    args = (model, optimizer, *blobs.loaders())
    history = train(*args, epochs=3, scheduler=scheduler)
    assert history.metrics["lr"][-1] < 1e-6
    assert scheduler.best == history.test_loss[0]


# What goes wrong --------------------------------------------------------


def exploding(how="warn", **options):
    data = load("blobs")
    model = network()
    model[1] = nn.ReLU()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e30)
    return model, train(
        model,
        optimizer,
        *data.loaders(96),
        epochs=4,
        on_divergence=how,
        **options,
    )


def test_divergence_is_recorded_and_stops():
    with pytest.warns(DivergenceWarning, match="epoch 1 at step 2: the loss"):
        model, history = exploding()
    assert len(history.epochs) == 1
    assert len(history.step_loss) == 2
    assert not math.isfinite(history.step_loss[-1])
    assert not math.isfinite(history.train_loss[0])
    assert not math.isfinite(history.test_loss[0])
    assert history.provenance.notes["diverged"]["step"] == 2
    _, again = exploding("record")  # silent: warnings are errors here
    assert again.provenance.notes == history.provenance.notes
    with pytest.raises(FloatingPointError, match="smaller lr"):
        exploding("raise")
    assert torch.isfinite(weights(model)).all()  # the step was not taken


def test_a_diverged_run_is_not_taken_up_again(tmp_path):
    path = tmp_path / "run.pt"
    _, first = exploding("record", checkpoint=path)
    _, again = exploding("record", checkpoint=path)
    assert again.provenance.notes == first.provenance.notes
    np.testing.assert_array_equal(again.step_loss, first.step_loss)


@pytest.mark.parametrize("label", [3, -1])
def test_labels_outside_the_classes(blobs, label):
    y = blobs.train_y.clone()
    y[500] = label
    model = network()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    loader = Loader(blobs.train_x, y, 64)
    message = rf"label {label} is outside the 3 classes \(0 to 2\)"
    with pytest.raises(ValueError, match=message):
        train(model, optimizer, loader, epochs=1)
    with pytest.raises(ValueError, match=message):
        evaluate(model, loader)


def test_an_optimizer_s_name_is_not_one(blobs):
    with pytest.raises(TypeError, match="optimizer is a str"):
        train(network(), "adam", [(blobs.train_x, blobs.train_y)], epochs=1)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.int8])
def test_labels_of_few_bits_are_named(blobs, dtype):
    model = network()
    loader = [(blobs.train_x, blobs.train_y.to(dtype))]
    with pytest.raises(TypeError, match=r"give labels\.long\(\)"):
        evaluate(model, loader)
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    with pytest.raises(TypeError, match=r"give labels\.long\(\)"):
        train(model, optimizer, loader, epochs=1)


def test_a_training_does_not_compare_each_with_each():
    model = nn.Linear(4, 1)
    data = [(torch.randn(12, 4), torch.randn(12))]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="compare each with each"):
        train(model, optimizer, data, epochs=1, loss_fn=nn.MSELoss())


def test_losses_of_each_sample_train_by_their_mean(blobs):
    made = {}
    for kind in ("mean", "none"):
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        loss = nn.CrossEntropyLoss(reduction=kind)
        train(
            model, optimizer, [(blobs.train_x, blobs.train_y)], epochs=2,
            loss_fn=loss, progress=False,
        )  # fmt: skip
        made[kind] = torch.cat([p.flatten() for p in model.parameters()])
    torch.testing.assert_close(made["none"], made["mean"])


def test_an_exported_network_is_evaluated(blobs):
    model = network().eval()
    made = torch.export.export(model, (blobs.test_x,), strict=False).module()
    loader = [(blobs.test_x, blobs.test_y)]
    assert evaluate(made, loader) == pytest.approx(evaluate(model, loader))


def test_ignored_labels_are_ignored(blobs):
    y = blobs.test_y.clone()
    y[::2] = -100
    model = network()
    loss, _ = evaluate(model, Loader(blobs.test_x, y, 240))
    half = Loader(blobs.test_x[1::2], y[1::2], 240)
    assert loss == pytest.approx(evaluate(model, half)[0])
    y[y == -100] = 7
    rule = nn.CrossEntropyLoss(ignore_index=7)
    assert evaluate(model, [(blobs.test_x, y)], rule)[0] == pytest.approx(loss)


def test_regression_has_no_accuracy():
    model = nn.Linear(3, 1)
    x = torch.randn(20, 3)
    y = x.sum(1, keepdim=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = Loader(x, y, 5, True)
    history = train(
        model, optimizer, loader, loader, epochs=30, loss_fn=nn.MSELoss()
    )
    assert history.train_loss[-1] < 1e-3 * history.train_loss[0]
    assert np.isnan(history.train_accuracy).all()
    assert math.isnan(evaluate(model, loader, F.mse_loss)[1])


@pytest.mark.full  # torch.export takes seconds to load
def test_an_exported_network_says_that_it_cannot_be_trained():
    x = torch.ones(2, 3)
    net = torch.export.export(torch.nn.Linear(3, 2), (x,)).module()
    sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    loader = [(x, torch.zeros(2).long())]
    with pytest.raises(TypeError, match="train the network that it was"):
        train(net, sgd, loader, epochs=1)
    with pytest.raises(TypeError, match="train the network that it was"):
        training.lr_range(net, sgd, loader, progress=False)


@pytest.mark.parametrize("empty", [[], iter(())])
def test_empty_loaders(blobs, empty):
    model = network()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    with pytest.raises(ValueError, match="training loader is empty"):
        train(model, optimizer, empty, epochs=1)
    with pytest.raises(ValueError, match="loader is empty"):
        evaluate(model, [])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be"),
        ({"epochs": 1, "clip": 0.0}, "clip must be greater"),
        ({"epochs": 1, "scheduler_every": "steps"}, "did you mean 'step'"),
        ({"epochs": 1, "on_divergence": "rise"}, "did you mean 'raise'"),
    ],
)
def test_bad_settings(blobs, options, message):
    model = network()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    with pytest.raises(ValueError, match=message):
        train(model, optimizer, blobs.loaders()[0], **options)


def test_an_optimizer_of_another_model(blobs):
    other = OPTIMIZERS["sgd"](network().parameters())
    with pytest.raises(ValueError, match="none of the model's parameters"):
        train(network(), other, blobs.loaders()[0], epochs=1)


# Those who look in ------------------------------------------------------


class Diary(Callback):
    def __init__(self):
        self.seen = []

    def on_start(self, state):
        self.seen.append(("start", state.step))

    def on_step(self, state):
        self.seen.append((state.epoch, state.step))
        self.last = (state.loss, len(state.batch[0]))

    def on_epoch(self, state):
        state.metrics["norm"] = float(weights(state.model).norm())
        state.stop = state.epoch == 2


def test_callbacks_see_steps_and_add_columns(blobs):
    class OnlySteps:
        n = 0

        def on_step(self, state):
            self.n += 1

    diary, bare = Diary(), OnlySteps()
    model = network()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    history = train(
        model,
        optimizer,
        blobs.loaders(480)[0],
        epochs=5,
        callbacks=[diary, bare],
    )
    steps = [(1, 1), (1, 2), (2, 3), (2, 4)]
    assert diary.seen == [("start", 0), *steps]
    assert diary.last == (history.step_loss[-1], 480)
    assert bare.n == 4
    assert len(history.epochs) == 2  # it asked to stop
    norms = history.metrics["norm"]
    assert norms[-1] == float(weights(model).norm())


def test_a_history_survives_the_disk(blobs, tmp_path):
    model = make("mlp", in_shape=(2,), num_classes=3, hidden=[8])
    optimizer = OPTIMIZERS["adam"](model.parameters())
    history = train(model, optimizer, *blobs.loaders(), epochs=2)
    back = type(history).load(history.save(tmp_path / "run"))
    assert np.array_equal(back.step_loss, history.step_loss)
    assert np.array_equal(back.metrics["lr"], history.metrics["lr"])
    assert back.provenance == history.provenance
