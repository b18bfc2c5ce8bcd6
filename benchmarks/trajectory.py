"""PCA of a training run: memory and time beside scikit-learn's.

    python benchmarks/trajectory.py [--checkpoints 200] [--millions 2.4]
        [--full]

Writes a run with ``Recorder`` to a temporary folder, then takes its first
two components in one fresh process each: by ``Trajectory.plane``, and by
``sklearn.decomposition.PCA`` on all checkpoints in one float32 matrix, as
a user would. Memory is the process's peak. ``--full`` adds 24 million
parameters (10 GB on disk), by ``Trajectory`` alone: scikit-learn would
need the whole matrix, 19 GB, at least once.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from _report import write_section
from torch import nn

from dldna.landscape import Recorder, Trajectory


class Wide(nn.Module):
    """A network that is nothing but weights."""

    def __init__(self, numbers: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(numbers // 1000, 1000))


def write(folder: Path, checkpoints: int, numbers: int) -> None:
    """A random walk of checkpoints, in float16 on disk."""
    model, generator = Wide(numbers), torch.Generator().manual_seed(0)
    step = torch.empty_like(model.weight.data)
    with Recorder(folder, every=1, dtype="float16") as recorder:
        for number in range(checkpoints):
            recorder.record(model, step=number)
            model.weight.data += step.normal_(0, 0.01, generator=generator)


def ours(folder: Path) -> list[float]:
    """Shares about the mean, to compare, while the plane is laid."""
    plane = Trajectory(folder).plane(k=2)
    return plane.notes["explained"]["about the mean"]


def theirs(folder: Path) -> list[float]:
    """The same by scikit-learn, all checkpoints in memory."""
    from sklearn.decomposition import PCA

    run = Trajectory(folder)
    rows = np.empty((len(run), run.n_params), dtype=np.float32)
    for row, point in zip(rows, run, strict=True):
        row[:] = point["weight"].numpy().ravel()
    pca = PCA(n_components=2, random_state=0).fit(rows)
    return pca.explained_variance_ratio_.tolist()


def alone(way: str, folder: Path) -> dict:
    """Run one way in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--way", way, "--folder", str(folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def table(checkpoints: int, numbers: int, ways: list[str]) -> list[str]:
    """Rows of the table for one size."""
    rows = []
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "run"
        write(folder, checkpoints, numbers)
        for way in ways:
            got = alone(way, folder)
            shares = ", ".join(f"{100 * s:.2f} %" for s in got["shares"])
            rows.append(
                f"| {numbers / 1e6:g} M x {checkpoints} | `{way}` | "
                f"{got['memory']:.2f} GB | {got['seconds']:.1f} s | "
                f"{shares} |"
            )
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure and write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoints", type=int, default=200)
    parser.add_argument("--millions", type=float, default=2.4)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        start = time.perf_counter()
        shares = {"Trajectory": ours, "PCA": theirs}[given.way](given.folder)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        seconds = time.perf_counter() - start
        print(json.dumps(dict(shares=shares, memory=memory, seconds=seconds)))
        return
    numbers = round(given.millions * 1e6)
    rows = table(given.checkpoints, numbers, ["Trajectory", "PCA"])
    if given.full:
        rows += table(given.checkpoints, 24_000_000, ["Trajectory"])
    head = (
        "## PCA of a trajectory\n\nFirst two components; peak memory of a "
        "process of its own; checkpoints in float16 on disk; torch "
        f"{torch.__version__}, {torch.get_num_threads()} thread(s), Python "
        f"{platform.python_version()}.\n\n| parameters x checkpoints | way "
        "| peak memory | time | variance about the mean |\n"
        "|---|---|---|---|---|\n"
    )
    write_section("trajectory", head + "\n".join(rows))


if __name__ == "__main__":
    main()
