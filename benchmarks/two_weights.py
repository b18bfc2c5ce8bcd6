"""Paths of two weights, all at once and one by one; and the trained nets.

    python benchmarks/two_weights.py            # times, into RESULTS.md
    python benchmarks/two_weights.py --store    # trains the toy networks

The slice is the toy regression's, two weights between the first and the
second hidden layer free. Four optimizers x 1,000 starts x 200 epochs;
beside it the same paths one by one, by a plain loop with automatic
differentiation and ``torch.optim``, of which a part is timed, in turns,
and scaled up. The end points of both are compared.
"""

import argparse
import platform
import statistics
import time

import torch
from _report import write_section
from torch.nn import functional as F

from dldna import landscape, training
from dldna.data import Loader
from dldna.stored import store

SEEDS = range(5)
ACTIVATIONS = ("relu", "sigmoid", "tanh")
RATES = {"sgd": 0.1, "rmsprop": 0.1, "adam": 0.1, "adamw": 0.1}
TORCH = {
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}
FREE = ((1, 0, 0), (1, 0, 1))
EPOCHS = 200
NEAR = 20
"""Steps after which points are compared: a path that bounces at too high
a rate doubles the rounding with every step or two."""


def train(epochs: int) -> None:
    """Train the network of each activation from five seeds, and store it."""
    data, begin = landscape.toy_regression(), time.perf_counter()
    weights, losses = {}, {}
    for activation in ACTIVATIONS:
        got = training.sweep(
            lambda seed, a=activation: landscape.toy_network(a, seed),
            data,
            "adam",
            [{"lr": 0.01}],
            SEEDS,
            batch_size=64,
            epochs=epochs,
            loss_fn=lambda out, y: F.mse_loss(out.squeeze(-1), y),
        )
        weights[activation] = dict(zip(SEEDS, got.weights[0], strict=True))
        each = got.step_loss[0].reshape(len(SEEDS), epochs, -1).mean(2)
        losses[activation] = each[:, [0, 9, 19, 99, epochs - 1]]
        print(activation, losses[activation][:, -1])
    store(
        "two_weights",
        {
            "weights": weights,
            "epochs": [1, 10, 20, 100, epochs],
            "losses": losses,
        },
        "python benchmarks/two_weights.py --store",
        model="perceptrons 3-3-3-3-1",
        n_params=40,
        data="toy regression, seed 0",
        n_samples=1000,
        loss="mean squared error",
        dtype="float64",
        seconds=time.perf_counter() - begin,
        notes={
            "training": f"Adam, rate 0.01, batches of 64, {epochs} epochs",
            "losses": "mean over the steps of each epoch in epochs",
        },
    )


def one_path(part, rule: str, start, batch: int, steps: int):
    """One path by torch alone: the network's own weights, two of them free.

    Returns:
        The end point.
    """
    w = part.start.new_tensor(start).requires_grad_()
    opt = TORCH[rule]([w], lr=RATES[rule])
    act = getattr(torch, part.activation)
    loader = Loader(part.x, part.y, batch, shuffle=True, seed=0)
    (i, j), (k, m) = (p[1:] for p in part.free)
    done = 0
    while True:
        for x, y in loader:
            if done == steps:
                return w.detach()
            opt.zero_grad()
            h = x
            for layer, (v, b) in enumerate(
                zip(part.weights, part.biases, strict=True)
            ):
                if layer == 1:
                    v = v.clone()
                    v[i, j], v[k, m] = w[0], w[1]
                h = F.linear(h, v, b)
                h = act(h) if layer < 3 else h
            F.mse_loss(h[:, 0], y).backward()
            opt.step()
            done += 1


def measure(batch: int, count: int) -> list[str]:
    """Rows of the table for one batch size."""
    rows = []
    generator = torch.Generator().manual_seed(0)
    starts = 10 * torch.rand(count, 2, generator=generator).double() - 5
    per_epoch = -(-1000 // batch)
    probe = 100
    for activation in ACTIVATIONS:
        part = landscape.Slice.of(
            landscape.toy_network(activation, 0, trained=True), FREE
        )
        together, apart, gap = 0.0, [], 0.0
        for rule, lr in RATES.items():
            begin = time.process_time()
            training.slice_paths(
                part, rule, starts, [{"lr": lr}],
                batch_size=batch, epochs=EPOCHS,
            )  # fmt: skip
            together += time.process_time() - begin
            steps = training.slice_paths(
                part, rule, starts[:3], [{"lr": lr}], batch_size=batch,
                epochs=-(-probe // per_epoch), every="step",
            ).points  # fmt: skip
            for k in range(3):
                begin = time.process_time()
                one_path(part, rule, starts[k].tolist(), batch, probe)
                apart.append((time.process_time() - begin) / probe)
                end = one_path(part, rule, starts[k].tolist(), batch, NEAR)
                ours = torch.from_numpy(steps[0, k, NEAR])
                gap = max(gap, (ours - end).abs().max().item())
        loop = statistics.median(apart) * EPOCHS * per_epoch
        loop *= count * len(RATES)
        rows.append(
            f"| {activation} | {batch} | {EPOCHS * per_epoch:,} | "
            f"{together:.1f} | {loop:,.0f} | {loop / together:.0f} | "
            f"{gap:.0e} |"
        )
        print(rows[-1])
    return rows


def main() -> None:
    """Time both ways and write the table, or train and store."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--store", action="store_true")
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--starts", type=int, default=1000)
    parser.add_argument("--batches", type=int, nargs="+", default=[1000, 64])
    args = parser.parse_args()
    if args.store:
        train(args.epochs)
        return
    rows = [r for b in args.batches for r in measure(b, args.starts)]
    text = "\n".join(
        [
            "## Paths of two weights",
            "",
            f"4 optimizers x {args.starts:,} starts x {EPOCHS} epochs on a "
            "slice of the toy regression (trained network, two weights "
            "between the first hidden layers), float64; torch "
            f"{torch.__version__}, Python {platform.python_version()}, "
            f"{torch.get_num_threads()} thread(s). One by one: automatic "
            "differentiation and `torch.optim`, from 12 parts of 100 "
            "steps, timed in turns. Seconds of CPU time. Last column: "
            f"largest distance between points of both after {NEAR} steps.",
            "",
            "| activation | batch | steps | together, s | one by one, s | "
            "ratio | largest distance |",
            "|---|---|---|---|---|---|---|",
            *rows,
        ]
    )
    write_section("two weights", text)


if __name__ == "__main__":
    main()
