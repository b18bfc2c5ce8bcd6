"""The central flow beside the run that it predicts.

    python benchmarks/flows.py --table          # RESULTS.md from flows.csv
    python benchmarks/flows.py                  # what flows.csv lacks, too
    python benchmarks/flows.py --only tanh sgd --seeds 0

Three networks, gradient descent and RMSProp, three rates and three seeds,
100 images of the embedded clothes, at 14 x 14 pixels and centred. The flow
is computed first; then the run is made. Each starts from the same weights,
with RMSProp after ``WARM`` steps, which fill its second moment. The edge
phase begins where the run's sharpness first reaches the threshold.
"""

import argparse
import csv
import platform
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from _report import write_section
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from dldna import training
from dldna.data import load
from dldna.landscape.curvature.lanczos import lanczos

IMAGES = 100
SEEDS = (0, 1, 2)
WARM = 50
EVERY = 10  # steps from one sharpness of the run to the next
WINDOW = 33  # steps of the Hann window that smooths the run's path
STORE = Path(__file__).with_suffix(".csv")
COLUMNS = (
    "network", "loss", "optimizer", "rate", "seed", "seconds", "first",
    "most", "last", "reached", "loss_run", "loss_flow", "loss_path",
    "sharpness_run", "sharpness_mean", "sharpness_flow", "gap",
    "gap_from_start", "gap_last", "travelled", "from_start", "gradients",
    "critical", "missed",
)  # fmt: skip
LIMITS = {"loss": 0.05, "sharpness": 0.05, "distance": 0.1, "gradients": 20}


@dataclass(frozen=True)
class Case:
    """One column of the plan: a network, a loss, an optimizer, its rates."""

    network: str
    loss: str
    optimizer: str
    rates: tuple[float, ...]
    steps: int


SLOW, FAST = (2e-4, 3e-4, 5e-4), (0.15, 0.25, 0.4)
PLAN = [
    Case("tanh", "shoes", "sgd", (0.18, 0.21, 0.25), 500),
    Case("gelu", "shoes", "sgd", (0.22, 0.26, 0.3), 500),
    Case("cnn", "shoes", "sgd", (0.09, 0.1, 0.12), 500),
    Case("tanh", "shoes", "rmsprop", SLOW, 500),
    Case("gelu", "shoes", "rmsprop", SLOW, 500),
    Case("cnn", "shoes", "rmsprop", SLOW, 500),
    Case("tanh", "ten classes", "sgd", FAST, 500),
]


def network(name: str, seed: int) -> nn.Module:
    """A small smooth network for 14 x 14 images, float64."""
    torch.manual_seed(seed)
    if name == "cnn":
        return nn.Sequential(
            nn.Conv2d(1, 6, 4, stride=2), nn.Tanh(),
            nn.Conv2d(6, 12, 3, stride=1), nn.Tanh(),
            nn.Flatten(), nn.Linear(192, 10),
        ).double()  # fmt: skip
    act = {"tanh": nn.Tanh, "gelu": nn.GELU}[name]
    return nn.Sequential(
        nn.Flatten(), nn.Linear(196, 24), act(), nn.Linear(24, 24), act(),
        nn.Linear(24, 10),
    ).double()  # fmt: skip


def images() -> tuple[torch.Tensor, torch.Tensor]:
    """The first images of the embedded clothes, at half the resolution."""
    data = load("clothes")
    x = F.avg_pool2d(data.train_x[:IMAGES].double(), 2)
    x = x - x.mean(0)
    return x, data.train_y[:IMAGES]


def ten(output: torch.Tensor, batch) -> torch.Tensor:
    """Half the squared distance to the one-hot targets of ten classes."""
    wanted = F.one_hot(batch[1], 10).to(output)
    return (output - wanted).square().sum(1).mean() / 2


def shoes(output: torch.Tensor, batch) -> torch.Tensor:
    """Half the squared distance of the first output: shoes 1, others -1."""
    shod = (batch[1] == 5) | (batch[1] == 7) | (batch[1] == 9)
    wanted = 2 * shod.to(output) - 1
    return (output[:, 0] - wanted).square().mean() / 2


LOSSES = {"shoes": shoes, "ten classes": ten}
OPTIMIZERS = {
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
    "adam": torch.optim.Adam,
}


class Run:
    """A run with what is needed to compare it.

    Args:
        case: the network, the loss and the optimizer.
        lr: the rate.
        seed: of the network.
    """

    def __init__(self, case: Case, lr: float, seed: int):
        self.data = images()
        self.model = network(case.network, seed)
        self.loss = LOSSES[case.loss]
        self.params = list(self.model.parameters())
        self.opt = OPTIMIZERS[case.optimizer](self.params, lr=lr)
        self.top = None
        if case.optimizer != "sgd":
            for _ in range(WARM):
                self.step()

    def value(self, output: torch.Tensor) -> torch.Tensor:
        """The loss on all the data."""
        return self.loss(output, self.data)

    def step(self) -> float:
        """One step; the loss before it."""
        self.opt.zero_grad()
        loss = self.value(self.model(self.data[0]))
        loss.backward()
        self.opt.step()
        return float(loss.detach())

    def weights(self) -> torch.Tensor:
        """All weights, one vector."""
        return torch.cat([p.detach().reshape(-1) for p in self.params])

    def root(self) -> torch.Tensor:
        """The root of P, one where there is none."""
        p = training.preconditioner(self.model, self.opt)
        if p is None:
            return torch.ones_like(self.weights())
        return torch.cat([v.reshape(-1) for v in p.values()]).sqrt()

    def product(self, w: torch.Tensor, root: torch.Tensor):
        """Products with P^-1/2 H P^-1/2 at given weights."""
        sizes = [p.numel() for p in self.params]
        parts = [
            part.view(p.shape).clone().requires_grad_()
            for part, p in zip(w.split(sizes), self.params, strict=True)
        ]
        names = [name for name, _ in self.model.named_parameters()]
        point = dict(zip(names, parts, strict=True))
        loss = self.value(functional_call(self.model, point, self.data[0]))
        g = torch.autograd.grad(loss, parts, create_graph=True)
        g = torch.cat([part.reshape(-1) for part in g])

        def times(v: torch.Tensor) -> torch.Tensor:
            rows = torch.autograd.grad(g, parts, v / root, retain_graph=True)
            return torch.cat([row.reshape(-1) for row in rows]) / root

        return times

    def largest(self, products: list) -> float:
        """The largest eigenvalue of the mean of some matrices."""
        n = len(self.weights())
        start = torch.randn(n, generator=torch.Generator().manual_seed(0))
        start = start.double() / n**0.5
        if self.top is not None:
            start = self.top + 0.2 * start
        found = lanczos(
            lambda v: sum(times(v) for times in products) / len(products),
            start, 1, 1e-2, which="largest", least=8,
        )  # fmt: skip
        self.top = found.vectors[0]
        return float(found.values[0])

    def go(self, steps: int) -> dict:
        """Losses, sharpness every ``EVERY`` steps, the path, and P."""
        losses, sharp, path, roots = [], [], [], []
        for step in range(steps):
            path.append(self.weights())
            roots.append(self.root())
            if step % EVERY == 0:
                now = self.product(path[-1], roots[-1])
                sharp.append(self.largest([now]))
            losses.append(self.step())
        return {
            "losses": np.array(losses),
            "sharp": np.array(sharp),
            "path": torch.stack(path),
            "roots": roots,
        }


def compare(case: Case, lr: float, seed: int) -> dict:
    """The flow, then the run, then their distance in the edge phase."""
    run = Run(case, lr, seed)
    begin = time.process_time()
    flow = training.central_flow(
        run.model, run.loss, run.data, run.opt, case.steps, keep=True
    )
    row = {
        "network": case.network, "loss": case.loss,
        "optimizer": case.optimizer, "rate": lr, "seed": seed,
        "seconds": time.process_time() - begin,
    }  # fmt: skip
    seen = run.go(case.steps)
    sharp, path = seen["sharp"] / flow.threshold, seen["path"]
    row |= {"first": sharp[0], "most": sharp.max(), "last": sharp[-1]}
    over = np.flatnonzero(sharp >= 1)
    if not len(over) or over[0] * EVERY > case.steps / 2:
        return row
    edge = int(over[0]) * EVERY
    half = (edge + case.steps) // 2
    window = torch.from_numpy(np.hanning(WINDOW + 2)[1:-1])
    window, reach = window / window.sum(), WINDOW // 2
    at = range(max(edge, reach), case.steps - reach, 5)
    smooth = {t: window @ path[t - reach : t + reach + 1] for t in at}
    planned = torch.from_numpy(flow.weights)
    gaps = [float((s - planned[t]).norm()) for t, s in smooth.items()]
    steps = (planned[1:] - planned[:-1]).norm(dim=1)
    length = torch.cat([steps.new_zeros(1), steps.cumsum(0)])
    ways = [float(length[t]) for t in smooth]
    away = [float((s - path[0]).norm()) for s in smooth.values()]
    return row | {
        "reached": edge,
        "loss_run": seen["losses"][edge:].mean(),
        "loss_flow": flow.mean_loss[edge:].mean(),
        "loss_path": flow.loss[edge:].mean(),
        "sharpness_run": sharp[-(-half // EVERY) :].mean(),
        "sharpness_mean": mean_curvature(run, seen, half) / flow.threshold,
        "sharpness_flow": flow.sharpness[half:].mean() / flow.threshold,
        "gap": np.max(np.array(gaps) / np.array(ways)),
        "gap_from_start": np.max(np.array(gaps) / np.array(away)),
        "gap_last": gaps[-1] / ways[-1],
        "travelled": ways[-1],
        "from_start": away[-1],
        "gradients": flow.gradients[edge:].mean(),
        "critical": flow.critical[edge:].mean(),
        "missed": flow.missed.max(),
    }


def mean_curvature(run: Run, seen: dict, half: int) -> float:
    """The largest eigenvalue of the Hessian averaged over ``WINDOW`` steps.

    The mean over two windows of the second half, each of five points an odd
    number of steps apart, so that both sides of the oscillation count.
    """
    last = len(seen["path"]) - WINDOW
    found = []
    for first in ((half + last) // 2 - WINDOW // 2, last):
        points = range(first, first + WINDOW, 7)
        products = [
            run.product(seen["path"][t], seen["roots"][t]) for t in points
        ]
        found.append(run.largest(products))
    return float(np.mean(found))


def verdict(row: dict) -> dict[str, float]:
    """The four measures that have a limit."""
    return {
        "loss": row["loss_flow"] / row["loss_run"] - 1,
        "sharpness": row["sharpness_flow"] / row["sharpness_run"] - 1,
        "distance": row["gap"],
        "gradients": row["gradients"],
    }


def known() -> list[dict]:
    """The rows that were computed before."""
    if not STORE.exists():
        return []
    with STORE.open() as file:
        return [
            {k: _number(v) for k, v in row.items() if v != ""}
            for row in csv.DictReader(file)
        ]


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def keep(rows: list[dict]) -> None:
    """All rows, in the order of the plan."""
    order = [(c.network, c.loss, c.optimizer) for c in PLAN]
    rows.sort(key=lambda r: (order.index(_case(r)), r["rate"], r["seed"]))
    with STORE.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for row in rows:
            writer.writerow({k: _short(v) for k, v in row.items()})


def _short(value) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"


def _case(row: dict) -> tuple[str, str, str]:
    return row["network"], row["loss"], row["optimizer"]


def table(rows: list[dict]) -> str:
    """The section of the results."""
    lines, passed = [], dict.fromkeys(LIMITS, 0)
    reached = [row for row in rows if "reached" in row]
    for row in reached:
        found = verdict(row)
        cells = []
        for name, limit in LIMITS.items():
            fine = abs(found[name]) <= limit
            passed[name] += fine
            shown = {
                "distance": f"{row['gap']:.3f} ({row['gap_from_start']:.3f})",
                "gradients": f"{found[name]:.1f}",
            }.get(name, f"{100 * found[name]:+.1f} %")
            cells.append(shown if fine else f"**{shown}**")
        averaged = row["sharpness_flow"] / row["sharpness_mean"] - 1
        cells.insert(2, f"{100 * averaged:+.1f} %")
        lines.append(
            f"| {row['network']} | {row['loss']} | {row['optimizer']} | "
            f"{row['rate']:g} | {row['seed']:.0f} | {row['first']:.2f} | "
            f"{row['reached']:.0f} | {row['critical']:.1f} | "
            + " | ".join(cells)
            + f" | {row['missed']:.0e} |"
        )
    missing = [
        f"{row['network']} {row['optimizer']} {row['rate']:g} "
        f"(seed {row['seed']:.0f}, at most {row['most']:.2f})"
        for row in rows if "reached" not in row
    ]  # fmt: skip
    counts = ", ".join(
        f"{name} {n} of {len(reached)}" for name, n in passed.items()
    )
    return "\n".join(
        [
            "## Central flow and the run it predicts",
            "",
            f"{len(rows)} runs of {PLAN[0].steps} steps on {IMAGES} images of "
            "14 x 14, float64; torch "
            f"{torch.__version__}, Python {platform.python_version()}, "
            f"{torch.get_num_threads()} thread(s). First: the sharpness at "
            "the start, over the threshold; reached: the step at which the "
            "run gets to the edge. Loss: its mean over the edge phase, flow "
            "against run. Sharpness: mean over the phase's second half, of "
            "the mean path against the run's points; beside it against the "
            f"Hessian averaged over {WINDOW} steps of the run. Distance: "
            "largest distance between the flow and the smoothed path "
            f"(Hann, {WINDOW} steps), over the length of the flow's path up "
            "to there; in brackets, over the straight way from the start. "
            "Gradients: "
            "of all the data, in one step of the flow, all included. Last "
            "column: largest violation of complementarity. Bold: beyond "
            "5 %, 5 %, 0.1 and 20.",
            "",
            f"Within the limits: {counts}.",
            "",
            "| network | loss | optimizer | rate | seed | first | reached | "
            "critical | loss | sharpness | of mean H | distance | gradients "
            "| missed |",
            "|" + "---|" * 14,
            *lines,
            "",
            "Edge not reached in the first half: "
            + ("; ".join(missing) or "none")
            + ".",
        ]
    )


def main() -> None:
    """Compute what is missing and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--rates", type=int, nargs="+", default=(1, 0, 2))
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = known()
    jobs = [
        (case, case.rates[which], seed)
        for seed in args.seeds
        for which in args.rates
        for case in PLAN
    ]
    for case, lr, seed in [] if args.table else jobs:
        labels = (case.network, case.loss, case.optimizer)
        done = [(*_case(r), r["rate"], int(r["seed"])) for r in rows]
        if (*labels, lr, seed) in done or not set(args.only) <= set(labels):
            continue
        rows.append(compare(case, lr, seed))
        keep(rows)
        print(rows and {k: _short(v) for k, v in rows[-1].items()}, flush=True)
    write_section("flows", table(rows))


if __name__ == "__main__":
    main()
