"""The observer in the loops and trackers of others, each the real one."""

import importlib.util
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from dldna._torchvision import torchvision
from dldna.integrations import MLflow, Observe, TensorBoard, WandB
from dldna.landscape import Trajectory, top_eigenpairs

pytestmark = pytest.mark.filterwarnings("ignore")  # what they say is theirs
X = torch.randn(48, 6, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long() + (X[:, 1] > 0).long()
IDS = torch.randint(1, 40, (48, 8), generator=torch.Generator().manual_seed(1))


def seeded():
    torch.manual_seed(3), random.seed(3), np.random.seed(3)  # noqa: NPY002


@pytest.fixture(autouse=True, scope="module")
def _torchvision():
    """The libraries import it where it is installed."""
    if importlib.util.find_spec("torchvision"):
        torchvision()


def transformers():
    module = pytest.importorskip(
        "transformers",
        reason="transformers is not installed: pip install transformers",
        exc_type=ImportError,
    )
    pytest.importorskip("accelerate", reason="pip install accelerate")
    return module


def lightning():
    return pytest.importorskip(
        "lightning.pytorch",
        reason="Lightning is not installed: pip install lightning",
    )


def reader():
    """A small BERT, with dropout, that returns its loss."""
    library = transformers()
    config = library.BertConfig(
        vocab_size=40, hidden_size=8, num_hidden_layers=1, num_labels=3,
        num_attention_heads=2, intermediate_size=8, max_position_embeddings=8,
    )  # fmt: skip
    return library.BertForSequenceClassification(config)


def by_trainer(observe, folder, steps=6, accumulate=1):
    library = transformers()
    seeded()
    model = reader()
    rows = [{"input_ids": x, "labels": y} for x, y in zip(IDS, Y, strict=True)]
    settings = library.TrainingArguments(
        output_dir=str(folder), max_steps=steps, save_strategy="no",
        per_device_train_batch_size=4, use_cpu=True, report_to=[],
        disable_tqdm=True, learning_rate=1e-2, logging_strategy="no",
        gradient_accumulation_steps=accumulate, dataloader_pin_memory=False,
    )  # fmt: skip
    trainer = library.Trainer(
        model,
        settings,
        train_dataset=rows,
        callbacks=[] if observe is None else [observe.for_trainer()],
    )
    trainer.train()
    return model, trainer.optimizer


def lightning_module():
    class Net(lightning().LightningModule):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(
                nn.Linear(6, 8),
                nn.BatchNorm1d(8),
                nn.Tanh(),
                nn.Dropout(0.3),
                nn.Linear(8, 3),
            )

        def forward(self, x):
            return self.layers(x)

        def training_step(self, batch, number):
            return F.cross_entropy(self(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)

    return Net()


def by_lightning(observe, folder, steps=6, accumulate=1):
    seeded()
    model = lightning_module()
    trainer = lightning().Trainer(
        max_steps=steps, accelerator="cpu", logger=False, devices=1,
        enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, accumulate_grad_batches=accumulate,
        default_root_dir=str(folder),
        callbacks=[] if observe is None else [observe.for_lightning()],
    )  # fmt: skip
    trainer.fit(model, DataLoader(TensorDataset(X, Y), 8, shuffle=True))
    return model, trainer.optimizers[0]


def by_accelerate(observe, folder, steps=6, accumulate=1):
    accelerate = pytest.importorskip(
        "accelerate",
        reason="accelerate is not installed: pip install accelerate",
    )
    seeded()
    accelerator = accelerate.Accelerator(
        cpu=True, gradient_accumulation_steps=accumulate
    )
    net = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.3), nn.Linear(8, 3))
    model, optimizer, loader = accelerator.prepare(
        net,
        torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9),
        DataLoader(TensorDataset(X, Y), 8, shuffle=True),
    )
    done = None
    if observe is not None:
        done = observe.for_accelerate(accelerator, model, optimizer)
    for _ in range(steps * accumulate // len(loader)):
        for x, y in loader:
            with accelerator.accumulate(model):
                loss = F.cross_entropy(model(x), y)
                accelerator.backward(loss)
                optimizer.step()
                if observe is not None:
                    done(loss=loss)
                optimizer.zero_grad()
    if observe is not None:
        observe.close()
    return net, optimizer.optimizer


HELD = {
    by_trainer: ({"input_ids": IDS[:16], "labels": Y[:16]}, "model"),
    by_lightning: ((X[:16], Y[:16]), F.cross_entropy),
    by_accelerate: ((X[:16], Y[:16]), F.cross_entropy),
}


def state_of(model, optimizer):
    """All that a run leaves, in comparable pieces."""
    return [
        *model.state_dict().values(),
        *(
            torch.as_tensor(value)
            for each in optimizer.state.values()
            for value in each.values()
            if value is not None
        ),
        torch.get_rng_state(),
        torch.from_numpy(np.random.get_state()[1].astype(int)),  # noqa: NPY002
        torch.tensor(random.getstate()[1]),
        torch.tensor([m.training for m in model.modules()]),
    ]


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("loop", list(HELD), ids=lambda f: f.__name__)
def test_a_run_is_bit_for_bit_the_one_without(loop, accumulate, tmp_path):
    alone = state_of(*loop(None, tmp_path, accumulate=accumulate))
    data, loss_fn = HELD[loop]
    observe = Observe(
        data, loss_fn, every=3, overhead=None, folder=tmp_path / "run",
        tol=1e-4,
    )  # fmt: skip
    model, optimizer = loop(observe, tmp_path, accumulate=accumulate)
    assert not observe.errors
    assert [row["step"] for row in observe.rows] == [3, 6]
    watched = state_of(model, optimizer)
    assert len(alone) == len(watched)
    for a, b in zip(alone, watched, strict=True):
        assert torch.equal(a, b)
    # What it says of a step, beside the weights that were kept there.
    run = Trajectory(tmp_path / "run")
    assert run.steps.tolist() == [0, 3, 6]
    for number, row in enumerate(observe.rows, 1):
        weights, buffers = run.state(number)
        model.load_state_dict(weights | buffers, strict=False)
        top = top_eigenpairs(
            model, loss_fn, data, k=1, which="largest", tol=1e-4
        )
        assert row["sharpness"] == pytest.approx(top.eigenvalues[0], rel=1e-3)
        for name in ("param_change", "grad_norm", "trace"):
            assert np.isfinite(row[name])
        assert -1 <= row["cosine"] <= 1
        assert np.isnan(row["loss"]) == (loop is by_trainer)
    kind = observe.record().threshold_of
    plain = loop is not by_trainer
    assert kind == ("sharpness" if plain else "preconditioned sharpness")


def test_lightning_s_loss_of_a_step_is_the_mean_of_its_batches(
    tmp_path, monkeypatch
):
    seen, plain = [], F.cross_entropy

    def kept(*args):
        seen.append(plain(*args))
        return seen[-1]

    monkeypatch.setattr(F, "cross_entropy", kept)
    observe = Observe(every=1, overhead=None)
    by_lightning(observe, tmp_path, steps=3, accumulate=2)
    means = torch.stack(seen).view(3, 2).mean(1)
    found = torch.tensor([row["loss"] for row in observe.rows])
    torch.testing.assert_close(found, means.detach())


# Sinks ---------------------------------------------------------------------


def observed(sink):
    observe = Observe(
        (X, Y), F.cross_entropy, every=2, overhead=None, sinks=[sink]
    )
    model = nn.Linear(6, 3)
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    with observe.watch(model, sgd):
        for _ in range(4):
            sgd.zero_grad()
            loss = F.cross_entropy(model(X), Y)
            loss.backward()
            sgd.step()
            observe(loss=loss)
    assert not observe.errors
    return observe.rows


def test_tensorboard_reads_what_was_logged(tmp_path):
    pytest.importorskip("tensorboard", reason="pip install tensorboard")
    from tensorboard.backend.event_processing import event_accumulator

    rows = observed(TensorBoard(tmp_path))
    events = event_accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    for name in ("sharpness", "loss", "trace"):
        found = events.Scalars(f"observe/{name}")
        assert [e.step for e in found] == [2, 4]
        wanted = [row[name] for row in rows]
        np.testing.assert_allclose([e.value for e in found], wanted, rtol=1e-6)


def test_wandb_has_what_was_logged(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb", reason="pip install wandb")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"wandb\.init"):
        WandB()
    with wandb.init(mode="offline", project="observe") as run:
        run.log({"loss": 1.0})  # the run's own
        rows = observed(WandB())
        summary = dict(run.summary)
    for name in ("sharpness", "loss", "trace", "step"):
        assert summary[f"observe/{name}"] == pytest.approx(rows[-1][name])
    assert summary["loss"] == 1.0
    assert list((tmp_path / "wandb").glob("offline-run-*/*.wandb"))


def test_mlflow_has_what_was_logged(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="pip install mlflow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    with pytest.raises(ValueError, match=r"start_run"):
        MLflow()
    mlflow.set_tracking_uri((tmp_path / "mlruns").as_uri())
    with mlflow.start_run() as run:
        rows = observed(MLflow())
    client = mlflow.MlflowClient()
    for name in ("sharpness", "loss", "trace"):
        found = client.get_metric_history(run.info.run_id, f"observe/{name}")
        assert [(m.step, m.value) for m in found] == [
            (row["step"], row[name]) for row in rows
        ]
