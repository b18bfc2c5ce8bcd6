"""Train what is left of the studies, or say what that is."""

import argparse
import math
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.studies import export, plan, queue, smoke
from benchmarks.studies.desk import Desk
from benchmarks.studies.state import State, default_folder
from dldna import data
from dldna.files import cache_folder


def source_of(name: str | None) -> str:
    """The data set: CIFAR-10, or where only they are, the same as JPEGs."""
    jpegs = cache_folder() / "cifar10-jpeg"
    archive = cache_folder() / "cifar-10-python.tar.gz"
    if name is None and jpegs.is_dir() and not archive.exists():
        return f"folder:{jpegs}"
    return name or "CIFAR10"


def parsed(words: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies", description=__doc__
    )
    say = parser.add_argument
    say("names", nargs="*", metavar="JOB", help="these alone, in order")
    say("--list", action="store_true", help="what is done and what is left")
    say("--export", action="store_true", help="store the small results")
    say("--adopt", action="store_true", help="what is stored counts as done")
    say("--state", type=Path, help="folder of all that is kept")
    say("--data", help="CIFAR10 or folder:PATH")
    say("--device", default="cpu", help="cuda: the jobs of a GPU")
    say("--minutes", type=float, default=math.inf, help="leave after so many")
    say("--save-seconds", type=float, default=180.0, help="a checkpoint each")
    say("--smoke", action="store_true", help="everything, tiny, in a minute")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    """Run, list or export; 1 where a job failed."""
    given = parsed(words)
    wanted = plan.pack() if given.device != "cpu" else plan.jobs()
    if given.smoke:
        wanted = smoke.shrunk(wanted)
    if given.names:
        known = {job.name: job for job in wanted}
        missing = [name for name in given.names if name not in known]
        if missing:
            sys.exit(
                f"no job is called {missing[0]!r}; --list names all of them"
            )
        wanted = [known[name] for name in given.names]
    folder = given.state or default_folder()
    if given.smoke and given.state is None:
        folder = Path(tempfile.mkdtemp(prefix="studies-"))
    state = State(folder)
    if given.adopt:
        print("adopted:", ", ".join(export.from_package(state, wanted)))
    if given.list:
        print(f"{folder}\n{queue.listing(state, wanted, given.device)}")
        return 0
    if given.export:
        print(export.to_package(state, wanted))
        return 0
    return train(given, state, wanted)


def train(given: argparse.Namespace, state: State, wanted: list) -> int:
    """Work at the queue until it is done or until asked to leave."""
    if given.device != "cpu" and not torch.cuda.is_available():
        sys.exit(f"--device {given.device}: torch finds no GPU here")
    deadline = time.monotonic() + 60 * given.minutes
    torch.set_num_threads(1)
    source = "noise" if given.smoke else source_of(given.data)
    dataset = smoke.noise() if given.smoke else data.load(source)
    label = export.label_of(source)
    desk = Desk(
        state, dataset, label, given.device, given.save_seconds,
        deadline=deadline,
    )  # fmt: skip
    os.environ.setdefault("DLDNA_PROGRESS", "0")

    def stop(*_):
        desk.stopped = True

    before = {
        number: signal.signal(number, stop)
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        failed = queue.work(desk, wanted, source)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        export.to_file(state, wanted)
    if failed:
        print("failed:", ", ".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
