"""The command: train what is left, or say what that is."""

import argparse
import signal
import time
from pathlib import Path

import torch

from benchmarks.studies import fit
from benchmarks.studies.jobs import jobs
from benchmarks.studies.state import State, default_folder
from dldna import data
from dldna.files import cache_folder


def dataset_of(name: str | None) -> tuple[data.Dataset, str]:
    """The images and what they are: CIFAR-10, or the same as JPEGs."""
    jpegs = cache_folder() / "cifar10-jpeg"
    archive = cache_folder() / "cifar-10-python.tar.gz"
    if name is None:
        use = jpegs.is_dir() and not archive.exists()
        name = f"folder:{jpegs}" if use else "CIFAR10"
    label = "CIFAR-10" if name == "CIFAR10" else Path(name).name
    return data.load(name), label


def main() -> None:
    """Run, list, or export."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies", description=__doc__
    )
    parser.add_argument("names", nargs="*", help="jobs; all if none is named")
    parser.add_argument("--state", type=Path, default=default_folder())
    parser.add_argument("--data", help="CIFAR10 or folder:PATH")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--minutes", type=float, help="stop after so many")
    parser.add_argument("--save-seconds", type=float, default=180.0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    dataset, label = dataset_of(given.data)
    desk = fit.Desk(
        State(given.state), dataset, label, given.device, given.save_seconds
    )
    if given.minutes:
        desk.deadline = time.monotonic() + 60 * given.minutes

    def stop(*_):
        desk.stopped = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    left = [j for j in jobs() if not given.names or j.name in given.names]
    for job in left:
        while desk.state.result(job.name) is None:
            try:
                fit.log(f"{job.name}: begins, or goes on")
                found = fit.run(desk, job)
                kept = ("chosen", "at_edge", "test_accuracy", "seconds")
                fit.log(f"{job.name}: {({k: found[k] for k in kept if k in found})}")
            except fit.Paused:
                fit.log(f"{job.name}: paused")
                if desk.stopped or time.monotonic() > desk.deadline:
                    return
                desk.state.wait()


if __name__ == "__main__":
    main()
