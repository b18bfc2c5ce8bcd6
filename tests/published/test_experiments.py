"""Chapter 5's experiments against the training loop and torch."""

import csv
import datetime
import functools
import math
import re

import pytest
import torch
from torch.nn import functional as F

from dldna import optim, training
from dldna.data import load
from dldna.models import PatchTransformer, make
from dldna.published import experiments as basic
from dldna.published import measurements
from dldna.published.arena import run_advanced_experiment
from dldna.published.experiments import run_basic_experiment
from dldna.published.modern_optimizers import Lion, Sophia
from dldna.published.optimizers import SGD, Adam, BaseOptimizer
from dldna.training.dynamics import Dynamics

KEYS = {
    "epochs",
    "train_loss",
    "train_accuracy",
    "train_gradient_norm",
    "test_loss",
    "test_accuracy",
    "test_gradient_norm",
    "memory_allocated",
    "memory_reserved",
}


@pytest.fixture(scope="module")
def loaders():
    return load("digits").take(300, n_test=100).loaders(50)


@pytest.fixture
def pictures():
    torch.manual_seed(1)
    x, y = torch.randn(6, 3, 32, 32), torch.arange(6)
    return [(x, y)]


def test_the_run_is_that_of_the_training_room(loaders):
    found = run_basic_experiment(
        SGD, *loaders, {"lr": 0.05, "momentum": 0.9}, "cpu", epochs=2
    )
    model = make("mlp", seed=0, act=torch.nn.GELU())
    motion = Dynamics(per_layer=False)
    history = training.train(
        model,
        torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9),
        *loaders,
        epochs=2,
        callbacks=[motion],
    )
    assert set(found) == KEYS
    assert {len(v) for v in found.values()} == {2}
    assert found["epochs"] == [1, 2]
    assert found["train_loss"] == pytest.approx(
        history.train_loss.tolist(), rel=1e-5
    )
    assert found["test_accuracy"] == pytest.approx(
        history.test_accuracy.tolist(), abs=0.011
    )
    norms = motion.record().grad_norm.reshape(2, -1).mean(1)
    assert found["train_gradient_norm"] == pytest.approx(
        norms.tolist(), rel=1e-4
    )
    x = torch.cat([x for x, _ in loaders[1]])
    y = torch.cat([y for _, y in loaders[1]])
    model.zero_grad()
    F.cross_entropy(model(x), y).backward()
    squares = sum(p.grad.square().sum() for p in model.parameters())
    assert found["test_gradient_norm"][-1] == pytest.approx(
        float(squares.sqrt()), rel=1e-3
    )


def curves_of(optimizer, config, loaders, device="cpu"):
    found = run_basic_experiment(optimizer, *loaders, config, device, epochs=2)
    return found["memory_allocated"], found["memory_reserved"]


MIB = 2**20
NUMBERS = sum(p.numel() for p in make("mlp").parameters())


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
@pytest.mark.parametrize(
    ("optimizer", "config", "tensors"),
    [
        (SGD, {"lr": 0.01}, 2),
        (SGD, {"lr": 0.01, "momentum": 0.9}, 3),
        (Lion, {"lr": 1e-4}, 3),
        (Adam, {"lr": 1e-3}, 4),
        (torch.optim.Adam, {"lr": 1e-3}, 4),
    ],
)
def test_memory_is_the_experiments_own(
    loaders, device, optimizer, config, tensors
):
    """Weights, gradients and state, as one counts them by hand."""
    held, kept = curves_of(optimizer, config, loaders, device)
    by_hand = 4 * tensors * NUMBERS / MIB
    assert held == pytest.approx([by_hand] * 2, rel=1e-3)
    # one step keeps at least the activations of its five layers
    widths = 784 + 2 * (256 + 192 + 128 + 64)
    assert kept[0] - held[0] > 0.9 * 50 * widths * 4 / MIB
    assert kept[0] - held[0] < 2 * 50 * (widths + 20) * 4 / MIB


def test_memory_does_not_depend_on_what_ran_before(loaders):
    first = curves_of(SGD, {"lr": 0.01}, loaders)
    ballast = [torch.ones(2**22) for _ in range(4)]  # 64 MiB
    curves_of(Adam, {"lr": 1e-3}, loaders)
    assert curves_of(SGD, {"lr": 0.01}, loaders) == first
    del ballast


class Keeps(BaseOptimizer):
    """A reader's own, with its buffers in a list."""

    def __init__(self, params, lr):
        super().__init__(params, lr)
        self.buffers = [torch.zeros_like(p) for p in self.params]

    def step(self):
        with torch.no_grad():
            for p, b in zip(self.params, self.buffers, strict=True):
                b.mul_(0.9).add_(p.grad)
                p.sub_(self.lr * b)


class Plain:
    """A reader's own that comes from nothing."""

    def __init__(self, params, lr):
        self.weights, self.lr = list(params), lr
        self.buffers = {p: torch.zeros_like(p) for p in self.weights}

    def zero_grad(self):
        for p in self.weights:
            p.grad = None

    def step(self):
        with torch.no_grad():
            for p in self.weights:
                self.buffers[p].mul_(0.9).add_(p.grad)
                p.sub_(self.lr * self.buffers[p])


@pytest.mark.parametrize("mine", [Keeps, Plain])
def test_a_readers_class_runs_and_its_buffers_are_counted(loaders, mine):
    config = {"lr": 0.01}
    found = run_basic_experiment(mine, *loaders, config, "cpu", epochs=2)
    ours = run_basic_experiment(
        SGD, *loaders, config | {"momentum": 0.9}, "cpu", epochs=2
    )
    assert found["train_loss"] == pytest.approx(ours["train_loss"], rel=1e-5)
    assert found["memory_allocated"] == pytest.approx(
        ours["memory_allocated"], rel=1e-3
    )


def test_the_lines_readers_look_for(loaders, pictures, tmp_path, capsys):
    run_basic_experiment(Adam, *loaders, {"lr": 1e-3}, "cpu", epochs=1)
    said = capsys.readouterr().out
    assert "Optimizer: Adam\nInitial CPU Memory Status:\nAllocated: " in said
    assert "Model Size: 283.9K parameters\n" + "=" * 50 in said
    assert "Final CPU Memory Status:\nPeak Allocated: " in said
    run_advanced_experiment(
        Adam, "cnn", pictures, pictures, {"lr": 1e-3}, "cpu", epochs=1,
        folder=tmp_path,
    )  # fmt: skip
    [file] = tmp_path.iterdir()
    assert f"Results saved to: {file}\n" in capsys.readouterr().out


def test_an_optimizer_half_filled_in_bears_its_name(
    loaders, pictures, tmp_path, capsys
):
    half = functools.partial(SGD, momentum=0.9)
    run_basic_experiment(half, *loaders, {"lr": 0.1}, "cpu", epochs=1)
    assert "Optimizer: SGD\n" in capsys.readouterr().out
    run_advanced_experiment(
        half, "cnn", pictures, pictures, {"lr": 0.1}, "cpu", epochs=1,
        folder=tmp_path,
    )  # fmt: skip
    [file] = tmp_path.iterdir()
    assert file.name.startswith("SGD_cnn_")


def test_a_table_that_is_there_stays(pictures, tmp_path, monkeypatch):
    """Two runs within one second, and a reader's file of that name."""

    class Still(datetime.datetime):
        @classmethod
        def now(cls):
            return cls(2025, 2, 25, 16, 16, 20)

    monkeypatch.setattr("dldna.published.arena.datetime", Still)
    mine = tmp_path / "Adam_cnn_20250225_161620.csv"
    mine.write_text("mine")
    for _ in range(2):
        run_advanced_experiment(
            Adam, "cnn", pictures, pictures, {"lr": 1e-3}, "cpu", epochs=1,
            folder=tmp_path,
        )  # fmt: skip
    assert mine.read_text() == "mine"
    names = sorted(f.name for f in tmp_path.iterdir())
    assert names == [f"{mine.stem}{end}.csv" for end in ("", "_2", "_3")]


WEIGHTS = torch.tensor([1.0, 5.0, 2.0])


@pytest.mark.parametrize(
    "loss",
    [
        F.cross_entropy,
        torch.nn.CrossEntropyLoss(weight=WEIGHTS),
        torch.nn.CrossEntropyLoss(ignore_index=1),
        torch.nn.CrossEntropyLoss(reduction="sum"),
        torch.nn.CrossEntropyLoss(label_smoothing=0.1),
    ],
    ids=["plain", "class weights", "ignored", "sum", "smoothed"],
)
def test_batches_count_as_in_one_batch(loss):
    """Ragged batches, one of them all ignored: the gradient of the whole."""
    torch.manual_seed(2)
    model = torch.nn.Linear(4, 3)
    x, y = torch.randn(7, 4), torch.tensor([1, 1, 0, 2, 0, 1, 2])
    whole = loss(model(x), y)
    whole = whole / 7 if loss is not F.cross_entropy and (
        loss.reduction == "sum") else whole  # fmt: skip
    wanted = torch.autograd.grad(whole, list(model.parameters()))
    length = torch.cat([g.flatten() for g in wanted]).norm().item()
    parts = [(x[a:b], y[a:b]) for a, b in ((0, 2), (2, 3), (3, 7))]
    assert measurements.loss_grad_norm(model, parts, loss) == pytest.approx(
        length, rel=1e-5
    )
    mean = measurements.Mean(loss)
    for a, b in parts:
        mean.add(loss(model(a), b).item(), (a, b))
    assert mean.value == pytest.approx(whole.item(), rel=1e-5)


def test_the_gradient_of_the_test_loss_leaves_the_model_alone(loaders):
    model = make("arena-cnn", in_shape=(1, 32, 32), num_classes=3)
    model.train()
    data = [(torch.randn(4, 1, 32, 32), torch.tensor([0, 1, 2, 0]))]
    before = {k: v.clone() for k, v in model.state_dict().items()}
    norm = measurements.loss_grad_norm(model, data)
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    for k, v in model.state_dict().items():
        assert torch.equal(v, before[k])
    model.eval()
    F.cross_entropy(model(data[0][0]), data[0][1]).backward()
    assert norm == pytest.approx(measurements.grad_norm(model), rel=1e-5)


@pytest.mark.parametrize("optimizer", [Adam, Sophia])
def test_a_cnn_and_its_table(pictures, tmp_path, monkeypatch, optimizer):
    monkeypatch.chdir(tmp_path)
    found = run_advanced_experiment(
        optimizer, "cnn", pictures, pictures, {"lr": 1e-3}, "cpu", epochs=2
    )
    assert set(found) == KEYS
    [file] = tmp_path.iterdir()
    assert re.fullmatch(rf"{optimizer.__name__}_cnn_[\d_]+\.csv", file.name)
    rows = list(csv.DictReader(file.read_text().splitlines()))
    assert [int(r["epoch"]) for r in rows] == [1, 2]
    for key in KEYS:
        column = "epoch" if key == "epochs" else key
        assert [float(r[column]) for r in rows] == pytest.approx(found[key])
    assert list(rows[0])[:3] == ["epoch", "train_loss", "test_loss"]


def test_the_published_sizes():
    with torch.device("meta"):
        cnn = make("arena-cnn", in_shape=(3, 32, 32), num_classes=100)
        big = make("arena-transformer", in_shape=(3, 32, 32), num_classes=100)
    counts = [sum(p.numel() for p in m.parameters()) for m in (cnn, big)]
    assert [round(c / 1e6, 2) for c in counts] == [1.19, 62.10]


def test_the_transformer_is_the_rooms(pictures, tmp_path, monkeypatch):
    asked = []

    def small(name, seed, **options):
        asked.append((name, options))
        return PatchTransformer(**options, patch=16, width=16)

    monkeypatch.setattr("dldna.published.arena.make", small)
    found = run_advanced_experiment(
        Sophia, "transformer", pictures, pictures, {}, "cpu", epochs=1,
        folder=tmp_path,
    )  # fmt: skip
    options = {"in_shape": (3, 32, 32), "num_classes": 6}
    assert asked == [("arena-transformer", options)]
    assert math.isfinite(found["test_loss"][0])


def test_an_unknown_model_type_is_met_with_the_known_ones(pictures):
    with pytest.raises(ValueError, match="did you mean 'cnn'"):
        run_advanced_experiment(Adam, "cn", pictures, pictures, {}, "cpu")


def test_sophia_sees_the_curvature_without_being_told(loaders):
    """No warning, and the steps of the room's own SophiaH."""
    config = {"lr": 1e-3, "rho": 0.04, "k": 2}
    found = run_basic_experiment(Sophia, *loaders, config, "cpu", epochs=1)
    model = make("mlp", seed=0, act=torch.nn.GELU())
    history = training.train(
        model,
        optim.SophiaH(
            model.parameters(),
            lr=1e-3,
            betas=(0.965, 0.99),
            gamma=0.04,
            weight_decay=0.0,
            k=2,
        ),
        *loaders,
        epochs=1,
    )
    assert found["test_loss"] == pytest.approx(
        history.test_loss.tolist(), rel=1e-6
    )


def test_the_shape_is_read_off_the_loader(loaders):
    assert basic.shape_of(loaders[0]) == ((1, 28, 28), 10)
    torch_loader = torch.utils.data.DataLoader(
        load("digits").loaders(4)[0].dataset, batch_size=1
    )
    assert basic.shape_of(torch_loader)[0] == (1, 28, 28)
