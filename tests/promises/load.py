"""Large jobs within stated bounds of memory, and honest estimates.

    python tests/promises/load.py              # all; minutes
    python tests/promises/load.py surface      # one of them
    python tests/promises/load.py --small      # a hundredth of the size

Each job runs in a process of its own. Its bound is a formula of the sizes
of what it is given; the measured figure is the growth of the process's
largest resident size over what it was before the job. ``make test-load``
runs this.
"""

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("DLDNA_PROGRESS", "0")
MIB = 2**20
# Room for what any job needs: code that is loaded late, torch's buffers,
# the allocator's slack.
ROOM = 160 * MIB


def million_points(small):
    """A surface of 1,000 x 1,000 points of a small network."""
    import torch
    from torch import nn

    from dldna.landscape import surface
    from dldna.landscape.evaluate import mlp

    side = 100 if small else 1000
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    data = torch.randn(64, 4), torch.arange(64) % 3
    warm(lambda: surface(net, nn.CrossEntropyLoss(), data, resolution=5))
    with tempfile.TemporaryDirectory() as folder, measured() as used:
        found = surface(
            net, nn.CrossEntropyLoss(), data, resolution=side, out=folder
        )
    assert found.evaluated.all()
    # Losses, coordinates, tiles, the record: 16 numbers for each point;
    # and the batches of hidden values, which the evaluator keeps small.
    bound = 16 * 8 * side**2 + 4 * mlp.CACHE + ROOM
    return used, bound, "16 numbers a point + 4 caches + room"


def many_checkpoints(small):
    """A trajectory of 10,000 checkpoints of 10,000 numbers."""
    import torch
    from torch import nn

    from dldna.landscape import Recorder, Trajectory
    from dldna.landscape.paths.recorded import BLOCK_BYTES

    count = 500 if small else 10_000
    net = nn.Linear(100, 100, bias=False)
    with tempfile.TemporaryDirectory() as folder:
        with measured() as writing, Recorder(folder, every=1) as recorder:
            for step in range(count):
                with torch.no_grad():
                    net.weight.add_(0.01 * torch.randn_like(net.weight))
                recorder.record(net, step=step, loss=1.0)
        size = (Path(folder) / "weights.bin").stat().st_size
        with measured() as reading:
            run = Trajectory(folder)
            run.gram()
    assert len(run) == count
    assert size == count * 40_000
    # Two blocks of columns, three matrices of T x T, a line per entry.
    bound = 2 * BLOCK_BYTES + 3 * 8 * count**2 + 2048 * count + ROOM
    used = {"bytes": max(writing["bytes"], reading["bytes"]),
            "seconds": writing["seconds"] + reading["seconds"]}  # fmt: skip
    return used, bound, "2 blocks + 3 T x T matrices + 2 KiB a line + room"


def million_samples(small):
    """One epoch of a loader of a million samples, shuffled."""
    import torch

    from dldna.data import Loader

    count = 10_000 if small else 1_000_000
    x = torch.zeros(count, 28, 28, dtype=torch.uint8)
    y = torch.zeros(count, dtype=torch.int64)
    seen = 0
    warm(lambda: next(iter(Loader(x[:999], y[:999], 9, True))))
    with measured() as used:
        for batch, _ in Loader(x, y, 256, shuffle=True, seed=0):
            seen += len(batch)
    assert seen == count
    # The order of the epoch, and two batches.
    bound = 2 * 8 * count + 2 * 256 * 784 + ROOM
    return used, bound, "2 orders + 2 batches + room"


def large_model(small):
    """A plane through a network of 60 million parameters."""
    import torch
    from torch import nn

    from dldna.landscape import cost, surface

    width = 500 if small else 5477
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(16, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(),
        nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10),
    )  # fmt: skip
    n = sum(p.numel() for p in net.parameters())
    data = torch.randn(32, 16), torch.arange(32) % 10
    tiny = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 10))
    warm(lambda: surface(tiny, nn.CrossEntropyLoss(), data, resolution=3))
    with measured() as used:
        found = surface(net, nn.CrossEntropyLoss(), data, resolution=3)
    assert found.evaluated.all()
    assert small or n >= 60_000_000
    # A copy to put back, two directions, the largest tensor twice.
    said = cost(net, nn.CrossEntropyLoss(), data, resolution=3).memory
    return used, said - 4 * n + ROOM, "what `cost` says + room"


def eight_hours(small):
    """The planned time of 8 hours' points against the measured rate.

    In processor time, so that other work on the machine does not count.
    """
    time.perf_counter = time.process_time
    import torch
    from torch import nn

    from dldna.landscape import cost, surface

    torch.manual_seed(0)
    width = 64 if small else 256
    net = nn.Sequential(
        nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(),
        nn.Linear(width, 10),
    )  # fmt: skip
    data = torch.randn(2000, 64), torch.arange(2000) % 10
    loss = nn.CrossEntropyLoss()
    warm(lambda: surface(net, loss, data, resolution=5))
    rate = cost(net, loss, data, resolution=51).seconds_per_point
    side = int((8 * 3600 / rate) ** 0.5)
    planned = cost(net, loss, data, resolution=side)
    share = int((3 if small else 40) / rate)
    begin = time.perf_counter()
    found = surface(net, loss, data, resolution=side, budget_points=share)
    seconds = time.perf_counter() - begin
    took = seconds / int(found.evaluated.sum()) * planned.points
    off = planned.seconds / took - 1
    return (
        {"off": off, "seconds": seconds, "points": planned.points,
         "planned_hours": planned.seconds / 3600,
         "extrapolated_hours": took / 3600},
        0.25,
        "the estimate within 25 %",
    )  # fmt: skip


def warm(call):
    """Load what is loaded late, before memory is counted."""
    call()


@contextlib.contextmanager
def measured():
    """Growth of the largest resident size, and the time."""
    found = {}
    before = peak()
    begin = time.perf_counter()
    yield found
    found["seconds"] = time.perf_counter() - begin
    found["bytes"] = peak() - before


def peak():
    """Bytes; Linux counts in KiB, macOS in bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


JOBS = {
    "surface": million_points,
    "trajectory": many_checkpoints,
    "loader": million_samples,
    "model": large_model,
    "estimate": eight_hours,
}


def child(name, small):
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    used, bound, formula = JOBS[name](small)
    key = "off" if name == "estimate" else "bytes"
    print(
        json.dumps(
            {
                "job": name,
                "held": abs(used[key]) <= bound,
                "bound": bound,
                "formula": formula,
                **used,
            }
        )
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("jobs", nargs="*", choices=[[], *JOBS])
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--child")
    given = parser.parse_args()
    if given.child:
        child(given.child, given.small)
        return 0
    good = True
    for name in given.jobs or JOBS:
        command = [sys.executable, __file__, "--child", name]
        done = subprocess.run(
            command + ["--small"] * given.small,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        print(done.stdout.strip() or f"{name} failed", flush=True)
        lines = done.stdout.strip().splitlines()
        good &= done.returncode == 0 and json.loads(lines[-1])["held"]
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
