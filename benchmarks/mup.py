"""Does the best learning rate stay put as a network grows wider?

    python benchmarks/mup.py

Adam on a perceptron 49-n-n-10 with ReLU, for widths n from 64 to 1024: the
standard parametrisation (Kaiming, one rate for all) beside muP. Nine rates,
five seeds each. Images are averaged down to 7 x 7. What counts is the loss
over the whole training set after the last step. Writes
``dldna/stored/mup.json``.
"""

import time

import numpy as np
from torch import nn
from torch.nn.functional import avg_pool2d

from dldna import init, training
from dldna.data import book_dataset
from dldna.stored import store

SEEDS = range(5)
BASE, WIDTHS = 64, (64, 128, 256, 512, 1024)
RATES = 2.0 ** np.arange(-12, -3)
IMAGES, BATCH, EPOCHS = 2048, 64, 3


def network(width: int) -> nn.Module:
    """Two hidden layers of one width."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(49, width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, 10),
    )


def maker(kind: str, width: int):
    """``seed -> network`` of one parametrisation."""

    def make(seed: int) -> nn.Module:
        model = network(width)
        if kind == "mup":
            init.mup(model, network(BASE), gain=2**0.5, seed=seed)
        else:
            init.initialize(model, "kaiming_normal", seed=seed)
        return model

    return make


def losses(kind: str, width: int, x, y) -> np.ndarray:
    """(rates, seeds) final training loss."""
    factors = None
    if kind == "mup":
        roles = init.mup_roles(network(width), network(BASE))
        factors = {name: role.lr("adam") for name, role in roles.items()}
    most = max(1, 9 * 512 // width // 2)  # rates at once, for memory
    found = []
    for i in range(0, len(RATES), most):
        run = training.sweep(
            maker(kind, width),
            (x, y),
            "adam",
            [{"lr": float(rate)} for rate in RATES[i : i + most]],
            SEEDS,
            batch_size=BATCH,
            epochs=EPOCHS,
            test=(x, y),
            lr_factors=factors,
        )
        found.append(run.test_loss[:, :, -1])
    return np.concatenate(found)


def main() -> None:
    """Run all widths, store the losses, print where each is lowest."""
    dataset = book_dataset()
    dataset = dataset.take(min(IMAGES, len(dataset.train_x)))
    x, y = avg_pool2d(dataset.train_x, 4), dataset.train_y
    start, cpu = time.perf_counter(), time.process_time()
    table = {"standard": {}, "mup": {}}
    for width in WIDTHS:
        for kind, rows in table.items():
            rows[str(width)] = got = losses(kind, width, x, y)
            best = np.log(got).mean(1).argmin()
            print(f"{kind:9s} {width:5d} best rate {RATES[best]:.5f}")
    store(
        "mup",
        {
            "widths": WIDTHS,
            "rates": RATES,
            "seeds": list(SEEDS),
            "batch_size": BATCH,
            "epochs": EPOCHS,
            "base": BASE,
            "loss": table,
        },
        command="python benchmarks/mup.py",
        made="training loss by width and rate, Adam",
        model="perceptron 49-n-n-10, ReLU",
        data=dataset.name,
        n_samples=len(x),
        loss="cross_entropy",
        seconds=round(time.perf_counter() - start, 1),
        notes={"cpu_seconds": round(time.process_time() - cpu, 1)},
    )


if __name__ == "__main__":
    main()
