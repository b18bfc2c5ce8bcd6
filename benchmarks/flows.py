"""The central flow beside the run that it predicts.

    python benchmarks/flows.py --table          # RESULTS.md from flows.csv
    python benchmarks/flows.py                  # what flows.csv lacks, too
    python benchmarks/flows.py --only tanh sgd --seeds 0
    python benchmarks/flows.py --longer         # what missed, for 1,500 steps

Three networks, gradient descent and RMSProp, three rates and three seeds,
100 images of the embedded clothes, at 14 x 14 pixels and centred. The flow
is computed first; then the run is made. Each starts from the same weights,
with RMSProp after ``WARM`` steps, which fill its second moment. The edge
phase begins where the run's sharpness first reaches the threshold.
"""

import argparse
import csv
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from _edge_runs import EVERY, IMAGES, WINDOW, Case, Run, mean_curvature
from _flow_tables import (
    CONTROL,
    LIMITS,
    LONG,
    STEPS,
    case_of,
    key_of,
    misses,
    table,
    verdict,
)
from _report import write_section

from dldna import stored, training

SEEDS = (0, 1, 2)
STORE = Path(__file__).with_suffix(".csv")
COLUMNS = (
    "network", "loss", "optimizer", "rate", "seed", "steps", "seconds",
    "first", "most", "last", "reached", "loss_run", "loss_flow", "loss_path",
    "sharpness_run", "sharpness_mean", "sharpness_flow", "gap", "gap_at",
    "gap_from_start", "gap_last", "travelled", "from_start", "gradients",
    "critical", "missed",
)  # fmt: skip


SLOW, FAST = (3e-4, 4e-4, 5e-4), (0.15, 0.25, 0.4)
PLAN = [
    Case("tanh", "shoes", "sgd", (0.18, 0.21, 0.25), STEPS),
    Case("gelu", "shoes", "sgd", (0.22, 0.26, 0.3), STEPS),
    Case("cnn", "shoes", "sgd", (0.09, 0.1, 0.12), STEPS),
    Case("tanh", "shoes", "rmsprop", SLOW, STEPS),
    Case("gelu", "shoes", "rmsprop", SLOW, STEPS),
    Case("cnn", "shoes", "rmsprop", SLOW, STEPS),
    Case("tanh", "ten classes", "sgd", FAST, STEPS),
]


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
        "steps": case.steps, "seconds": time.process_time() - begin,
    }  # fmt: skip
    seen = run.go(case.steps)
    sides, path = seen["sharp"] / flow.threshold, seen["path"]
    sharp = sides[:, 0]
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
    shares = np.array(gaps) / np.array(ways)
    return row | {
        "reached": edge,
        "loss_run": seen["losses"][edge:].mean(),
        "loss_flow": flow.mean_loss[edge:].mean(),
        "loss_path": flow.loss[edge:].mean(),
        "sharpness_run": sides[-(-half // EVERY) :].mean(),
        "sharpness_mean": mean_curvature(run, seen, half) / flow.threshold,
        "sharpness_flow": flow.sharpness[half:].mean() / flow.threshold,
        "gap": shares.max(),
        "gap_at": list(smooth)[int(shares.argmax())],
        "gap_from_start": np.max(np.array(gaps) / np.array(away)),
        "gap_last": gaps[-1] / ways[-1],
        "travelled": ways[-1],
        "from_start": away[-1],
        "gradients": flow.gradients[edge:].mean(),
        "critical": flow.critical[edge:].mean(),
        "missed": flow.missed.max(),
    }


def longer(rows: list[dict]) -> list[tuple[Case, float, int]]:
    """What missed a limit, and the control, over ``LONG`` steps."""
    cases = {(c.network, c.loss, c.optimizer): c for c in PLAN}
    return [
        (replace(cases[case_of(r)], steps=LONG), r["rate"], int(r["seed"]))
        for r in rows
        if r["steps"] < LONG
        and "reached" in r
        and (misses(r) or key_of(r)[:-1] in CONTROL)
    ]


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
    rows.sort(
        key=lambda r: (
            order.index(case_of(r)), r["rate"], r["seed"], r["steps"],
        )
    )  # fmt: skip
    with STORE.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for row in rows:
            writer.writerow({k: _short(v) for k, v in row.items()})


def _short(value) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"


def to_package(rows: list[dict]) -> None:
    """Store what the chapter shows of both lengths."""
    kept = ("network", "loss", "optimizer", "rate", "seed", "steps",
            "reached", "gap_at", "gap_last")  # fmt: skip
    short = [
        {k: row[k] for k in kept if k in row}
        | {"off": verdict(row), "missed": misses(row)}
        for row in rows if "reached" in row
    ]  # fmt: skip
    stored.store(
        "flows",
        {"limits": LIMITS, "runs": short},
        command="python benchmarks/flows.py --longer",
        made="central flows and the runs that they predict",
        seed=0,
        model="networks of benchmarks/_edge_runs.py",
        data="clothes",
        n_samples=IMAGES,
        dtype="float64",
        threads=1,
        seconds=round(sum(row["seconds"] for row in rows)),
        notes={"hardware": stored.processor()},
    )


def main() -> None:
    """Compute what is missing and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--longer", action="store_true")
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
    if args.longer:
        jobs = longer(rows)
    for case, lr, seed in [] if args.table else jobs:
        labels = (case.network, case.loss, case.optimizer)
        key = (*labels, lr, seed, case.steps)
        if key in map(key_of, rows) or not set(args.only) <= set(labels):
            continue
        row = compare(case, lr, seed)
        print({k: _short(v) for k, v in row.items()}, flush=True)
        rows.append(row)
        keep(rows)
    write_section("flows", table(rows))
    to_package(rows)


if __name__ == "__main__":
    main()
