"""Batches of 128 against 8192: what planes through the ends look like.

    python benchmarks/batch_planes.py

A perceptron (784-64-32-10) is trained on all of Fashion-MNIST with Adam,
for equal numbers of epochs, from five seeds and with four rates; for each
batch size the rate with the lowest training loss is kept. Then the loss on
256 training images along ten random directions, raw and filter-normalised,
through each end. Writes ``dldna/stored/batch_planes.json``.
"""

import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from dldna import landscape, params, training
from dldna.data import book_dataset
from dldna.models import SimpleNetwork
from dldna.stored import store

SEEDS, BATCHES, EPOCHS = range(5), (128, 8192), 6
RATES = (3e-4, 1e-3, 3e-3, 1e-2)
EXTENTS = {"random-raw": 0.1, "random": 1.0}
DIRECTIONS, POINTS, IMAGES = range(10), 21, 256


def make_model(seed: int) -> nn.Module:
    """The chapter's network."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return SimpleNetwork(nn.ReLU(), hidden_shape=[64, 32])


def lines(net: nn.Module, batch, way: str) -> np.ndarray:
    """(directions, points) losses."""
    found = landscape.band(
        net, F.cross_entropy, batch, way, seeds=DIRECTIONS,
        extent=EXTENTS[way], resolution=POINTS,
    )  # fmt: skip
    return np.array([found.metrics[f"seed {k}"] for k in DIRECTIONS])


def main() -> None:
    """Train, draw the lines, store."""
    began = time.perf_counter()
    dataset = book_dataset()
    if dataset.name != "FashionMNIST":
        raise SystemExit("this needs Fashion-MNIST")
    batch = (dataset.train_x[:IMAGES], dataset.train_y[:IMAGES])
    kept = {}
    for size in BATCHES:
        run = training.sweep(
            make_model, (dataset.train_x, dataset.train_y), "adam",
            [{"lr": rate} for rate in RATES], SEEDS, batch_size=size,
            epochs=EPOCHS, test=(dataset.test_x, dataset.test_y),
        )  # fmt: skip
        last = run.step_loss[..., -run.steps_per_epoch :].mean(-1)
        best = int(np.median(last, 1).argmin())
        drawn = {way: [] for way in EXTENTS}
        for weights in run.weights[best]:
            net = make_model(0)
            point = params.unflatten(torch.from_numpy(weights), params.of(net))
            net.load_state_dict(point)
            for way in EXTENTS:
                drawn[way].append(lines(net.eval(), batch, way))
        kept[str(size)] = {
            "rate": RATES[best],
            "train_loss": last[best],
            "test_accuracy": run.test_accuracy[best, :, -1],
            "lines": {k: np.round(v, 3) for k, v in drawn.items()},
        }
        print(size, RATES[best], last.mean(1), flush=True)
    store(
        "batch_planes",
        {
            "batches": kept,
            "rates": RATES,
            "epochs": EPOCHS,
            "extents": EXTENTS,
        },
        command="python benchmarks/batch_planes.py",
        made="random directions after small and large batches",
        seed=0,
        model="SimpleNetwork 784-64-32-10",
        n_params=params.count(params.of(make_model(0))),
        data=dataset.name,
        n_samples=len(dataset.train_x),
        loss="cross_entropy",
        seconds=round(time.perf_counter() - began, 1),
    )


if __name__ == "__main__":
    main()
