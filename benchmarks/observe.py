"""What observing costs and finds in the loops of two libraries.

    python benchmarks/observe.py [--steps 4000] [--overhead 0.05]

A small BERT in Hugging Face's ``Trainer`` and a small convolutional network
in Lightning's, each trained twice from one seed: alone, and with ``Observe``.
The table says what share of the training's time the observer took by its
own clock, and by how much the whole run's processor time grew; how far its
sharpness lies from ARPACK's on plain double backward products, at the
weights that it kept; and whether the two runs are equal bit by bit. A
library that is not installed is left out.
"""

import argparse
import importlib.util
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from _report import write_section
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader, TensorDataset

from dldna._torchvision import torchvision
from dldna.integrations import CSV, Observe
from dldna.landscape import Trajectory


def trainer(steps: int, observe: Observe | None) -> tuple:
    """Train a BERT; the model and the optimizer at the end."""
    import transformers

    torch.manual_seed(0)
    model = transformers.BertForSequenceClassification(
        transformers.BertConfig(
            vocab_size=100, hidden_size=32, num_hidden_layers=1,
            num_attention_heads=2, intermediate_size=64, num_labels=3,
        )
    )  # fmt: skip
    batch = sentences()
    data = [
        {k: v[i] for k, v in batch.items()}
        for i in range(len(batch["labels"]))
    ]
    settings = transformers.TrainingArguments(
        output_dir=tempfile.mkdtemp(), max_steps=steps, use_cpu=True,
        per_device_train_batch_size=64, learning_rate=3e-4, report_to=[],
        save_strategy="no", logging_strategy="no", disable_tqdm=True,
        dataloader_pin_memory=False,
    )  # fmt: skip
    callbacks = [] if observe is None else [observe.for_trainer()]
    run = transformers.Trainer(
        model, settings, train_dataset=data, callbacks=callbacks
    )
    run.train()
    return model, run.optimizer


def sentences(count: int = 1024) -> dict:
    """Words at random; the label counts those below a bound."""
    source = torch.Generator().manual_seed(1)
    words = torch.randint(0, 100, (count, 12), generator=source)
    labels = ((words < 30).sum(1) // 2 - 1).clamp(0, 2)
    return {"input_ids": words, "labels": labels}


def lightning(steps: int, observe: Observe | None) -> tuple:
    """Train a convolutional network; model and optimizer at the end."""
    import lightning.pytorch as pl

    class Net(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(
                nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
                nn.MaxPool2d(2), nn.Conv2d(16, 32, 3), nn.ReLU(),
                nn.Flatten(), nn.Dropout(0.2), nn.Linear(32 * 4, 10),
            )  # fmt: skip

        def forward(self, x):
            return self.layers(x)

        def training_step(self, batch, _):
            return F.cross_entropy(self(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)

    torch.manual_seed(0)
    model = Net()
    callbacks = [] if observe is None else [observe.for_lightning()]
    run = pl.Trainer(
        max_steps=steps, accelerator="cpu", devices=1, logger=False,
        enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=callbacks,
        default_root_dir=tempfile.mkdtemp(),
    )  # fmt: skip
    run.fit(model, DataLoader(TensorDataset(*digits()), 128, shuffle=True))
    return model, run.optimizers[0]


def digits() -> tuple:
    """The digits of scikit-learn, 8 by 8."""
    from sklearn.datasets import load_digits

    found = load_digits()
    images = torch.from_numpy(found.images).float()[:, None] / 16
    return images, torch.from_numpy(found.target)


def arpack(model: nn.Module, loss: callable) -> float:
    """Largest eigenvalue of the Hessian, in float64, by nothing of ours."""
    model = model.double().eval()
    free = [p for p in model.parameters() if p.requires_grad]
    with sdpa_kernel(SDPBackend.MATH):  # the only one with two derivatives
        value = loss(model)
    slopes = torch.autograd.grad(value, free, create_graph=True)
    slope = torch.cat([g.reshape(-1) for g in slopes])

    def product(v):
        v = torch.from_numpy(np.asarray(v).ravel())
        found = torch.autograd.grad(slope @ v, free, retain_graph=True)
        return torch.cat([g.reshape(-1) for g in found]).numpy()

    shape = (len(slope), len(slope))
    matrix = LinearOperator(shape, matvec=product, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(len(slope))
    return float(eigsh(matrix, 1, which="LA", v0=start, tol=1e-6)[0][0])


def left(model: nn.Module, optimizer) -> list:
    """All that a run leaves behind."""
    states = [v for s in optimizer.state.values() for v in s.values()]
    tensors = [*model.state_dict().values(), *states, torch.get_rng_state()]
    return [torch.as_tensor(t) for t in tensors if t is not None]


def compared(name: str, steps: int, overhead: float) -> str:
    """A row of the table."""
    train = {"Trainer": trainer, "Lightning": lightning}[name]
    if name == "Trainer":
        held, loss_fn = {k: v[:16] for k, v in sentences().items()}, "model"
        loss = lambda model: model(**held).loss  # noqa: E731
    else:
        x, y = (t[:32] for t in digits())
        held, loss_fn = (x, y), F.cross_entropy
        loss = lambda model: F.cross_entropy(model(x.double()), y)  # noqa: E731
    folder = Path(tempfile.mkdtemp())
    observe = Observe(
        held, loss_fn, every=10, overhead=overhead, folder=folder / "run",
        sinks=[CSV(folder / "run.csv")],
    )  # fmt: skip
    train(20, None)  # what is set up once
    began = time.process_time()
    alone = left(*train(steps, None))
    plain = time.process_time() - began
    began = time.process_time()
    model, optimizer = train(steps, observe)
    watched = time.process_time() - began
    ends = left(model, optimizer)
    equal = len(ends) == len(alone) and all(map(torch.equal, ends, alone))
    run, gaps = Trajectory(folder / "run"), []
    assert run.steps.tolist()[1:] == [row["step"] for row in observe.rows]
    for number, row in enumerate(observe.rows, 1):
        weights, buffers = run.state(number)
        model.load_state_dict(weights | buffers, strict=False)
        gaps.append(abs(row["sharpness"] / arpack(model, loss) - 1))
        model.float()
    sharp = [row["sharpness"] for row in observe.rows] or [np.nan]
    print(observe.record().provenance.notes)
    size = sum(p.numel() for p in model.parameters())
    return (
        f"| {name} | {size:,} | {steps:,} | {plain:.0f} | "
        f"{observe.share.taken:.1%} | {watched / plain - 1:+.1%} | "
        f"{len(observe.rows)} of {observe.due} | {observe.share.cost:.2f} | "
        f"{min(sharp):.3g} to {max(sharp):.3g} | "
        f"{max(gaps, default=np.nan):.1e} | "
        f"{'yes' if equal else 'NO'} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--overhead", type=float, default=0.05)
    parser.add_argument("--only", choices=("Trainer", "Lightning"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    torchvision()  # which both libraries import
    rows = []
    for name, package in (
        ("Trainer", "transformers"),
        ("Lightning", "lightning"),
    ):
        if importlib.util.find_spec(package) is None:
            print(f"{package} is not installed: left out")
        elif given.only in (None, name):
            rows.append(compared(name, given.steps, given.overhead))
            print(rows[-1])
    if len(rows) < 2:
        return
    head = (
        "| loop | parameters | steps | alone, s | taken, own clock | "
        "processor time | measured | each, s | sharpness | "
        "from ARPACK, rel. | bits equal |"
    )
    rule = "|" + "---|" * (head.count("|") - 1)
    text = (
        "## Observing the loops of others\n\n"
        f"`Observe(every=10, overhead={given.overhead:g})` with all its "
        "measurements and a checkpoint each; torch "
        f"{torch.__version__}, 1 thread. Processor time is that of the whole "
        "run with the observer over that without, one run each: on a busy "
        "machine two equal runs differ by more than the share.\n\n"
    )
    write_section("observe", text + "\n".join([head, rule, *rows]))


if __name__ == "__main__":
    main()
