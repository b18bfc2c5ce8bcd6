"""Networks of one and three neurons for 40,000 steps, beside torch.nn.

    python benchmarks/descent_by_hand.py

Two clouds of points, batches of 8, SGD: one neuron at the rate 1e-3, three
neurons at 1e-6. The package's chain rule trains five seeds together; a plain
loop with ``torch.nn`` and ``torch.optim`` trains the same starts on the same
batches, then from torch's own starts. Also the package's training with the
mean loss divided once more by the batch size. Seconds are those of one run.
Writes ``dldna/stored/descent_by_hand.json``.
"""

import time
from itertools import chain, islice, pairwise, repeat

import numpy as np
import torch
from torch import nn

from dldna import graph, training
from dldna.data import Loader
from dldna.stored import processor, store

STEPS, BATCH, SEEDS, TAIL = 40_000, 8, range(5), 2_000
NETWORKS = {  # expressions, rate, layers of torch.nn
    "one neuron": (["xw = ab*xa + bc*xb + cd*xc + ac*xd"], 1e-3, (4, 1)),
    "three neurons": (
        [
            "xw = ap*xp + aq*xq + ar*xr + as*xs",
            "xz = bp*xp + bq*xq + br*xr + bs*xs",
            "xo = cp*xw + cq*xz",
        ],
        1e-6,
        (4, 2, 1),
    ),
}


def clouds(n: int = 5000, inputs: int = 4, seed: int = 0):
    """The two clouds of the chapter."""
    gen = torch.Generator().manual_seed(seed)
    near = torch.randn(n // 2, inputs, generator=gen) + 2
    far = 2 * torch.randn(n // 2, inputs, generator=gen) + 4
    y = torch.cat([torch.zeros(n // 2), torch.ones(n // 2)])
    return torch.cat([near, far]), y


def torch_network(sizes, seed: int, start=None) -> nn.Sequential:
    """Layers with sigmoids; from torch's own start, or from ``start``."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = [(nn.Linear(a, b), nn.Sigmoid()) for a, b in pairwise(sizes)]
    net = nn.Sequential(*chain(*layers))
    if start is not None:  # all weights first, then all biases
        parts = [m.weight for m in net[::2]] + [m.bias for m in net[::2]]
        with torch.no_grad():
            for p, v in zip(
                parts, start.split([p.numel() for p in parts]), strict=True
            ):
                p.copy_(v.view_as(p))
    return net


def by_torch(net, points, rate: float, seed: int) -> np.ndarray:
    """The loss of each batch, by a plain loop."""
    loader = Loader(*points, BATCH, shuffle=True, seed=seed)
    batches = chain.from_iterable(repeat(loader))
    opt, loss_fn = torch.optim.SGD(net.parameters(), lr=rate), nn.MSELoss()
    losses = []
    for x, y in islice(batches, STEPS):
        opt.zero_grad()
        loss = loss_fn(net(x)[:, 0], y)
        loss.backward()
        opt.step()
        losses.append(loss.item())
    return np.array(losses)


def main() -> None:
    """Train all of it, and store it."""
    points, begun, kept = clouds(), time.perf_counter(), {}
    for name, (lines, rate, sizes) in NETWORKS.items():
        net = graph.build(lines)
        settings = [{"lr": rate}, {"lr": rate / BATCH}]
        clock = time.process_time()
        ours = training.sweep(
            net, points, "sgd", settings, SEEDS, batch_size=BATCH, steps=STEPS
        )
        clock = (time.process_time() - clock) / ours.step_loss[..., 0].size
        runs = {"ours": ours.step_loss[0], "divided again": ours.step_loss[1]}
        theirs, seconds = {"same start": [], "own start": []}, []
        for seed in SEEDS:
            gen = torch.Generator().manual_seed(seed)
            start = torch.rand(len(net.weights), generator=gen)
            for key, drawn in (("same start", start), ("own start", None)):
                begin = time.process_time()
                model = torch_network(sizes, seed, drawn)
                theirs[key].append(by_torch(model, points, rate, seed))
                seconds.append(time.process_time() - begin)
        runs |= {k: np.array(v) for k, v in theirs.items()}
        gap = np.abs(runs["ours"] - runs["same start"]).max()
        kept[name] = {
            "rate": rate,
            "first": {k: v[:, :TAIL].mean(1) for k, v in runs.items()},
            "tail": {k: v[:, -TAIL:].mean(1) for k, v in runs.items()},
            "gap": gap,
            "seconds": {"ours": clock, "torch.nn": np.median(seconds)},
        }
        print(name, kept[name])
    store(
        "descent_by_hand",
        {"networks": kept, "steps": STEPS, "batch": BATCH, "window": TAIL},
        "python benchmarks/descent_by_hand.py",
        model="one and three sigmoid neurons",
        data="two clouds, seed 0",
        n_samples=5000,
        loss="mean squared error",
        dtype="float32",
        seconds=time.perf_counter() - begun,
        notes={"hardware": f"{processor()}, {torch.get_num_threads()} thread"},
    )


if __name__ == "__main__":
    main()
