"""Both beta tables of the chapter on descent by hand, beside a plain loop.

    python benchmarks/sweep.py               # 50,000 steps of 90 runs
    python benchmarks/sweep.py --steps 5000

18 settings x 5 seeds of the three-neuron graph, stepped together by
``training.sweep``; beside it the same runs one by one (gradients by
automatic differentiation, ``dldna.optim.Adam``), of which a part is timed
and scaled up. Both are timed in turns, and their numbers compared.
"""

import argparse
import statistics
import time

import numpy as np
import torch

from dldna import graph, optim, training
from dldna.data import Loader

LINES = (
    "xw = ap*xp + aq*xq + ar*xr + as*xs",
    "xz = bp*xp + bq*xq + br*xr + bs*xs",
    "xo = cp*xw + cq*xz",
)
TABLES = {8: (0.7, 0.9, 0.99), 32: (0.6, 0.9, 0.99)}
SEEDS = range(5)


def clouds(n: int = 5000) -> tuple[torch.Tensor, torch.Tensor]:
    """Two overlapping clouds in four dimensions."""
    gen = torch.Generator().manual_seed(0)
    near = torch.randn(n // 2, 4, generator=gen) + 2
    far = 2 * torch.randn(n // 2, 4, generator=gen) + 4
    y = torch.cat([torch.zeros(n // 2), torch.ones(n // 2)])
    return torch.cat([near, far]), y


def one_run(net, data, batch, betas, seed, steps) -> list[float]:
    """One run by a plain loop."""
    gen = torch.Generator().manual_seed(seed)
    start = torch.rand(len(net.weights), generator=gen)
    weights = [torch.nn.Parameter(v.view(1)) for v in start]
    named = dict(zip(net.weights, weights, strict=True))
    adam = optim.Adam(weights, lr=1e-3, betas=betas)
    loader, losses = Loader(*data, batch, shuffle=True, seed=seed), []
    while len(losses) < steps:
        for x, y in loader:
            adam.zero_grad()
            inputs = dict(zip(net.inputs, x.unbind(1), strict=True))
            loss = (net.forward(named, inputs)["xo"] - y).square().mean()
            loss.backward()
            adam.step()
            losses.append(loss.item())
            if len(losses) == steps:
                break
    return losses


def main() -> None:
    """Time both, compare their numbers, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=50_000)
    steps = parser.parse_args().steps
    net, data = graph.build(LINES), clouds()
    together, apart, gaps = 0.0, [], []
    for batch, values in TABLES.items():
        pairs = [(a, b) for a in values for b in values]
        settings = [{"lr": 1e-3, "betas": p} for p in pairs]
        start = time.perf_counter()
        got = training.sweep(
            net, data, "adam", settings, SEEDS,
            batch_size=batch, steps=steps,
        )  # fmt: skip
        together += time.perf_counter() - start
        for k, seed in enumerate(SEEDS):
            start = time.perf_counter()
            part = one_run(net, data, batch, pairs[k], seed, 300)
            apart.append((time.perf_counter() - start) / 300)
            gaps.append(np.abs(got.step_loss[k, k, :300] - part).max())
    runs = sum(len(v) ** 2 for v in TABLES.values()) * len(SEEDS)
    loop = statistics.median(apart) * steps * runs
    print("| way | s | ratio |\n|---|---|---|")
    print(f"| {runs} runs together, {steps:,} steps | {together:.1f} | 1 |")
    print(f"| one by one (from {len(apart)} parts of 300 steps) | {loop:.0f} "
          f"| {loop / together:.0f} |")  # fmt: skip
    print(
        f"\nLargest difference of a loss: {max(gaps):.1e}; "
        f"{torch.get_num_threads()} thread(s), torch {torch.__version__}"
    )


if __name__ == "__main__":
    main()
