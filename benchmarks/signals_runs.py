"""What each advice of the chapter on signals is worth in a training.

    python benchmarks/signals_runs.py

Fifteen hidden layers of 64 units learn from 1,000 images of 14 by 14 pixels
in four epochs. SGD with momentum has eight rates and Adam five; 500 other
images choose among them by two seeds, and eight seeds are tested at the rate
that was chosen. Writes ``dldna/stored/signals_runs.json``.
"""

import time

import numpy as np
import torch
from torch import nn

from dldna import init, training
from dldna.data import book_dataset
from dldna.stored import store

DEPTH, WIDTH, PIXELS = 15, 64, 196
BATCH, EPOCHS = 64, 4
FIT, VALID, TEST = slice(0, 1_000), slice(2_000, 2_500), slice(0, 1_000)
CHOOSE, SEEDS = range(2), range(8)
LOW = 10.0 ** np.arange(-4, -0.25, 0.5)
RULES = {
    "sgd": (LOW, {"momentum": 0.9}),
    "adam": (LOW[1:6], {}),
}
BIAS = 0.3
EDGE = init.critical_sigma_w("tanh", BIAS)


class Block(nn.Module):
    """x + s f(x), with f a ReLU and a layer."""

    def __init__(self, scale: float):
        super().__init__()
        self.layer, self.scale = nn.Linear(WIDTH, WIDTH), scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.scale * self.layer(torch.relu(x))


def plain(between) -> nn.Sequential:
    """Fifteen hidden layers; ``between`` makes what stands behind each."""
    layers = [nn.Flatten(), nn.Linear(PIXELS, WIDTH), *between()]
    for _ in range(DEPTH - 1):
        layers += [nn.Linear(WIDTH, WIDTH), *between()]
    return nn.Sequential(*layers, nn.Linear(WIDTH, 10))


def branches(scale: float) -> nn.Sequential:
    """A first layer and fourteen residual blocks."""
    blocks = [Block(scale) for _ in range(DEPTH - 1)]
    first = [nn.Flatten(), nn.Linear(PIXELS, WIDTH)]
    return nn.Sequential(*first, *blocks, nn.ReLU(), nn.Linear(WIDTH, 10))


def maker(build, scheme="kaiming_normal", bias=0.0, **options):
    """``seed -> network``."""

    def make(seed: int) -> nn.Module:
        net = build()
        init.initialize(net, scheme, seed=seed, **options)
        if bias:
            source = torch.Generator().manual_seed(1_000 + seed)
            with torch.no_grad():
                for layer in net:
                    if isinstance(layer, nn.Linear):
                        noise = torch.randn(layer.bias.shape, generator=source)
                        layer.bias.copy_(bias * noise)
        return net

    return make


def relu():
    return [nn.ReLU()]


def normed():
    return [nn.LayerNorm(WIDTH), nn.ReLU()]


def tanh():
    return [nn.Tanh()]


def scaled(between, scale: float):
    return maker(lambda: plain(between), gain=scale**0.5)


SCALES = {"1/3": 1 / 3, "1": 1.0, "2": 2.0, "4": 4.0}  # n Var(W)
STARTS = {
    **{f"scale {k}": scaled(relu, v) for k, v in SCALES.items()},
    **{f"norm {k}": scaled(normed, SCALES[k]) for k in ("1/3", "2", "4")},
    "fan out": maker(lambda: plain(relu), gain=2**0.5, mode="fan_out"),
    "branch 1": maker(lambda: branches(1.0), gain=2**0.5),
    "branch root": maker(lambda: branches(DEPTH**-0.5), gain=2**0.5),
    "tanh order": maker(lambda: plain(tanh), gain=0.8 * EDGE, bias=BIAS),
    "tanh edge": maker(lambda: plain(tanh), gain=EDGE, bias=BIAS),
    "tanh chaos": maker(lambda: plain(tanh), gain=1.8 * EDGE, bias=BIAS),
    "tanh Gaussian": maker(lambda: plain(tanh), gain=1.0),
    "tanh orthogonal": maker(lambda: plain(tanh), "orthogonal"),
}
RUNS = [("sgd", name) for name in STARTS]
RUNS += [("adam", f"scale {k}") for k in SCALES]


def trained(make, rule: str, rates, seeds, fit):
    """A sweep over rates and seeds."""
    settings = [{"lr": float(r), **RULES[rule][1]} for r in rates]
    return training.sweep(
        make, fit, rule, settings, seeds, batch_size=BATCH, epochs=EPOCHS
    )


def tuned(make, rule: str, fit, valid, test) -> dict:
    """Choose a rate by other images, and test eight seeds at it."""

    def right(runs, images):
        return 100 * runs.judge(make(0), images)[1]

    rates = RULES[rule][0]
    first = trained(make, rule, rates, CHOOSE, fit)
    score = right(first, valid)
    chosen = training.choose_rate(rates, score, better="higher", edge="say")
    more = trained(make, rule, [chosen.rate], SEEDS[len(CHOOSE) :], fit)
    runs = right(first, test)[chosen.index], right(more, test)[0]
    return {
        "valid": score,  # (rates, 2 seeds)
        "rate": chosen.rate,
        "index": chosen.index,
        "words": chosen.words,
        "test": np.concatenate(runs),
    }


def main() -> None:
    """Train all, store the accuracies, print the medians."""
    dataset, half = book_dataset(), nn.AvgPool2d(2)
    fit, valid = (
        (half(dataset.train_x[part]), dataset.train_y[part])
        for part in (FIT, VALID)
    )
    test = half(dataset.test_x[TEST]), dataset.test_y[TEST]
    start, cpu, found = time.perf_counter(), time.process_time(), {}
    for rule, name in RUNS:
        row = tuned(STARTS[name], rule, fit, valid, test)
        found[f"{rule}, {name}"] = row
        accuracy = row["test"]
        print(
            f"{rule:4s} {name:16s} {row['words']:28s} "
            f"{np.median(accuracy):.1f} ({accuracy.min():.1f} to "
            f"{accuracy.max():.1f})",
            flush=True,
        )
    store(
        "signals_runs",
        {
            "rates": {k: list(map(float, v)) for k, (v, _) in RULES.items()},
            "depth": DEPTH,
            "width": WIDTH,
            "images": len(fit[0]),
            "epochs": EPOCHS,
            "batch_size": BATCH,
            "edge": EDGE,
            "runs": found,
        },
        command="python benchmarks/signals_runs.py",
        made="what each advice on signals is worth in a training",
        model="fifteen hidden layers of 64 units",
        data=dataset.name,
        n_samples=len(fit[0]),
        loss="cross_entropy",
        seconds=round(time.perf_counter() - start, 1),
        notes={"cpu_seconds": round(time.process_time() - cpu, 1)},
    )


if __name__ == "__main__":
    main()
