"""One optimizer step beside other packages' own, on 62 M weights.

``python benchmarks/optim_step.py [--threads 2] [--rounds 15]`` writes
``optim_step.csv`` beside this file. Time: one process, all competitors
step in turn in every round; the median of the rounds counts (on a busy
machine: the ratio of processor time, with one thread). Memory: each
competitor alone in a fresh process; the growth of its peak resident memory
over what weights and gradients take.
"""

import argparse
import csv
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from lion_pytorch import Lion as LionPytorch
from torch import nn

from dldna import optim

WIDTH, LAYERS, WORDS = 512, 12, 47_000
FAST = {"foreach": True}
PAIRS: dict[str, tuple[Callable, Callable]] = {
    "Adam": (optim.Adam, lambda p: torch.optim.Adam(p, **FAST)),
    "AdamW": (optim.AdamW, lambda p: torch.optim.AdamW(p, **FAST)),
    "SGD, momentum": (
        lambda p: optim.SGD(p, momentum=0.9),
        lambda p: torch.optim.SGD(p, momentum=0.9, **FAST),
    ),
    "Lion": (optim.Lion, LionPytorch),
}


def weights() -> list[nn.Parameter]:
    """A transformer's tensors: 61.9 M weights, with gradients."""
    shapes = [(WORDS, WIDTH)]
    for _ in range(LAYERS):
        shapes += [(3 * WIDTH, WIDTH), (3 * WIDTH,), (WIDTH, WIDTH)]
        shapes += [(4 * WIDTH, WIDTH), (4 * WIDTH,), (WIDTH, 4 * WIDTH)]
        shapes += [(WIDTH,)] * 6
    draw = torch.Generator().manual_seed(0)
    params = [
        nn.Parameter(torch.empty(s).uniform_(-1, 1, generator=draw))
        for s in shapes
    ]
    for p in params:
        p.grad = torch.empty_like(p).uniform_(-1, 1, generator=draw)
    return params


def times(name: str, rounds: int) -> tuple[list, list]:
    """(seconds, processor seconds) of each step, ours and theirs in turn."""
    params = weights()
    pair = [build(params) for build in PAIRS[name]]
    taken: tuple[list, list] = ([], [])
    for i in range(rounds + 2):
        order = (0, 1) if i % 2 else (1, 0)
        for k in order:
            start, busy = time.perf_counter(), time.process_time()
            pair[k].step()
            wall = time.perf_counter() - start
            if i >= 2:
                taken[k].append((wall, time.process_time() - busy))
    return taken


def peak_growth(name: str, who: int) -> float:
    """MiB by which two steps raise this process's peak memory."""
    small = nn.Parameter(torch.ones(4))
    small.grad = torch.ones(4)
    PAIRS[name][who]([small]).step()  # modules load on a first step
    params = weights()
    before = peak()
    optimizer = PAIRS[name][who](params)
    optimizer.step()
    optimizer.step()
    return peak() - before


def peak() -> float:
    """This process's largest resident memory so far, in MiB (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    line = next(x for x in lines if x.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def apart(name: str, who: int, threads: int) -> float:
    """:func:`peak_growth` in a process of its own."""
    command = [sys.executable, __file__, "--threads", str(threads)]
    command += ["--memory", name, str(who)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--memory", nargs=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.memory:
        print(peak_growth(given.memory[0], int(given.memory[1])))
        return
    rows = []
    for name in PAIRS:
        ours, theirs = times(name, given.rounds)
        a, b = (statistics.median(x for x, _ in s) for s in (ours, theirs))
        c, d = (statistics.median(x for _, x in s) for s in (ours, theirs))
        ratios = [x[0] / y[0] for x, y in zip(ours, theirs, strict=True)]
        rows.append(
            {
                "optimizer": name,
                "ours_ms": round(1e3 * a, 1),
                "theirs_ms": round(1e3 * b, 1),
                "ratio": round(a / b, 3),
                "ratio_min": round(min(ratios), 3),
                "ratio_max": round(max(ratios), 3),
                "processor_ratio": round(c / d, 3),
                "ours_peak_mib": round(apart(name, 0, given.threads)),
                "theirs_peak_mib": round(apart(name, 1, given.threads)),
                "threads": given.threads,
                "torch": torch.__version__,
            }
        )
        print(rows[-1], flush=True)
    target = Path(__file__).with_suffix(".csv")
    with target.open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    print(f"{os.cpu_count()} cores, {platform.machine()}: {target}")


if __name__ == "__main__":
    main()
