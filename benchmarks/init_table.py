"""The table of initialization schemes, in full: ten schemes, five seeds.

    python benchmarks/init_table.py          # 60,000 images, 3 epochs
    python benchmarks/init_table.py --tuned  # 8,000 images, 6 schemes, 6 rates

The network is the published chapter's (784-256-192-128-64-10, one shared
PReLU), and so are the batch of 256 and SGD with rate 0.001 and momentum
0.9. Writes ``dldna/stored/init_table.json``, or ``init_tuned.json``; the
chapter on initialization shows both beside its own reduced run. Where rates
are tuned, 2,000 other training images choose them, so that the test images
choose nothing.
"""

import argparse
import resource
import sys
import time

import numpy as np
import torch
from torch import nn

from dldna import init, params, training
from dldna.data import book_dataset
from dldna.models import SimpleNetwork
from dldna.stored import store

SEEDS = range(5)
SCHEMES = (
    "lecun_normal",
    "xavier_normal",
    "kaiming_normal",
    "orthogonal",
    "scaled_orthogonal",
    "torch_default",
    "lsuv",
    "zero_hadamard",
    "double_counted_orthogonal",
    "constant_variance",
)
SOUND = SCHEMES[:6]  # those that are tuned
FIXED_LOSS = 0.75
WINDOW = 20
BATCH, EPOCHS, RATE, MOMENTUM = 256, 3, 1e-3, 0.9
RATES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
TUNE, VALID = 8_000, 2_000


def maker(scheme: str, batch: torch.Tensor):
    """``seed -> network``, started by a scheme."""

    def make(seed: int) -> nn.Module:
        model = SimpleNetwork(nn.PReLU())
        if scheme == "lsuv":
            init.lsuv(model, batch, seed=seed, tol=0.01)
        else:
            init.initialize(model, scheme, seed=seed)
        return model

    return make


def smoothed(losses: np.ndarray) -> np.ndarray:
    """Mean of the last WINDOW batch losses; shape (..., T - WINDOW + 1)."""
    kernel = np.ones(WINDOW) / WINDOW
    return np.apply_along_axis(np.convolve, -1, losses, kernel, mode="valid")


def steps_to(losses: np.ndarray, level: float) -> np.ndarray:
    """First step at which the smoothed loss is below a level, or NaN."""
    below = smoothed(losses) < level
    first = below.argmax(-1) + WINDOW
    return np.where(below.any(-1), first, np.nan)


def errors(make, weights: np.ndarray, x: torch.Tensor, y: torch.Tensor):
    """Error in per cent of trained weights, (settings, seeds, numbers)."""
    net, found = make(0), np.empty(weights.shape[:2])
    like = params.of(net)
    with torch.no_grad():
        for at in np.ndindex(found.shape):
            point = params.unflatten(torch.as_tensor(weights[at]), like)
            guess = params.call(net, point, (x,)).argmax(-1)
            found[at] = 100 * (guess != y).double().mean().item()
    return found


def shapes(make) -> dict[str, list[float]]:
    """The spectral measures at the start, one value for each seed."""
    found = [init.spectral_table(make(seed)).mean() for seed in SEEDS]
    keep = ("condition_number", "spectral_norm", "effective_rank_share")
    return {k: [f[k] for f in found] for k in keep}


def main() -> None:
    """Run all schemes, store the numbers, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tuned", action="store_true")
    tuned = parser.parse_args().tuned
    dataset = book_dataset()
    fit = dataset.train_x, dataset.train_y
    if tuned:
        fit = fit[0][:TUNE], fit[1][:TUNE]
        held = (
            v[TUNE : TUNE + VALID] for v in (dataset.train_x, dataset.train_y)
        )
        held = tuple(held)
    rates = RATES if tuned else (RATE,)
    start, cpu = time.perf_counter(), time.process_time()
    schemes = {}
    for scheme in SOUND if tuned else SCHEMES:
        make = maker(scheme, dataset.train_x[:BATCH])
        run = training.sweep(
            make,
            fit,
            "sgd",
            [{"lr": rate, "momentum": MOMENTUM} for rate in rates],
            SEEDS,
            batch_size=BATCH,
            epochs=EPOCHS,
            test=(dataset.test_x, dataset.test_y),
        )
        curve = smoothed(run.step_loss)
        marks = np.linspace(0, curve.shape[-1] - 1, 40).astype(int)
        schemes[scheme] = {
            "test_loss": run.test_loss[:, :, -1],
            "test_error": 100 * (1 - run.test_accuracy[:, :, -1]),
            "steps": steps_to(run.step_loss, FIXED_LOSS),
            "curve": curve[..., marks],
            **shapes(make),
        }
        if tuned:
            schemes[scheme]["valid_error"] = errors(make, run.weights, *held)
        error = schemes[scheme]["test_error"]
        loss = schemes[scheme]["test_loss"]
        print(f"{scheme:28s}", np.median(loss, 1), np.median(error, 1))
    wall = time.perf_counter() - start
    used = time.process_time() - cpu
    options = " --tuned" if tuned else ""
    store(
        "init_tuned" if tuned else "init_table",
        {
            "rates": rates,
            "momentum": MOMENTUM,
            "batch_size": BATCH,
            "epochs": EPOCHS,
            "seeds": list(SEEDS),
            "images": len(fit[0]),
            "fixed_loss": FIXED_LOSS,
            "window": WINDOW,
            "curve_steps": (marks + WINDOW).tolist(),
            "schemes": schemes,
        },
        command=f"python benchmarks/init_table.py{options}",
        made="table of initialization schemes",
        model="SimpleNetwork-PReLU",
        n_params=283_915,
        data=dataset.name,
        n_samples=len(fit[0]),
        loss="cross_entropy",
        seconds=round(wall, 1),
        notes={"cpu_seconds": round(used, 1)},
    )
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{wall:.0f} s wall, {used:.0f} s CPU, {memory:.1f} GiB", end="")
    print(f", {torch.get_num_threads()} thread(s)", file=sys.stdout)


if __name__ == "__main__":
    main()
