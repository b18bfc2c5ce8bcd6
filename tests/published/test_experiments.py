"""Chapter 5's experiments against the training loop and torch."""

import csv
import math
import re

import pytest
import torch
from torch.nn import functional as F

from dldna import optim, training
from dldna.data import load
from dldna.models import PatchTransformer, make
from dldna.published import experiments as basic
from dldna.published import watch
from dldna.published.arena import run_advanced_experiment
from dldna.published.experiments import run_basic_experiment
from dldna.published.modern import Sophia
from dldna.published.optimizers import SGD, Adam
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
    model = make("mlp", seed=0)
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


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
def test_memory_is_measured_without_a_gpu(loaders, device):
    found = run_basic_experiment(
        Adam, *loaders, {"lr": 1e-3}, device, epochs=1
    )
    [now], [most] = found["memory_allocated"], found["memory_reserved"]
    assert 50 < now <= most < 1e5


def test_the_gradient_of_the_test_loss_leaves_the_model_alone(loaders):
    model = make("arena-cnn", in_shape=(1, 32, 32), num_classes=3)
    model.train()
    data = [(torch.randn(4, 1, 32, 32), torch.tensor([0, 1, 2, 0]))]
    before = {k: v.clone() for k, v in model.state_dict().items()}
    norm = watch.loss_grad_norm(model, data)
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    for k, v in model.state_dict().items():
        assert torch.equal(v, before[k])
    model.eval()
    F.cross_entropy(model(data[0][0]), data[0][1]).backward()
    assert norm == pytest.approx(watch.grad_norm(model), rel=1e-5)


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
    assert [int(r["epochs"]) for r in rows] == [1, 2]
    for key in KEYS:
        assert [float(r[key]) for r in rows] == pytest.approx(found[key])


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
    model = make("mlp", seed=0)
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
