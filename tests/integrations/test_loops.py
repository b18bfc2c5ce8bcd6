"""Where an observer's numbers go, and what other loops hand over."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dldna.integrations import CSV, MLflow, Observe, TensorBoard, WandB
from dldna.integrations.loops import bare

X, Y = torch.randn(16, 4), torch.randint(0, 3, (16,))


def network():
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))


def step(model, *optimizers):
    for each in optimizers:
        each.zero_grad()
    loss = F.cross_entropy(model(X), Y)
    loss.backward()
    for each in optimizers:
        each.step()
    return loss


def test_a_csv_file_holds_the_rows(tmp_path):
    sink = CSV(tmp_path / "run.csv")
    observe = Observe((X, Y), F.cross_entropy, every=3, overhead=None,
                      k=0, trace=0, sinks=[sink])  # fmt: skip
    model = network()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    with observe.watch(model, sgd):
        for _ in range(9):
            observe(loss=step(model, sgd))
    table = np.genfromtxt(sink.path, delimiter=",", names=True)
    for name in observe.rows[0]:
        wanted = [row[name] for row in observe.rows]
        np.testing.assert_array_equal(table[name], wanted)
    with pytest.raises(ValueError, match="other columns"):
        sink.log({"loss": 1.0}, 12)
    values = {k: v for k, v in observe.rows[0].items() if k != "step"}
    CSV(sink.path).log(values, 12)
    assert len(sink.path.read_text().splitlines()) == 5


@pytest.mark.parametrize(
    ("module", "package", "call"),
    [
        ("transformers", "transformers", lambda: Observe().for_trainer()),
        ("lightning.pytorch", "lightning", lambda: Observe().for_lightning()),
        ("tensorboard", "tensorboard", lambda: TensorBoard("runs")),
        ("wandb", "wandb", WandB),
        ("mlflow", "mlflow", MLflow),
    ],
)
def test_a_missing_library_is_named(module, package, call, monkeypatch):
    for name in {module, module.partition(".")[0], "pytorch_lightning"}:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=f"pip install {package}"):
        call()


def test_accumulated_batches_are_one_step_for_accelerate():
    model = network()
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    accelerator = SimpleNamespace(
        is_main_process=True,
        sync_gradients=False,
        unwrap_model=lambda wrapped: wrapped.module,
    )
    observe = Observe(every=2, overhead=None)
    after_step = observe.for_accelerate(
        accelerator,
        SimpleNamespace(module=model),
        SimpleNamespace(optimizer=sgd),
    )
    for batch in range(1, 9):
        accelerator.sync_gradients = batch % 2 == 0
        after_step(loss=step(model, sgd))
    assert [row["step"] for row in observe.rows] == [2, 4]
    other = Observe(every=1, overhead=None)
    accelerator.is_main_process = False
    other.for_accelerate(accelerator, None, None)(loss=1.0)
    assert other.rows == []


def test_of_several_optimizers_no_threshold_is_told():
    model = network()
    parts = [
        torch.optim.SGD(p.parameters(), lr=0.1) for p in (model[0], model[2])
    ]
    found = {}
    for optimizers in (parts[:1], parts):
        observe = Observe(
            (X, Y), F.cross_entropy, every=1, overhead=None, k=0, trace=0,
            noise=0,
        )  # fmt: skip
        with observe.watch(model, bare(*optimizers)):
            step(model, *parts)
            observe()
        found[len(optimizers)] = observe.rows[0]["threshold"]
        assert observe.rows[0]["param_change"] > 0
    assert found[1] == pytest.approx(20)
    assert np.isnan(found[2])
